package notify

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify/wording"
)

//go:embed locales/*.toml
var locales embed.FS

//go:embed mail.html
var mailHTML string

//go:embed mail.css
var mailCSS string

var layout = template.Must(template.New("mail").Parse(mailHTML))

var catalog = sync.OnceValues(func() (*wording.Catalog, error) { return wording.Load(locales) })

// Render writes the message that template t is for a channel, in the language that suits the
// reader's locale best, English if none does. Instants are shown in zone, the
// property's, always with the zone's name. ID, To and At are left to the caller.
//
// It fails if the template is unknown or does not go by that channel, zone is nil, a fact it cannot do without is
// missing or a phrase has no translation; never because of what a name contains.
func Render(channel Channel, t Template, locale string, zone *time.Location, d Data) (Message, error) {
	if !slices.Contains(Templates(), t) {
		return Message{}, fmt.Errorf("render: there is no template %q", t)
	}
	if !Reaches(channel, t) {
		return Message{}, fmt.Errorf("render: %s does not go by %q", t, channel)
	}
	if zone == nil {
		return Message{}, errors.New("render: the property's time zone is missing")
	}
	d = d.clean()
	if err := d.check(t); err != nil {
		return Message{}, err
	}
	messages, err := catalog()
	if err != nil {
		return Message{}, fmt.Errorf("render %s: %w", t, err)
	}
	w := writer{Voice: messages.In(locale), zone: zone, data: d}
	if channel == ChannelSMS && slices.Contains(Texted(), t) {
		m := Message{Channel: channel, Template: t, Locale: w.Language(), Text: w.sms(t), Links: []string{d.BookingURL}}
		return m, w.Err()
	}
	c := w.compose(t)
	if channel != ChannelEmail {
		m := Message{Channel: channel, Template: t, Locale: c.Language, Text: w.short(t, c), Links: c.links()}
		if channel == ChannelPush {
			m.Subject = c.Subject
		}
		return m, w.Err()
	}
	if err := w.Err(); err != nil {
		return Message{}, fmt.Errorf("render %s: %w", t, err)
	}
	html, err := c.html()
	if err != nil {
		return Message{}, fmt.Errorf("render %s: %w", t, err)
	}
	return Message{
		Channel: ChannelEmail, Template: t, Locale: c.Language,
		Subject: c.Subject, Text: c.text(), HTML: html, Links: c.links(), Calendar: w.calendar(t),
	}, w.Err()
}

// StyleSource is the Content-Security-Policy source of the style block in every
// message's HTML, for pages that show messages.
func StyleSource() string {
	sum := sha256.Sum256([]byte(mailCSS))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (c content) html() (string, error) {
	var page bytes.Buffer
	// The style block is embedded at build time; nothing that people typed is in it.
	err := layout.Execute(&page, struct {
		content
		Style template.CSS
	}{c, template.CSS(mailCSS)})
	if err != nil {
		return "", fmt.Errorf("lay out the HTML: %w", err)
	}
	return page.String(), nil
}

// text lays the content out for readers without HTML: paragraphs with an empty
// line between them.
func (c content) text() string {
	blocks := []string{c.Greeting, c.Lead, c.Code}
	lines := make([]string, 0, len(c.Facts))
	for _, f := range c.Facts {
		lines = append(lines, f.Label+": "+f.Value)
	}
	blocks = append(blocks, strings.Join(lines, "\n"))
	if c.Link != "" {
		blocks = append(blocks, c.Action+":\n"+c.Link)
	}
	blocks = append(blocks, c.Notes...)
	blocks = append(blocks, "-- \n"+c.Footer)
	blocks = slices.DeleteFunc(blocks, func(s string) bool { return s == "" })
	return strings.Join(blocks, "\n\n") + "\n"
}

// calendar is the entry of an invitation for a window. The link is not in it: it is a
// secret, and calendars are shared.
func (w writer) calendar(t Template) string {
	d := w.data
	if t != access.TemplateInvitation || d.Calendar.UID == "" || d.StartsAt.IsZero() || d.EndsAt.IsZero() {
		return ""
	}
	var lines []string
	for _, f := range w.facts(w.inviter, w.entrances) {
		lines = append(lines, f.Label+": "+f.Value)
	}
	return CalendarEntry{
		UID: d.Calendar.UID, Sequence: d.Calendar.Sequence, Written: d.Calendar.Written, Start: d.StartsAt, End: d.EndsAt,
		Summary: d.PropertyName, Location: d.PropertyName, Description: strings.Join(lines, "\n"),
	}.ICS()
}

// short is the message as one line: its first sentence, the instant it is about, its
// link.
func (w writer) short(t Template, c content) string {
	parts := []string{c.Lead}
	if t == access.TemplateEntranceUnlocked {
		parts = append(parts, w.Instant(w.data.OpenedAt, w.zone))
	}
	return strings.Join(append(parts, c.links()...), " ")
}

func (c content) links() []string {
	if c.Link == "" {
		return nil
	}
	return []string{c.Link}
}
