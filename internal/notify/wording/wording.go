// Package wording holds what Latchkey says to people, in each language it speaks.
//
// A [Catalog] is a directory of message files, one per language (locales/en.toml,
// locales/ja.toml), read by go-i18n. A [Voice] speaks one of those languages:
//
//	voice := catalog.In("ja-JP")
//	subject := voice.Say("invitation.subject", data)
//	if err := voice.Err(); err != nil { … }
//
// A reader's locale is matched to the languages by BCP 47: ja-JP gets Japanese,
// a language that no file is for gets English. Every catalog also knows how to
// write dates, times and lists ([Voice.Instant], [Voice.List]) and the labels of an
// item's facts (fact.property, fact.starts, …), so that a message and a page call a
// thing by one name.
//
// A message that is missing in the voice's language is an error even if English
// has it: nobody is written to in two languages at once.
package wording

import (
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed locales/*.toml
var shared embed.FS

// Catalog is a set of messages in several languages. It is safe for use by
// several goroutines.
type Catalog struct {
	bundle  *i18n.Bundle
	tags    []language.Tag
	matcher language.Matcher
}

// Load reads locales/*.toml of files, on top of the wording of dates, lists and facts
// that all catalogs share.
func Load(files fs.FS) (*Catalog, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	for _, source := range []fs.FS{shared, files} {
		paths, err := fs.Glob(source, "locales/*.toml")
		if err != nil {
			return nil, fmt.Errorf("list message files: %w", err)
		}
		for _, path := range paths {
			if _, err := bundle.LoadMessageFileFS(source, path); err != nil {
				return nil, fmt.Errorf("read message file %s: %w", path, err)
			}
		}
	}
	tags := bundle.LanguageTags()
	return &Catalog{bundle: bundle, tags: tags, matcher: language.NewMatcher(tags)}, nil
}

// Languages lists the languages of the catalog, English first.
func (c *Catalog) Languages() []string {
	names := make([]string, len(c.tags))
	for i, tag := range c.tags {
		names[i] = tag.String()
	}
	return names
}

// In gives a voice in the language that suits a reader best. Locales are BCP 47
// tags or Accept-Language headers, tried in order.
func (c *Catalog) In(locales ...string) *Voice {
	_, i := language.MatchStrings(c.matcher, locales...)
	tag := c.tags[i].String()
	return &Voice{tag: tag, localizer: i18n.NewLocalizer(c.bundle, tag)}
}

// Voice says messages in one language. Its first error sticks ([Voice.Err]), so
// that a text can be put together without a check after each phrase. A voice is
// for one goroutine.
type Voice struct {
	tag       string
	localizer *i18n.Localizer
	err       error
}

// Language is the BCP 47 tag of what the voice speaks, for a lang attribute.
func (v *Voice) Language() string { return v.tag }

// Err is the first thing that could not be said.
func (v *Voice) Err() error { return v.err }

// Say gives the message id, filled in with data. The result is plain text: names
// in it are not escaped for HTML.
func (v *Voice) Say(id string, data any) string {
	return v.say(&i18n.LocalizeConfig{MessageID: id, TemplateData: data})
}

// Count gives the message id in the plural form of n.
func (v *Voice) Count(id string, n int, data any) string {
	return v.say(&i18n.LocalizeConfig{MessageID: id, PluralCount: n, TemplateData: data})
}

func (v *Voice) say(c *i18n.LocalizeConfig) string {
	text, err := v.localizer.Localize(c)
	if err != nil && v.err == nil {
		v.err = fmt.Errorf("say %s in %s: %w", c.MessageID, v.tag, err)
	}
	return text
}

// Instant writes an instant as the wall clock of zone shows it, with weekday and
// the zone's abbreviation or, where it has none, its offset from UTC (T1).
func (v *Voice) Instant(at time.Time, zone *time.Location) string {
	local := at.In(zone)
	return v.Say("instant", map[string]string{
		"Weekday": v.Say("weekday."+local.Format("Mon"), nil),
		"Day":     strconv.Itoa(local.Day()),
		"Month":   v.Say("month."+local.Format("Jan"), nil),
		"Year":    strconv.Itoa(local.Year()),
		"Clock":   local.Format("15:04"),
		"Zone":    zoneName(local),
	})
}

// zoneName is JST, or UTC+05:45 in a zone whose abbreviation is only a number.
func zoneName(t time.Time) string {
	name := t.Format("MST")
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		return "UTC" + t.Format("-07:00")
	}
	return name
}

// List writes several names as an enumeration.
func (v *Voice) List(names []string) string {
	return strings.Join(names, v.Say("separator", nil))
}
