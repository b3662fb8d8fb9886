package notify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/internal/access"
	"latchkey/internal/notify"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

var languages = []string{"en", "ja"}

const link = "https://door.example/i/4fJ2mQ-x_9?a=1&b=2"

const bookingLink = "https://door.example/r/9aZ-3k_7Qp"

func tokyo(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// facts is one guest's story with everything that any template can say.
func facts(locale string) notify.Data {
	d := notify.Data{
		InviterName: "Ben O’Hara", GuestName: "Ana Lima", GuestEmail: "ana@example.com",
		PropertyName: "Harbour House", EntranceNames: []string{"Main door", "Bicycle room"}, EntranceName: "Main door",
		Reason: "The dates have changed", HostName: "Hugo Reis", VisitorName: "Vera Lopes", KeyName: "Flat 3", HolderName: "Max Braun",
		PanelName: "Kiosk SmartBox", AccessNotes: "Ring at the kiosk if the screen is dark.",
	}
	if locale == "ja" {
		d.InviterName, d.GuestName, d.PropertyName = "佐藤 花子", "田中 太郎", "港レジデンス"
		d.EntranceNames, d.EntranceName, d.Reason = []string{"正面玄関", "駐輪場"}, "正面玄関", "日程が変更になりました"
		d.HostName, d.VisitorName, d.KeyName, d.HolderName = "佐藤 花子", "田中 太郎", "3号室", "鈴木 一郎"
		d.PanelName, d.AccessNotes = "売店のSmartBox", "画面が暗い場合は売店に声をかけてください。"
	}
	d.StartsAt = time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	d.EndsAt = time.Date(2026, 12, 3, 2, 0, 0, 0, time.UTC)
	d.ExpiresAt = time.Date(2026, 11, 30, 15, 30, 0, 0, time.UTC)
	d.OpenedAt = time.Date(2026, 12, 1, 6, 4, 0, 0, time.UTC)
	d.LateSince, d.NextStart, d.LockedUntil, d.TamperedAt = d.EndsAt, d.StartsAt, d.OpenedAt, d.OpenedAt
	d.BookingCode, d.BookingURL = "40718263", bookingLink
	d.VerifyBy, d.MemberName, d.Guests, d.Visitors, d.Invitations, d.Reservations = d.EndsAt, d.HostName, 2, 1, 12, 3
	d.Changes = []notify.Change{
		{Difference: access.Difference{What: access.EntranceTimes, Schedules: []access.Schedule{
			{Days: []access.Weekday{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "20:00"}, {Days: []access.Weekday{"sat"}, From: "22:00", To: "02:00"}}},
			EntranceName: d.EntranceName},
		{Difference: access.Difference{What: access.VerificationOn, Period: 5 * 24 * time.Hour, Until: d.EndsAt}},
	}
	d.AcceptURL, d.Code, d.CodeMinutes = link, "204815", 10
	return d
}

// factsFor is the story at the moment for which a template is meant: a reminder
// comes before the end (K6).
func factsFor(template notify.Template, locale string) notify.Data {
	d := facts(locale)
	if template == access.TemplateReturnKeyReminder {
		d.LateSince = time.Time{}
	}
	return d
}

func render(t *testing.T, template notify.Template, locale string, d notify.Data) notify.Message {
	t.Helper()
	m, err := notify.Render(notify.ChannelEmail, template, locale, tokyo(t), d)
	if err != nil {
		t.Fatalf("Render(%s, %s): %v", template, locale, err)
	}
	return m
}

// Every template in every language, as people get it. Run with -update to accept
// a change of wording after reading the difference.
func TestGolden(t *testing.T) {
	for _, template := range notify.Templates() {
		for _, locale := range languages {
			t.Run(string(template)+"."+locale, func(t *testing.T) {
				m := render(t, template, locale, factsFor(template, locale))
				golden(t, string(template)+"."+locale+".subject.txt", m.Subject+"\n")
				golden(t, string(template)+"."+locale+".txt", m.Text)
				golden(t, string(template)+"."+locale+".html", m.HTML)
			})
		}
	}
}

// What goes by SMS, as people get it, and what a host copies (K3, K9).
func TestGoldenTexts(t *testing.T) {
	for _, locale := range languages {
		for _, template := range notify.Texted() {
			m, err := notify.Render(notify.ChannelSMS, template, locale, tokyo(t), factsFor(template, locale))
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject != "" || m.HTML != "" || strings.Contains(m.Text, "\n") {
				t.Errorf("%s.%s is more than a text: %+v", template, locale, m)
			}
			golden(t, string(template)+"."+locale+".sms.txt", m.Text+"\n")
		}
		d := facts(locale)
		text, err := notify.Details(locale, tokyo(t), d)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "details."+locale+".txt", text)
		d.EndsAt = time.Time{}
		if text, err = notify.Details(locale, tokyo(t), d); err != nil || strings.Contains(text, "2026-") {
			t.Errorf("ongoing: %q, %v", text, err)
		}
	}
	if _, err := notify.Render(notify.ChannelSMS, access.TemplateInvitation, "en", tokyo(t), facts("en")); err == nil {
		t.Error("an invitation went by SMS")
	}
}

// K3: code, URL, window and notes are in the instructions, and how a key is returned.
func TestInstructionsSayEverything(t *testing.T) {
	d := facts("en")
	d.VisitorIDNeeded = true
	m := render(t, access.TemplateAccessInstructions, "en", d)
	for _, want := range []string{d.BookingCode, bookingLink, d.KeyName, d.PropertyName, d.AccessNotes, "Tue 1 December 2026, 15:00 (JST)", "Thu 3 December 2026, 11:00 (JST)", "photo ID", "also after the end"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the instructions do not say %q", want)
		}
	}
	d.EndsAt = time.Time{}
	if m = render(t, access.TemplateAccessInstructions, "en", d); !strings.Contains(m.Text, "no end date") {
		t.Error("ongoing access does not say that it has no end")
	}
}

