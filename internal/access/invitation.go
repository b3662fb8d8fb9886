package access

import (
	"slices"
	"time"
)

// InvitationState is where an invitation stands in its life.
type InvitationState string

// The states of an invitation. Creating is the claim that precedes the first:
// it is never shown.
const (
	InvitationCreating InvitationState = "creating"
	InvitationInvited  InvitationState = "invited"
	InvitationAccepted InvitationState = "accepted"
	InvitationDeclined InvitationState = "declined"
	InvitationExpired  InvitationState = "expired"
	InvitationRevoked  InvitationState = "revoked"
	InvitationEnded    InvitationState = "ended"
)

// Final reports whether nothing can happen to the invitation any more.
func (s InvitationState) Final() bool {
	switch s {
	case InvitationDeclined, InvitationExpired, InvitationRevoked, InvitationEnded:
		return true
	case InvitationCreating, InvitationInvited, InvitationAccepted:
		return false
	}
	return false
}

// Invitation is the whole state of one invitation: what its workflow carries,
// what Postgres holds, what decisions read. It has ids, instants and enums only;
// names and addresses stay in the directory (E7).
type Invitation struct {
	ID         string          `json:"id"`
	AccountID  string          `json:"account_id"`
	PropertyID string          `json:"property_id"`
	InviterID  string          `json:"inviter_id"`
	GuestID    string          `json:"guest_id"`
	State      InvitationState `json:"state"`
	Window     Window          `json:"window"`
	Entrances  []string        `json:"entrances"`

	TTL      time.Duration `json:"ttl"`      // invitation_ttl of the property at the last look (I5)
	Cooldown time.Duration `json:"cooldown"` // resend_cooldown of the property at the last look (K11)

	CreatedAt  time.Time `json:"created_at"`
	SentAt     time.Time `json:"sent_at,omitzero"`     // the last time the link was sent
	ExpiresAt  time.Time `json:"expires_at,omitzero"`  // when it expires unanswered (I5)
	ResendAt   time.Time `json:"resend_at,omitzero"`   // the queued resend, if there is one (K11)
	RequiredAt time.Time `json:"required_at,omitzero"` // when a manager last asked for verification (I10)
	LapseAt    time.Time `json:"lapse_at,omitzero"`    // when to look whether verification has lapsed (I10)

	Ledger
}

// StateAt is the state that holds at an instant, whether or not a timer has yet
// noticed it (T0).
func (i *Invitation) StateAt(now time.Time) InvitationState {
	switch {
	case i.State == InvitationInvited && !now.Before(i.ExpiresAt):
		return InvitationExpired
	case i.State == InvitationAccepted && i.Window.Over(now):
		return InvitationEnded
	default:
		return i.State
	}
}

// ResendAllowedAt is the earliest instant at which the link may be sent again:
// one cooldown after it was last sent (K11).
func (i *Invitation) ResendAllowedAt() time.Time { return i.SentAt.Add(i.Cooldown) }

// Answerable refuses to accept, decline, edit or resend what is no longer open,
// each with its own code (I4, I5). It returns nil for an invitation that waits for
// its answer.
func (i *Invitation) Answerable(now time.Time) error {
	switch i.StateAt(now) {
	case InvitationInvited:
		return nil
	case InvitationAccepted:
		return &Refusal{Code: CodeAlreadyAccepted, Detail: "The guest has already accepted this invitation."}
	default:
		return i.open(now)
	}
}

// open refuses what has ended in any way.
func (i *Invitation) open(now time.Time) error {
	switch i.StateAt(now) {
	case InvitationCreating, InvitationInvited, InvitationAccepted:
		return nil
	case InvitationDeclined:
		return &Refusal{Code: CodeAlreadyDeclined, Detail: "The guest has declined this invitation. Send a new one if that was a mistake."}
	case InvitationExpired:
		return &Refusal{Code: CodeInvitationExpired, Detail: "The invitation was not answered in time. Ask the inviter to send a new one."}
	case InvitationRevoked:
		return &Refusal{Code: CodeInvitationRevoked, Detail: "The inviter has removed this access. Ask them if you still need it."}
	case InvitationEnded:
		return &Refusal{Code: CodeInvitationEnded, Detail: "The time of this invitation is over. Ask the inviter to send a new one."}
	}
	return nil
}

// Send marks the invitation as sent for the first time. It is what makes a
// claimed invitation an invitation.
func (i *Invitation) Send(now time.Time) {
	i.State = InvitationInvited
	i.sent(now)
	i.change(EventInvitationSent, now, i.InviterID, "")
}

