package access

import (
	"slices"
	"time"
)

// The actions of a reservation, besides those it shares with invitations.
const (
	ActionLook     Action = "look"                // read the rows that others write
	ActionRemind   Action = "return_key_reminder" // K6
	ActionLate     Action = "key_late"            // K13
	ActionCheckKey Action = "key_check"           // two hours before the start (K13)
	missingLead           = 2 * time.Hour
	lateAgain             = 24 * time.Hour
	endPause              = 30 * time.Millisecond // between two of many that end in one instant
	endMost               = 150 * time.Second
	reminderPause         = 10 * time.Millisecond
	reminderMost          = 50 * time.Second
)

// Next says what a reservation has to do at an instant: the one thing that is due,
// or to wait until the next deadline. It is over when picking up has ended and the
// key is back.
func (r *Reservation) Next(now time.Time) Deadline {
	switch {
	case r.Recorded < r.Revision:
		return Deadline{What: ActionRecord, At: now}
	case r.State == ReservationCreating:
		return Deadline{What: ActionSend, At: now}
	case r.Look:
		return Deadline{What: ActionLook, At: now}
	}
	deadlines := r.Deadlines()
	switch {
	case len(deadlines) == 0 && r.State.Over() && r.KeyOut.IsZero():
		return Deadline{What: ActionClose, At: now}
	case len(deadlines) == 0:
		return Deadline{What: ActionWait}
	case deadlines[0].At.After(now):
		return Deadline{What: ActionWait, At: deadlines[0].At}
	default:
		return deadlines[0]
	}
}

// Deadlines lists what the reservation will do if nobody does anything, soonest
// first. Many reservations end in the same instant, when rooms are checked out: what
// is only bookkeeping is spread by [Reservation.Place], so that doors do not wait
// for it. Boxes and decisions keep the end itself.
func (r *Reservation) Deadlines() []Deadline {
	var list []Deadline
	add := func(at time.Time, what Action) {
		if !at.IsZero() {
			list = append(list, Deadline{at, what})
		}
	}
	w := r.Plan.Window
	if r.State == ReservationScheduled {
		if !w.End.IsZero() {
			add(w.End.Add(spread(r.Place, endPause, endMost)), ActionEnd)
		}
		if !w.Start.IsZero() && !r.WarnedFor.Equal(w.Start) {
			add(w.Start.Add(-missingLead), ActionCheckKey)
		}
	}
	if at := r.reminderAt(); !at.IsZero() && !r.KeyOut.IsZero() && r.State != ReservationRevoked {
		add(latest(at.Add(spread(r.Place, reminderPause, reminderMost)), r.KeyOut, r.Plan.Since), ActionRemind)
	}
	if r.State != ReservationRevoked {
		add(r.ResendAt, ActionResend)
	}
	add(r.lateAt(), ActionLate)
	slices.SortStableFunc(list, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return list
}

// reminderAt is when the visitor is to be reminded (K6); zero if not, or not any
// more for this end date.
func (r *Reservation) reminderAt() time.Time {
	if !r.ReturnReminder || r.remindedOf(r.Plan.ReminderDay) {
		return time.Time{}
	}
	return r.Plan.ReminderAt
}

// lateAt is when host and visitor are told that the key is still out, for the
// first time or again (K13); zero if it is back or access is not over.
func (r *Reservation) lateAt() time.Time {
	if r.KeyOut.IsZero() || !r.State.Over() {
		return time.Time{}
	}
	if !r.LateTold.IsZero() {
		return r.LateTold.Add(lateAgain)
	}
	over := r.Plan.Window.End
	if r.State == ReservationRevoked {
		over = earliest(r.RevokedAt, over)
	}
	return latest(over.Add(r.Plan.LateAfter), r.KeyOut)
}

// Fire carries out a deadline that is due. The end bears its own time, not the
// moment it was noticed (T0, T2).
func (r *Reservation) Fire(d Deadline, now time.Time) {
	switch d.What {
	case ActionSend:
		r.Confirmed(now)
	case ActionEnd:
		r.State = ReservationEnded
		r.change(EventReservationEnded, r.Plan.Window.End, "", "")
	case ActionResend:
		r.SentAt, r.ResendAt = now, time.Time{}
		r.change(EventInstructionsResent, now, "", "")
	case ActionRemind:
		r.Reminded = last(append(slices.Clone(r.Reminded), r.Plan.ReminderDay), handledKept)
		r.change(EventReturnReminderSent, d.At, "", "")
	case ActionLate:
		r.LateTold = now
		r.change(EventKeyLate, d.At, "", "")
	case ActionWait, ActionRecord, ActionExpire, ActionReviewVerification, ActionClose, ActionStart, ActionLapse, ActionWarn, ActionLook, ActionCheckKey:
	}
}

// CheckKey is the look two hours before the start: the host is warned if the key
// is not in a box (K13).
func (r *Reservation) CheckKey(s Standing, at, now time.Time) {
	r.Learn(s, now)
	r.WarnedFor = r.Plan.Window.Start
	if !s.InBox && s.KeyOut.IsZero() && r.State == ReservationScheduled {
		r.change(EventKeyMissing, at, "", "")
	} else {
		r.touch(now)
	}
}

// ComingOf lists what will happen to a reservation by itself, soonest first (T3).
func ComingOf(r *Reservation, now time.Time) []Deadline {
	var list []Deadline
	add := func(at time.Time, what Action) {
		if at.After(now) {
			list = append(list, Deadline{at, what})
		}
	}
	w := r.Plan.Window
	switch r.StateAt(now) {
	case ReservationScheduled, ReservationActive:
		add(w.Start, ActionStart)
		add(w.End, ActionEnd)
		add(r.reminderAt(), ActionRemind)
		if !r.WarnedFor.Equal(w.Start) {
			add(w.Start.Add(-missingLead), ActionCheckKey)
		}
	case ReservationEnded, ReservationRevoked, ReservationCreating:
	}
	if r.State != ReservationRevoked {
		add(r.ResendAt, ActionResend)
	}
	add(r.lateAt(), ActionLate)
	slices.SortStableFunc(list, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return list
}

// spread is how long after the instant the one in this place takes its turn.
func spread(place int, pause, most time.Duration) time.Duration {
	return min(time.Duration(place)*pause, most)
}

func latest(instants ...time.Time) time.Time {
	return slices.MaxFunc(instants, time.Time.Compare)
}

func last[T any](list []T, kept int) []T {
	if extra := len(list) - kept; extra > 0 {
		return slices.Delete(list, 0, extra)
	}
	return list
}
