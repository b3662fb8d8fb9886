package access

import "time"

// Plan is what the clocks and the policy of a property make of a reservation. It
// is worked out outside workflows, because the rules of time zones change, and again
// when the property's zone does (T4).
type Plan struct {
	Window      Window        `json:"window"`
	Zone        string        `json:"zone"`                  // the IANA zone it was worked out in
	ReminderAt  time.Time     `json:"reminder_at,omitzero"`  // when to remind, if it is wanted (K6)
	ReminderDay string        `json:"reminder_day,omitzero"` // the end date: 2026-12-03
	Since       time.Time     `json:"since"`                 // when it was made: what should have been before that is due then
	LateAfter   time.Duration `json:"late_after"`            // late_key_after of the property (K13)
	Cooldown    time.Duration `json:"cooldown"`              // resend_cooldown of the property (K11)
}

// PlanReservation works out a plan. The wall-clock ends of the window, where it
// has them, are read in zone (T1, T4).
func PlanReservation(w Window, zone *time.Location, policy Policy, now time.Time) (Plan, error) {
	w, err := w.In(zone)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Window: w, Zone: zone.String(), Since: now, LateAfter: policy.LateKeyAfter, Cooldown: policy.ResendCooldown}
	if !w.End.IsZero() {
		p.ReminderAt, p.ReminderDay, err = ReturnReminder(w.End, zone, policy.ReturnReminderAt)
	}
	return p, err
}

// Same reports whether two plans come to the same, whenever they were made.
func (p Plan) Same(o Plan) bool {
	return p.Window.Same(o.Window) && p.Zone == o.Zone && p.ReminderAt.Equal(o.ReminderAt) && p.ReminderDay == o.ReminderDay &&
		p.LateAfter == o.LateAfter && p.Cooldown == o.Cooldown
}

// Kind is the kind of a reservation with this plan: an end makes it one_time (K6).
func (p Plan) Kind() ReservationKind {
	if p.Window.End.IsZero() {
		return Ongoing
	}
	return OneTime
}

// ReturnReminder says when to remind a visitor whose access ends at end, and on
// which local calendar day access expires (K6): at the clock time on that day; two
// hours before the end, but not before midnight, where the end is earlier than that
// time. An end at 00:00 belongs to the day before.
func ReturnReminder(end time.Time, zone *time.Location, clock string) (at time.Time, day string, err error) {
	minutes, err := clockMinutes(clock)
	if err != nil {
		return at, "", err
	}
	local := end.In(zone).Add(-time.Nanosecond) // the last moment of access is on the day on which it expires
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	day = midnight.Format(time.DateOnly)
	at = resolveWall(midnight.Add(time.Duration(minutes)*time.Minute), zone, StartEdge)
	if !end.Before(at) {
		return at.UTC(), day, nil
	}
	at = end.Add(-2 * time.Hour)
	if begin := resolveWall(midnight, zone, StartEdge); at.Before(begin) {
		at = begin
	}
	return at.UTC(), day, nil
}