// K6, T2: a reminder that could only be sent after the end does not say that access
// ends today.
func TestReminderAfterTheEnd(t *testing.T) {
	for _, locale := range languages {
		m := render(t, access.TemplateReturnKeyReminder, locale, facts(locale))
		golden(t, "return_key_reminder-over."+locale+".txt", m.Subject+"\n\n"+m.Text)
		text, err := notify.Render(notify.ChannelSMS, access.TemplateReturnKeyReminder, locale, tokyo(t), facts(locale))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "return_key_reminder-over."+locale+".sms.txt", text.Text+"\n")
	}
}

// A continuing access has no end and begins at once (I1).
func TestGoldenContinuing(t *testing.T) {
	for _, locale := range languages {
		d := facts(locale)
		d.StartsAt, d.EndsAt, d.EntranceNames, d.GuestName = time.Time{}, time.Time{}, d.EntranceNames[:1], ""
		m := render(t, access.TemplateInvitation, locale, d)
		golden(t, "invitation-continuing."+locale+".txt", m.Text)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", name, got)
	}
}

// I2: the subject says what it is, and the message who invites, to what, when,
// with which link, until when, and what to do about a wrong address (I3).
func TestInvitationSaysEverything(t *testing.T) {
	if got := render(t, access.TemplateInvitation, "en", facts("en")).Subject; got != "You have been invited as an auto-verified guest" {
		t.Errorf("English subject is %q", got)
	}
	if got := render(t, access.TemplateInvitation, "ja-JP", facts("ja")).Subject; got != "自動認証済みゲストとして招待されています" {
		t.Errorf("Japanese subject is %q", got)
	}
	for locale, window := range map[string][]string{
		"en": {"Tue 1 December 2026, 15:00 (JST)", "Thu 3 December 2026, 11:00 (JST)", "Tue 1 December 2026, 00:30 (JST)"},
		"ja": {"2026年12月1日(火) 15:00 (JST)", "2026年12月3日(木) 11:00 (JST)", "2026年12月1日(火) 00:30 (JST)"},
	} {
		d := facts(locale)
		m := render(t, access.TemplateInvitation, locale, d)
		for _, want := range slices.Concat(window, d.EntranceNames, []string{d.InviterName, d.PropertyName, link, d.GuestEmail}) {
			if !strings.Contains(m.Text, want) {
				t.Errorf("the %s text does not say %q", locale, want)
			}
		}
		if !slices.Equal(m.Links, []string{link}) || m.Channel != notify.ChannelEmail || m.Locale != locale {
			t.Errorf("links %q, channel %q, locale %q", m.Links, m.Channel, m.Locale)
		}
	}
}

