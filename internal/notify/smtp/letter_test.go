package smtp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/smtp"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 300*time.Millisecond)
}

// rendered is an unlock notice with everything that is hard for mail: long lines,
// Japanese, a name with symbols.
func rendered(t *testing.T, locale string) notify.Message {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	d := notify.Data{
		GuestName: "Ana Lima", PropertyName: "Harbour House", EntranceName: "Main door",
		OpenedAt: time.Date(2026, 12, 1, 6, 4, 0, 0, time.UTC),
	}
	if locale == "ja" {
		d.GuestName, d.PropertyName, d.EntranceName = "田中 太郎", "港レジデンス東京ベイサイドタワー", "正面玄関（南側エントランスホール）"
	}
	m, err := notify.Render(notify.ChannelEmail, access.TemplateEntranceUnlocked, locale, zone, d)
	if err != nil {
		t.Fatal(err)
	}
	m.ID, m.To, m.At = "msg_d4k2m1c7h1qg00f3v5tg", "rita@example.com", time.Date(2026, 12, 1, 6, 4, 1, 0, time.UTC)
	m.Unsubscribe = "https://door.example/mute/per_d4k2m1c7h1qg00f3v5tg.AAAAAAAAAAAAAAAAAAAAAA"
	return m
}

func letter(t *testing.T, m notify.Message) string {
	t.Helper()
	made, err := smtp.Letter(m, mail.Address{Name: "Harbour Keys", Address: "keys@door.example"}, m.To)
	if err != nil {
		t.Fatal(err)
	}
	made.SetBoundary("boundary") // a random one otherwise
	var text bytes.Buffer
	if _, err := made.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What goes over the wire, to the byte.
func TestGoldenLetters(t *testing.T) {
	for _, locale := range []string{"en", "ja"} {
		path := filepath.Join("testdata", "golden", "entrance_unlocked."+locale+".eml")
		got := letter(t, rendered(t, locale))
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
			t.Errorf("%s differs; got:\n%s", path, got)
		}
	}
}

// Mailboxes trust a letter that is plain about itself: both forms, UTF-8, short
// lines of ASCII, a subject that decodes to what was written, one Message-ID, a Date,
// a way to switch it off that works with one press (I7), and nothing that tracks.
func TestLettersPassMailboxes(t *testing.T) {
	for _, locale := range []string{"en", "ja"} {
		m := rendered(t, locale)
		text := letter(t, m)
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
			if len(line) > 78 || strings.ContainsAny(line, "\r\n") || strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
				t.Errorf("%s: the line %q has %d bytes", locale, line, len(line))
			}
		}
		read, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if err != nil || subject != m.Subject {
			t.Errorf("%s: the subject reads %q, %v", locale, subject, err)
		}
		for name, want := range map[string]string{
			"Message-Id": "<" + m.ID + "@door.example>", "Date": "Tue, 01 Dec 2026 06:04:01 +0000", "From": `"Harbour Keys" <keys@door.example>`,
			"To": "<rita@example.com>", "List-Unsubscribe": "<" + m.Unsubscribe + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
			"Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
		} {
			if got := read.Header[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %q, want %q", locale, name, got, want)
			}
		}
		for _, name := range []string{"X-Mailer", "User-Agent", "Precedence"} {
			if read.Header.Get(name) != "" {
				t.Errorf("%s: %s is set", locale, name)
			}
		}
		kinds, bodies := parts(t, read)
		if !slices.Equal(kinds, []string{"text/plain; charset=UTF-8", "text/html; charset=UTF-8"}) {
			t.Errorf("%s: parts %q", locale, kinds)
		}
		if lines(bodies[0]) != lines(m.Text) || lines(bodies[1]) != lines(m.HTML) {
			t.Errorf("%s: the parts do not read as they were written:\n%s", locale, bodies[0])
		}
	}
}

// lines makes the line ends of mail ours again.
func lines(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n") }

// parts reads a letter as a mail program does.
func parts(t *testing.T, read *mail.Message) (kinds, bodies []string) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("the letter is %s, %v", kind, err)
	}
	reader := multipart.NewReader(read.Body, parameters["boundary"])
	for {
		part, err := reader.NextRawPart()
		if err == io.EOF { //nolint:errorlint // as it is given
			return kinds, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = part
		switch part.Header.Get("Content-Transfer-Encoding") {
		case "quoted-printable":
			body = quotedprintable.NewReader(part)
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		kinds, bodies = append(kinds, part.Header.Get("Content-Type")), append(bodies, string(text))
	}
}

// An invitation for a window brings a calendar entry, which mail programs offer to
// keep.
func TestLetterWithCalendarEntry(t *testing.T) {
	m := rendered(t, "ja")
	m.Calendar = notify.CalendarEntry{UID: "inv_1@door.example", Summary: "港レジデンス", Written: m.At, Start: m.At, End: m.At.Add(time.Hour)}.ICS()
	made, err := smtp.Letter(m, mail.Address{Address: "keys@door.example"}, m.To)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := made.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	read, err := mail.ReadMessage(&text)
	if err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("the letter is %s, %v", kind, err)
	}
	reader := multipart.NewReader(read.Body, parameters["boundary"])
	body, err := reader.NextRawPart()
	if err != nil || !strings.HasPrefix(body.Header.Get("Content-Type"), "multipart/alternative") {
		t.Fatalf("the first part is %v, %v", body.Header, err)
	}
	entry, err := reader.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	if got := entry.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/calendar; charset=utf-8; method=PUBLISH") || !strings.Contains(entry.Header.Get("Content-Disposition"), `filename="invitation.ics"`) {
		t.Errorf("attached as %v", entry.Header)
	}
	content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, entry))
	if err != nil || string(content) != m.Calendar {
		t.Errorf("attached: %q, %v", content, err)
	}
}
