package notify

import (
	"slices"
	"strconv"
	"time"

	"latchkey/internal/access"
)

// Change is one thing that has changed for the reader, with the name of the
// entrance that it is about, if it is about one.
type Change struct {
	access.Difference
	EntranceName string
}

// composeChange is compose for what has changed: by an edit, by the manager of the
// property, or because somebody has left.
func (w writer) composeChange(c *content, t Template) {
	switch t {
	case access.TemplateVerificationLapsing:
		c.Greeting = w.greeting()
		c.Facts = w.facts(w.property, w.entrances, w.verifyBy)
		c.Notes = w.notes("verification_lapsing.use", "verification_required.how")
	case access.TemplateInvitationChanged:
		c.Greeting = w.greeting()
		c.Facts = append(w.changeFacts(), w.facts(w.property, w.entrances, w.starts, w.ends)...)
	case access.TemplateInvitationLeft:
		c.Facts = w.facts(w.guest, w.property, w.entrances)
		c.Notes = w.notes("invitation_left.nothing_to_do")
	case access.TemplateInvitationsMoved:
		c.Footer = w.Say("common.footer_without_property", nil) // it may be about several
		c.Facts = w.facts(w.guestCount, w.visitorCount)
		c.Notes = w.notes("invitations_moved.control")
	case access.TemplateAccessRulesChanged:
		w.composeRules(c)
	default: // compose has the rest
	}
}

// composeRules is what a change of the property means for the reader (I12): a guest
// or visitor, or the member who has given them access.
func (w writer) composeRules(c *content) {
	c.Facts = w.changeFacts()
	switch {
	case w.data.ToMember:
		c.Subject = shorten(w.Say("access_rules_changed.subject_member", w.data), maxSubject)
		c.Lead = w.Say("access_rules_changed.lead_member", w.data)
		c.Facts = append(c.Facts, w.facts(w.property, w.guestCount, w.visitorCount)...)
		c.Notes = w.notes("access_rules_changed.told")
	case w.data.KeyName != "":
		if w.data.VisitorName != "" {
			c.Greeting = w.Say("reservation.greeting", w.data)
		}
		c.Facts = append(c.Facts, w.facts(w.property, w.key)...)
	default:
		c.Greeting = w.greeting()
		c.Facts = append(c.Facts, w.facts(w.property, w.entrances)...)
		if slices.ContainsFunc(w.data.Changes, func(c Change) bool { return c.What == access.VerificationOn || c.What == access.VerificationPeriod }) {
			c.Notes = w.notes("verification_required.how")
		}
	}
}

func (w writer) verifyBy() fact { return w.at("fact.verify_by", w.data.VerifyBy) }

func (w writer) guestCount() fact   { return w.number("fact.guest_count", w.data.Guests) }
func (w writer) visitorCount() fact { return w.number("fact.visitor_count", w.data.Visitors) }

func (w writer) number(label string, n int) fact {
	if n == 0 {
		return fact{}
	}
	return fact{w.Say(label, nil), strconv.Itoa(n)}
}

// changeFacts is a line for each change, the first of which bears the label.
func (w writer) changeFacts() []fact {
	facts := make([]fact, 0, len(w.data.Changes))
	for _, line := range w.changes() {
		facts = append(facts, fact{w.Say("fact.changed", nil), line})
	}
	return facts
}

// changes are the sentences about what has changed.
func (w writer) changes() []string {
	lines := make([]string, 0, len(w.data.Changes))
	for _, c := range w.data.Changes {
		lines = append(lines, w.change(c))
		if !c.Until.IsZero() {
			lines = append(lines, w.Say("change.verify_by", map[string]string{"Until": w.Instant(c.Until, w.zone)}))
		}
	}
	return lines
}

func (w writer) change(c Change) string {
	id := "change." + string(c.What)
	data := map[string]string{
		"Entrance": c.EntranceName, "Starts": w.instantOr(c.Start, "fact.starts_now"), "Ends": w.instantOr(c.End, "fact.ends_never"),
	}
	if c.EntranceName == "" {
		data["Entrance"] = w.Count("fact.entrances", 1, nil)
	}
	switch c.What {
	case access.EntranceTimes:
		data["Times"] = w.times(c.Schedules)
	case access.VerificationOn, access.VerificationPeriod:
		data["Period"] = w.period(c.Period)
		if c.Period == 0 {
			id += "_for_good"
		}
	case access.WindowMoved, access.EntranceAdded, access.EntranceRemoved, access.SharingOff, access.SharingOn, access.LockDownOn, access.LockDownOff,
		access.VerificationOff, access.EntranceShared, access.EntranceNotShared, access.EntranceAlways:
	}
	return w.Say(id, data)
}

// period writes a length of time in the largest unit that needs no other.
func (w writer) period(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		id     string
	}{{24 * time.Hour, "period.days"}, {time.Hour, "period.hours"}, {time.Minute, "period.minutes"}} {
		if d >= unit.length && d%unit.length == 0 {
			n := int(d / unit.length)
			return w.Count(unit.id, n, map[string]int{"N": n})
		}
	}
	n := int(d.Round(time.Second) / time.Second)
	return w.Count("period.seconds", n, map[string]int{"N": n})
}

var week = []access.Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

var weekdayIDs = map[access.Weekday]string{
	"mon": "weekday.Mon", "tue": "weekday.Tue", "wed": "weekday.Wed", "thu": "weekday.Thu", "fri": "weekday.Fri", "sat": "weekday.Sat", "sun": "weekday.Sun",
}

// times writes weekly schedules: "Mon–Fri 08:00–20:00".
func (w writer) times(schedules []access.Schedule) string {
	parts := make([]string, 0, len(schedules))
	for _, s := range schedules {
		id := "change.times"
		if s.To <= s.From { // clock times of equal length compare as texts
			id = "change.times_overnight"
		}
		parts = append(parts, w.Say(id, map[string]string{"Days": w.days(s.Days), "From": s.From, "To": s.To}))
	}
	return w.List(parts)
}

// days writes three days in a row or more as a range.
func (w writer) days(days []access.Weekday) string {
	var parts []string
	for n := 0; n < len(week); {
		end := n
		for end < len(week) && slices.Contains(days, week[end]) {
			end++
		}
		switch length := end - n; {
		case length == len(week):
			return w.Say("change.every_day", nil)
		case length >= 3:
			parts = append(parts, w.Say("change.range", map[string]string{"From": w.day(week[n]), "To": w.day(week[end-1])}))
		default:
			for _, day := range week[n:end] {
				parts = append(parts, w.day(day))
			}
		}
		n = end + 1
	}
	return w.List(parts)
}

func (w writer) day(d access.Weekday) string { return w.Say(weekdayIDs[d], nil) }