var tag = regexp.MustCompile(`<[^>]*>`)

// What the text says, line by line, the HTML says too.
func TestTextAndHTMLCarryTheSameFacts(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for _, template := range notify.Templates() {
		for _, locale := range languages {
			m := render(t, template, locale, facts(locale))
			page := squeeze(html.UnescapeString(tag.ReplaceAllString(m.HTML, " ")))
			for line := range strings.Lines(m.Text) {
				for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(line), ":"), ": ") {
					if part != "--" && !strings.Contains(page, squeeze(part)) {
						t.Errorf("%s.%s: the HTML does not say %q", template, locale, part)
					}
				}
			}
			if !strings.Contains(m.HTML, `<html lang="`+locale+`">`) {
				t.Errorf("%s.%s: the HTML does not name its language", template, locale)
			}
			if regexp.MustCompile(`(?i)(src=|url\(|<link|<script|@import)`).MatchString(m.HTML) {
				t.Errorf("%s.%s: the HTML loads something", template, locale)
			}
		}
	}
}

// A phrase that one language lacks fails here, before it fails a person.
func TestLanguagesHaveTheSamePhrases(t *testing.T) {
	for _, dir := range []string{"locales", filepath.Join("wording", "locales")} {
		want := phrases(t, filepath.Join(dir, "en.toml"))
		paths, err := filepath.Glob(filepath.Join(dir, "*.toml"))
		if err != nil || len(paths) != len(languages) {
			t.Fatalf("message files %q, %v; want one for each of %q", paths, err, languages)
		}
		for _, path := range paths {
			if got := phrases(t, path); !slices.Equal(got, want) {
				t.Errorf("%s has the phrases %q, English has %q", path, got, want)
			}
		}
	}
}

// phrases lists the ids of a message file; the forms of a plural are one phrase.
func phrases(t *testing.T, path string) []string {
	t.Helper()
	var file map[string]any
	if _, err := toml.DecodeFile(path, &file); err != nil {
		t.Fatal(err)
	}
	var ids []string
	var walk func(prefix string, table map[string]any)
	walk = func(prefix string, table map[string]any) {
		for key, value := range table {
			below, isTable := value.(map[string]any)
			switch _, plural := below["other"]; {
			case isTable && !plural:
				walk(prefix+key+".", below)
			default:
				ids = append(ids, prefix+key)
			}
		}
	}
	walk("", file)
	slices.Sort(ids)
	return ids
}

// An unknown language is answered in English, a regional one in its language.
func TestLocaleFallsBack(t *testing.T) {
	for locale, want := range map[string]string{"ja-JP": "ja", "en-AU": "en", "fr": "en", "": "en", "\x00": "en"} {
		if got := render(t, access.TemplateSignInCode, locale, facts("en")).Locale; got != want {
			t.Errorf("locale %q got %q, want %q", locale, got, want)
		}
	}
}

// Names are typed by anybody: they add no header, no markup and no link.
func TestNamesAreUntrusted(t *testing.T) {
	d := facts("en")
	d.GuestName = "Ana\r\nBcc: all@example.com\u202e\x00 <script>alert(1)</script>"
	d.EntranceName = strings.Repeat("Door ", 100)
	d.PropertyName = "Win at HTTPS://evil.example/now or www.evil.example"
	for _, template := range notify.Templates() {
		for _, locale := range languages {
			m := render(t, template, locale, d)
			if strings.ContainsAny(m.Subject, "\r\n\x00\u202e") || len([]rune(m.Subject)) > 150 {
				t.Errorf("%s.%s: unsafe subject %q", template, locale, m.Subject)
			}
			if strings.Contains(m.HTML, "<script") || strings.ContainsAny(m.HTML+m.Text, "\r\x00\u202e") {
				t.Errorf("%s.%s: a name changed the markup", template, locale)
			}
			if strings.Contains(m.Text, "://evil") || strings.Contains(m.Text, "evil.example") {
				t.Errorf("%s.%s: a name became a link:\n%s", template, locale, m.Text)
			}
		}
	}
	d.GuestName, d.PropertyName, d.EntranceName = "J.R. Smith", "Room 2.14", "👩‍🚀 Dock"
	if got := render(t, access.TemplateEntranceUnlocked, "en", d).Text; !strings.Contains(got, "J.R. Smith opened 👩‍🚀 Dock at Room 2.14.") {
		t.Errorf("ordinary names were changed:\n%s", got)
	}
}

