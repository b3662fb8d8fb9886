package notify_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"latchkey/internal/access"
	"latchkey/internal/notify"
)

// An invitation for a window carries a calendar entry that stays the same entry when
// it is sent again; the link, which is a secret, is not in it. Continuing access has
// no time to put into a calendar (I1, I2).
func TestInvitationInTheCalendar(t *testing.T) {
	for _, locale := range languages {
		d := facts(locale)
		d.Calendar.UID, d.Calendar.Sequence, d.Calendar.Written = "inv_d4k2m1c7h1qg00f3v5tg@door.example", 3, time.Date(2026, 11, 16, 15, 30, 0, 0, time.UTC)
		m := render(t, access.TemplateInvitation, locale, d)
		golden(t, "invitation."+locale+".ics", m.Calendar)
		if strings.Contains(m.Calendar, "4fJ2mQ") {
			t.Error("the link is in the calendar")
		}
		again := d
		again.Calendar.Sequence++
		if uid := func(s string) string { return field(s, "UID") }; uid(render(t, access.TemplateInvitation, locale, again).Calendar) != uid(m.Calendar) {
			t.Error("a change is another entry")
		}
		if other := render(t, access.TemplateInvitationRevoked, locale, d); other.Calendar != "" {
			t.Error("a withdrawal brings an entry")
		}
		d.EndsAt = time.Time{}
		if open := render(t, access.TemplateInvitation, locale, d); open.Calendar != "" {
			t.Errorf("continuing access brings an entry: %s", open.Calendar)
		}
	}
}

// field reads a property as a calendar does: lines unfolded, text unescaped.
func field(ics, name string) string {
	for line := range strings.SplitSeq(strings.ReplaceAll(ics, "\r\n ", ""), "\r\n") {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.NewReplacer(`\\`, `\`, `\;`, ";", `\,`, ",", `\n`, "\n").Replace(value)
		}
	}
	return ""
}

// Whatever a name contains, a calendar reads it back, lines are short, and nothing in
// it becomes a line of its own (RFC 5545).
func TestCalendarText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching("[a-zA-Z,;:\\\\\n äé鍵🔑\"'-]{0,200}").Draw(t, "text")
		at := time.Date(2026, 12, 1, 6, 0, 0, 0, time.FixedZone("", 9*3600))
		ics := notify.CalendarEntry{UID: "inv_1@x", Written: at, Start: at, End: at.Add(time.Hour), Summary: text, Location: text, Description: text}.ICS()
		for _, name := range []string{"SUMMARY", "LOCATION", "DESCRIPTION"} {
			if got := field(ics, name); got != text {
				t.Fatalf("%s reads %q, want %q", name, got, text)
			}
		}
		if field(ics, "DTSTART") != "20261130T210000Z" || field(ics, "DTEND") != "20261130T220000Z" {
			t.Fatalf("times: %s", ics)
		}
		lines := strings.Split(strings.TrimSuffix(ics, "\r\n"), "\r\n")
		for _, line := range lines {
			if len(line) > 75 || !utf8.ValidString(line) || strings.ContainsAny(line, "\r\n") {
				t.Fatalf("the line %q has %d bytes", line, len(line))
			}
		}
		if begins := slices.Collect(func(yield func(string) bool) {
			for _, line := range lines {
				if strings.HasPrefix(line, "BEGIN:") && !yield(line) {
					return
				}
			}
		}); len(begins) != 2 {
			t.Fatalf("parts %q", begins)
		}
	})
}

// What goes by SMS without wording of its own, and what a phone shows (I7): one line,
// without secrets.
func TestShortMessages(t *testing.T) {
	for _, locale := range languages {
		d := facts(locale)
		pushed, err := notify.Render(notify.ChannelPush, access.TemplateEntranceUnlocked, locale, tokyo(t), d)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "entrance_unlocked."+locale+".push.txt", pushed.Subject+"\n"+pushed.Text+"\n")
		for _, template := range notify.Templates() {
			m, err := notify.Render(notify.ChannelSMS, template, locale, tokyo(t), d)
			if reaches := notify.Reaches(notify.ChannelSMS, template); reaches != (err == nil) {
				t.Errorf("%s by SMS: %v", template, err)
				continue
			} else if !reaches {
				continue
			}
			if m.Text == "" || strings.ContainsAny(m.Text, "\r\n") || m.Subject != "" || m.HTML != "" || len([]rune(m.Text)) > 400 {
				t.Errorf("%s.%s is no text: %+v", template, locale, m)
			}
		}
		if unlocked, err := notify.Render(notify.ChannelSMS, access.TemplateEntranceUnlocked, locale, tokyo(t), d); err != nil {
			t.Error(err)
		} else {
			golden(t, "entrance_unlocked."+locale+".sms.txt", unlocked.Text+"\n")
		}
	}
	if _, err := notify.Render(notify.ChannelPush, access.TemplateAccessInstructions, "en", tokyo(t), facts("en")); err == nil {
		t.Error("a booking code is shown on a locked screen")
	}
}
