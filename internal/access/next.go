package access

import (
	"slices"
	"time"
)

// Action is what an item's workflow has to do next.
type Action string

// The actions of an item. Wait sleeps until the step's instant (for ever if it is
// zero) or until something is asked of the item; Close ends the workflow.
const (
	ActionWait               Action = "wait"
	ActionRecord             Action = "record"
	ActionSend               Action = "send"
	ActionResend             Action = "resend"
	ActionExpire             Action = "expire"
	ActionEnd                Action = "end"
	ActionReviewVerification Action = "review_verification"
	ActionClose              Action = "close"
)

// What happens without anybody doing anything: shown, never performed.
const (
	ActionStart Action = "start"
	ActionLapse Action = "verification_lapse"
	ActionWarn  Action = "verification_warning" // I11
)

// Deadline is something that will happen to an item by itself (T3).
type Deadline struct {
	At   time.Time `json:"at"`
	What Action    `json:"what"`
}

// Next says what an invitation has to do at an instant: the one thing that is
// due, or to wait until the next deadline. What has been decided is recorded
// before anything else is done, so that a crash between the two repeats nothing.
func (i *Invitation) Next(now time.Time) Deadline {
	if i.Recorded < i.Revision {
		return Deadline{What: ActionRecord, At: now}
	}
	if i.State == InvitationCreating {
		return Deadline{What: ActionSend, At: now}
	}
	deadlines := i.Deadlines()
	switch {
	case i.State.Final():
		return Deadline{What: ActionClose, At: now}
	case len(deadlines) == 0:
		return Deadline{What: ActionWait}
	case i.StateAt(now) == InvitationExpired: // a resend that the engine slept through cannot revive it
		return Deadline{What: ActionExpire, At: i.ExpiresAt}
	case deadlines[0].At.After(now):
		return Deadline{What: ActionWait, At: deadlines[0].At}
	default:
		return deadlines[0]
	}
}

// Deadlines lists what will happen to the invitation if nobody does anything,
// soonest first (T3). What ends it comes before what it would have done at the
// same instant.
func (i *Invitation) Deadlines() []Deadline {
	var list []Deadline
	add := func(at time.Time, what Action) {
		if !at.IsZero() {
			list = append(list, Deadline{at, what})
		}
	}
	if i.State == InvitationInvited {
		add(i.ExpiresAt, ActionExpire)
		add(i.ResendAt, ActionResend)
	}
	if i.State == InvitationAccepted {
		add(i.Window.End, ActionEnd)
		add(i.LapseAt, ActionReviewVerification)
	}
	slices.SortStableFunc(list, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return list
}

// Fire carries out a deadline that is due. What ends the invitation bears the
// deadline's own time, not the moment it was noticed (T0, T2); what sends the link
// restarts its periods when it is really sent.
func (i *Invitation) Fire(d Deadline, now time.Time) {
	switch d.What {
	case ActionSend:
		i.Send(now)
	case ActionResend:
		i.sent(now)
		i.change(EventInvitationSent, now, "", "")
	case ActionExpire:
		i.end(InvitationExpired, EventInvitationExpired, d.At, "", "")
	case ActionEnd:
		i.end(InvitationEnded, EventInvitationEnded, d.At, "", "")
	case ActionWait, ActionRecord, ActionReviewVerification, ActionClose, ActionStart, ActionLapse, ActionWarn, ActionLook, ActionRemind, ActionLate, ActionCheckKey:
	}
}

// Coming lists what will happen to an item by itself, soonest first (T3): its
// deadlines, and what only changes how decisions come out. It shows what Deadlines
// acts on and nothing that has passed.
func Coming(f Facts, now time.Time) []Deadline {
	var list []Deadline
	state := f.Invitation.StateAt(now)
	if state.Final() {
		return nil
	}
	if f.Invitation.Window.NotYet(now) {
		list = append(list, Deadline{At: f.Invitation.Window.Start, What: ActionStart})
	}
	if status := VerificationAt(f, now); state == InvitationAccepted && status.State == VerificationDone && !status.ValidUntil.IsZero() {
		if status.WarnAt.After(now) {
			list = append(list, Deadline{At: status.WarnAt, What: ActionWarn})
		}
		list = append(list, Deadline{At: status.ValidUntil, What: ActionLapse})
	}
	for _, d := range f.Invitation.Deadlines() {
		if d.What != ActionReviewVerification && d.At.After(now) {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return list
}
