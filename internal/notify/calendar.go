package notify

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// CalendarEntry is a time in somebody's calendar (RFC 5545). The same UID with a
// higher Sequence takes the place of the entry before. All instants are UTC.
type CalendarEntry struct {
	UID         string
	Sequence    int64
	Written     time.Time // when this version was made
	Start, End  time.Time
	Summary     string
	Location    string
	Description string
}

// How [CalendarEntry.ICS] is attached to an email.
const (
	CalendarType = "text/calendar; charset=utf-8; method=PUBLISH"
	CalendarName = "invitation.ics"
)

// ICS writes the entry as a file for calendars. It makes nobody busy and is
// tentative: whoever has it may go in, and need not.
func (e CalendarEntry) ICS() string {
	var text strings.Builder
	line := func(name, value string) { fold(&text, name+":"+value) }
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//Latchkey//EN")
	line("METHOD", "PUBLISH")
	line("BEGIN", "VEVENT")
	line("UID", escape(e.UID))
	line("SEQUENCE", strconv.FormatInt(e.Sequence, 10))
	line("DTSTAMP", utc(e.Written))
	line("DTSTART", utc(e.Start))
	line("DTEND", utc(e.End))
	line("SUMMARY", escape(e.Summary))
	line("LOCATION", escape(e.Location))
	line("DESCRIPTION", escape(e.Description))
	line("STATUS", "TENTATIVE")
	line("TRANSP", "TRANSPARENT")
	line("CLASS", "PRIVATE")
	line("END", "VEVENT")
	line("END", "VCALENDAR")
	return text.String()
}

func utc(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

var escaper = strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`)

func escape(s string) string { return escaper.Replace(s) }

// foldAt is how many bytes a line may have.
const foldAt = 75

// fold writes a line, in pieces if it is long, none of which ends within a character.
func fold(text *strings.Builder, line string) {
	for room := foldAt; len(line) > room; room = foldAt - 1 { // the blank that begins the next piece counts
		cut := room
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		text.WriteString(line[:cut] + "\r\n ")
		line = line[cut:]
	}
	text.WriteString(line + "\r\n")
}