// sent restarts the period of the answer (I5) and the cooldown (K11).
func (i *Invitation) sent(now time.Time) {
	i.SentAt, i.ResendAt = now, time.Time{}
	i.ExpiresAt = earliest(now.Add(i.TTL), i.Window.End)
}

// Accept answers yes (I4). Accepting twice is no error and changes nothing.
func (i *Invitation) Accept(now time.Time) error {
	if i.StateAt(now) == InvitationAccepted {
		return nil
	}
	if err := i.Answerable(now); err != nil {
		return err
	}
	i.State, i.ResendAt = InvitationAccepted, time.Time{}
	i.change(EventInvitationAccepted, now, i.GuestID, "")
	return nil
}

// Decline answers no and ends the invitation (I4). Declining twice is no error
// and changes nothing.
func (i *Invitation) Decline(now time.Time) error {
	if i.State == InvitationDeclined {
		return nil
	}
	if err := i.Answerable(now); err != nil {
		return err
	}
	i.end(InvitationDeclined, EventInvitationDeclined, now, i.GuestID, "")
	return nil
}

// Revoke takes the access away (I13). Revoking what is revoked changes nothing;
// what ended otherwise is refused with how it ended.
func (i *Invitation) Revoke(now time.Time, actorID, noteID string) error {
	if i.State == InvitationRevoked {
		return nil
	}
	if err := i.open(now); err != nil {
		return err
	}
	i.end(InvitationRevoked, EventInvitationRevoked, now, actorID, noteID)
	return nil
}

// Resend sends the link again, now or, with whenAllowed, as soon as the cooldown
// allows (K11). The old link stays valid and the period of the answer restarts
// (I5). A second request while one is queued changes nothing.
func (i *Invitation) Resend(now time.Time, whenAllowed bool, actorID string) error {
	if err := i.Answerable(now); err != nil {
		return err
	}
	allowed := i.ResendAllowedAt()
	switch {
	case !now.Before(allowed):
		i.sent(now)
		i.change(EventInvitationSent, now, actorID, "")
	case !whenAllowed:
		return &Refusal{
			Code:          CodeResendCooldown,
			Detail:        "The invitation was sent a short while ago. Try again at next_allowed_at, or ask with when=allowed to have it sent then.",
			NextAllowedAt: allowed,
		}
	case i.ResendAt.IsZero():
		i.ResendAt = allowed
		i.touch(now)
	}
	return nil
}

// Edit is a change of what an invitation gives (I14) or, while it is unanswered,
// of whom it is for (I5). Nil fields stay as they are.
type Edit struct {
	Window    *Window  `json:"window,omitempty"`
	Entrances []string `json:"entrances,omitempty"`
	GuestID   string   `json:"guest_id,omitempty"`
	Revision  int64    `json:"revision,omitzero"` // the one that was read; zero: whichever it is
}

// Edit applies an edit. A new guest gets a link of their own at once; the old one
// dies with the change (I5).
func (i *Invitation) Edit(now time.Time, e Edit, actorID string) error {
	if err := i.open(now); err != nil {
		return err
	}
	if err := i.stillAt(e.Revision); err != nil {
		return err
	}
	newGuest := e.GuestID != "" && e.GuestID != i.GuestID
	if newGuest {
		if err := i.Answerable(now); err != nil {
			return err
		}
	}
	if e.Window != nil {
		if err := e.Window.Check(); err != nil {
			return err
		}
		i.Window = *e.Window
	}
	if len(e.Entrances) > 0 {
		i.Entrances = slices.Clone(e.Entrances)
	}
	if newGuest {
		i.GuestID = e.GuestID
	}
	i.change(EventInvitationEdited, now, actorID, "")
	switch {
	case newGuest:
		i.sent(now)
		i.change(EventInvitationSent, now, actorID, "")
	case i.State == InvitationInvited:
		i.ExpiresAt = earliest(i.SentAt.Add(i.TTL), i.Window.End)
	}
	return nil
}

// RequireVerification makes the guest verify again before the next unlock (I10).
func (i *Invitation) RequireVerification(now time.Time, actorID string) error {
	if err := i.open(now); err != nil {
		return err
	}
	i.RequiredAt, i.LapseAt = now, time.Time{}
	i.change(EventVerificationLapsed, now, actorID, "")
	return nil
}

// end closes the invitation for good.
func (i *Invitation) end(s InvitationState, t EventType, at time.Time, actorID, noteID string) {
	i.State, i.ResendAt, i.LapseAt = s, time.Time{}, time.Time{}
	i.change(t, at, actorID, noteID)
}

// earliest is the earlier of two instants, where zero means none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
