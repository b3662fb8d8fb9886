package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/internal/access"
)

// composeReservation is compose for what concerns keys.
func (w writer) composeReservation(c *content, t Template) {
	switch t {
	case access.TemplateAccessInstructions, access.TemplateAccessChanged, access.TemplateVisitorIDConfirmed:
		w.toVisitor(c, true)
		c.Facts = w.facts(w.key, w.property, w.starts, w.ends, w.accessNotes)
		if w.data.VisitorIDNeeded {
			c.Notes = w.notes("reservation.id_first")
		}
		c.Notes = append(c.Notes, w.notes("reservation.pickup", "reservation.dropoff")...)
	case access.TemplateAccessRevoked:
		w.toVisitor(c, false)
		c.Facts = w.facts(w.key, w.property, w.reason, w.bookingCode)
		c.Notes = w.notes("reservation.still_return")
	case access.TemplateReturnKeyReminder:
		w.toVisitor(c, true)
		if w.over() {
			c.Subject, c.Lead = shorten(w.Say("return_key_reminder.subject_over", w.data), maxSubject), w.Say("return_key_reminder.lead_over", w.data)
		}
		c.Facts = w.facts(w.key, w.property, w.ends)
		c.Notes = w.notes("reservation.dropoff")
	case access.TemplateKeyLate:
		w.toVisitor(c, true)
		c.Facts = w.facts(w.key, w.property, w.lateSince)
		c.Notes = w.notes("reservation.dropoff")
	case access.TemplateKeyLateHost:
		c.Facts = w.facts(w.visitor, w.key, w.property, w.lateSince)
		c.Notes = w.notes("key_late_host.again")
	case access.TemplateKeyMissing:
		c.Facts = w.facts(w.key, w.property, w.holder, w.visitor, w.nextStart)
		c.Notes = w.notes("key_missing.what")
	case access.TemplateVisitorIDNeeded:
		w.toVisitor(c, false)
		c.Facts = w.facts(w.key, w.property, w.starts, w.ends)
		c.Action, c.Link, c.LinkHint = w.Say("visitor_id_needed.upload", nil), w.data.BookingURL, w.Say("common.link_hint", nil)
		c.Notes = w.notes("visitor_id_needed.kept")
	case access.TemplateVisitorIDSubmitted:
		c.Facts = w.facts(w.visitor, w.key, w.property, w.starts, w.ends)
	case access.TemplateVisitorIDRejected:
		w.toVisitor(c, false)
		c.Facts = w.facts(w.key, w.property, w.reason)
		c.Action, c.Link, c.LinkHint = w.Say("visitor_id_needed.upload", nil), w.data.BookingURL, w.Say("common.link_hint", nil)
	case access.TemplatePanelLockout:
		c.Facts = w.facts(w.box, w.property, w.lockedUntil)
		c.Notes = w.notes("panel_lockout.who")
	case access.TemplatePanelTamper:
		c.Facts = w.facts(w.panel, w.property, w.tamperedAt)
		c.Notes = w.notes("panel_tamper.what")
	default: // compose has the rest
	}
}

// toVisitor greets the visitor and, where it is of use, shows code and link.
func (w writer) toVisitor(c *content, withCode bool) {
	if w.data.VisitorName != "" {
		c.Greeting = w.Say("reservation.greeting", w.data)
	}
	if withCode {
		c.Code = w.data.BookingCode
		c.Action, c.Link, c.LinkHint = w.Say("reservation.open", nil), w.data.BookingURL, w.Say("common.link_hint", nil)
	}
}

func (w writer) key() fact         { return fact{w.Say("fact.key", nil), w.data.KeyName} }
func (w writer) visitor() fact     { return fact{w.Say("fact.visitor", nil), w.data.VisitorName} }
func (w writer) holder() fact      { return fact{w.Say("fact.holder", nil), w.data.HolderName} }
func (w writer) box() fact         { return fact{w.Say("fact.box", nil), w.data.PanelName} }
func (w writer) accessNotes() fact { return fact{w.Say("fact.access_notes", nil), w.data.AccessNotes} }
func (w writer) bookingCode() fact { return fact{w.Say("details.code", nil), w.data.BookingCode} }
func (w writer) bookingURL() fact  { return fact{w.Say("details.url", nil), w.data.BookingURL} }
func (w writer) lateSince() fact   { return w.at("fact.late_since", w.data.LateSince) }
func (w writer) nextStart() fact   { return w.at("fact.next_start", w.data.NextStart) }
func (w writer) lockedUntil() fact { return w.at("fact.locked_until", w.data.LockedUntil) }
func (w writer) panel() fact       { return fact{w.Say("fact.panel", nil), w.data.PanelName} }
func (w writer) tamperedAt() fact  { return w.at("fact.tampered_at", w.data.TamperedAt) }

func (w writer) at(label string, at time.Time) fact {
	if at.IsZero() {
		return fact{}
	}
	return fact{w.Say(label, nil), w.Instant(at, w.zone)}
}

// over reports that the end has passed: a reminder that the engine could not send
// before says so (K6, T2).
func (w writer) over() bool { return !w.data.LateSince.IsZero() }

// sms is the message as one short text, links in it.
func (w writer) sms(t Template) string {
	phrase := string(t) + ".sms"
	if t == access.TemplateReturnKeyReminder && w.over() {
		phrase += "_over"
	}
	return w.Say(phrase, struct {
		Data
		Starts, Ends, Late, Changes string
	}{w.data, w.instantOr(w.data.StartsAt, "fact.starts_now"), w.instantOr(w.data.EndsAt, "fact.ends_never"), w.Instant(w.data.LateSince, w.zone), strings.Join(w.changes(), " ")})
}

// Details is all that a visitor needs to know, as text to copy (K9): key, window in
// local time with its zone, code, URL, notes, in the language that suits a locale
// best.
func Details(locale string, zone *time.Location, d Data) (string, error) {
	if zone == nil {
		return "", errors.New("details: the property's time zone is missing")
	}
	d = d.clean()
	messages, err := catalog()
	if err != nil {
		return "", fmt.Errorf("details: %w", err)
	}
	w := writer{Voice: messages.In(locale), zone: zone, data: d}
	lines := []string{w.Say("details.title", d)}
	for _, f := range w.facts(w.starts, w.ends, w.bookingCode, w.bookingURL, w.accessNotes) {
		lines = append(lines, f.Label+": "+f.Value)
	}
	notes := []string{"reservation.pickup", "reservation.dropoff"}
	if d.VisitorIDNeeded {
		notes = slices.Insert(notes, 0, "reservation.id_first")
	}
	lines = append(lines, w.notes(notes...)...)
	if err := w.Err(); err != nil {
		return "", fmt.Errorf("details: %w", err)
	}
	return strings.Join(lines, "\n") + "\n", nil
}