// A message that would not make sense is not written.
func TestRenderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		template notify.Template
		change   func(*notify.Data)
	}{
		"unknown template":    {"welcome", func(*notify.Data) {}},
		"no inviter":          {access.TemplateInvitation, func(d *notify.Data) { d.InviterName = " \n" }},
		"no entrances":        {access.TemplateInvitation, func(d *notify.Data) { d.EntranceNames = nil }},
		"no deadline":         {access.TemplateInvitation, func(d *notify.Data) { d.ExpiresAt = time.Time{} }},
		"script as link":      {access.TemplateInvitation, func(d *notify.Data) { d.AcceptURL = "javascript:alert(1)" }},
		"relative link":       {access.TemplateInvitation, func(d *notify.Data) { d.AcceptURL = "/i/x" }},
		"nameless guest":      {access.TemplateInvitationAccepted, func(d *notify.Data) { d.GuestName, d.GuestEmail = "", "" }},
		"no property":         {access.TemplateVerificationRequired, func(d *notify.Data) { d.PropertyName = "" }},
		"no time of opening":  {access.TemplateEntranceUnlocked, func(d *notify.Data) { d.OpenedAt = time.Time{} }},
		"no code":             {access.TemplateSignInCode, func(d *notify.Data) { d.Code = "" }},
		"no validity of code": {access.TemplateSignInCode, func(d *notify.Data) { d.CodeMinutes = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			d := facts("en")
			c.change(&d)
			m, err := notify.Render(notify.ChannelEmail, c.template, "en", tokyo(t), d)
			if err == nil {
				t.Fatalf("rendered %q", m.Subject)
			}
			if strings.Contains(err.Error(), "Ana") || strings.Contains(err.Error(), "x_9") {
				t.Errorf("the error tells personal data: %v", err)
			}
		})
	}
	if _, err := notify.Render(notify.ChannelEmail, access.TemplateSignInCode, "en", nil, facts("en")); err == nil {
		t.Error("rendered without a zone")
	}
}

// A page that shows messages may allow their style block by StyleSource.
func TestStyleSourceMatchesTheStyleBlock(t *testing.T) {
	m := render(t, access.TemplateSignInCode, "en", facts("en"))
	_, rest, _ := strings.Cut(m.HTML, "<style>")
	block, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(block))
	if got, want := notify.StyleSource(), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'"; got != want {
		t.Errorf("StyleSource() = %s, the block's is %s", got, want)
	}
}

type box struct {
	kept []notify.Message
	err  error
}

func (b *box) Keep(_ context.Context, m notify.Message) error {
	b.kept = append(b.kept, m)
	return b.err
}

// The outbox sender keeps what it is given and does not swallow a failure.
func TestOutboxSender(t *testing.T) {
	b := &box{}
	sender := notify.OutboxSender{Outbox: b}
	if err := sender.Send(t.Context(), notify.Message{ID: "msg_1", Text: "hi"}); err != nil || len(b.kept) != 1 || b.kept[0].Text != "hi" {
		t.Errorf("kept %v, %v", b.kept, err)
	}
	b.err = errors.New("full")
	if err := sender.Send(t.Context(), notify.Message{ID: "msg_2"}); !errors.Is(err, b.err) || bytes.Contains([]byte(err.Error()), []byte("hi")) {
		t.Errorf("failure came back as %v", err)
	}
}
