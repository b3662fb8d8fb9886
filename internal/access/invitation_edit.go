package access

import (
	"slices"
	"time"
)

// Edit is a change of what an invitation gives (I14) or, while it is unanswered,
// of whom it is for (I5). Nil fields stay as they are.
type Edit struct {
	Window    *Window   `json:"window,omitempty"`
	Entrances []string  `json:"entrances,omitempty"`
	GuestID   string    `json:"guest_id,omitempty"`
	Until     time.Time `json:"until,omitzero"`    // the new guest's place under the cap is held as long (I12)
	Revision  int64     `json:"revision,omitzero"` // the one that was read; zero: whichever it is
}

// Edit applies an edit. A new guest gets a link of their own at once; the old one
// dies with the change (I5). Who stays the guest is told what has changed (I14).
func (i *Invitation) Edit(now time.Time, e Edit, actorID string) error {
	if err := i.open(now); err != nil {
		return err
	}
	if !e.Until.IsZero() && now.After(e.Until) {
		return &Refusal{Code: CodeRequestTooLate, Detail: "The change was not made in time. Send it again."}
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
	}
	changes := i.differences(e)
	if e.Window != nil {
		i.Window = *e.Window
	}
	if len(e.Entrances) > 0 {
		i.Entrances = slices.Clone(e.Entrances)
	}
	if newGuest {
		i.GuestID = e.GuestID
	}
	if newGuest || len(changes) == 0 { // the new guest learns all of it from the invitation itself
		i.silently(EventInvitationEdited, now, actorID)
	} else {
		i.change(EventInvitationEdited, now, actorID, "")
		i.Pending[len(i.Pending)-1].Differences = changes
	}
	switch {
	case newGuest:
		i.sent(now)
		i.change(EventInvitationSent, now, actorID, "")
	case i.State == InvitationInvited:
		i.ExpiresAt = earliest(i.SentAt.Add(i.TTL), i.Window.End)
	}
	return nil
}

// differences is what an edit would change for the guest (I14).
func (i *Invitation) differences(e Edit) []Difference {
	var list []Difference
	if e.Window != nil && !e.Window.Same(i.Window) {
		list = append(list, Difference{What: WindowMoved, Start: e.Window.Start, End: e.Window.End})
	}
	if len(e.Entrances) == 0 {
		return list
	}
	for _, id := range e.Entrances {
		if !slices.Contains(i.Entrances, id) {
			list = append(list, Difference{What: EntranceAdded, EntranceID: id})
		}
	}
	for _, id := range i.Entrances {
		if !slices.Contains(e.Entrances, id) {
			list = append(list, Difference{What: EntranceRemoved, EntranceID: id})
		}
	}
	return list
}

// Retime takes over the periods of a property's changed policy (I5, K11): the
// answer is due one period after the link was last sent, and a queued resend leaves
// one cooldown after it. What that makes overdue expires with the change, not before
// it. Nobody is told: the invitation itself is the same.
func (i *Invitation) Retime(now, changedAt time.Time, ttl, cooldown time.Duration) error {
	if err := i.Answerable(now); err != nil {
		return err
	}
	if i.TTL == ttl && i.Cooldown == cooldown {
		return nil
	}
	if i.TTL != ttl {
		i.ExpiresAt = earliest(latest(i.SentAt.Add(ttl), changedAt), i.Window.End)
	}
	i.TTL, i.Cooldown = ttl, cooldown
	if !i.ResendAt.IsZero() {
		i.ResendAt = i.ResendAllowedAt()
	}
	i.touch(now)
	return nil
}

// Leave gives the access up for the guest who has it (I17). Leaving twice is no
// error and changes nothing.
func (i *Invitation) Leave(now time.Time) error {
	if i.State == InvitationEnded && !i.LeftAt.IsZero() {
		return nil
	}
	if err := i.open(now); err != nil {
		return err
	}
	if i.State != InvitationAccepted {
		return &Refusal{Code: CodeNotActive, Detail: "The invitation has not been accepted yet. Decline it instead."}
	}
	i.LeftAt = now
	i.end(InvitationEnded, EventInvitationLeft, now, i.GuestID, "")
	return nil
}

// Move makes another member the inviter, because the one who gave the access has
// been removed (I17). Nothing changes for the guest.
func (i *Invitation) Move(now time.Time, inviterID, actorID string) error {
	if err := i.open(now); err != nil || i.InviterID == inviterID {
		return err
	}
	i.InviterID = inviterID
	i.silently(EventInvitationEdited, now, actorID)
	return nil
}

// Move makes another member the host, because the one who gave the key has been
// removed (I17). A reservation that is over can be moved as long as its key is out.
func (r *Reservation) Move(now time.Time, hostID, actorID string) error {
	if r.HostID != hostID {
		r.HostID = hostID
		r.silently(EventReservationEdited, now, actorID)
	}
	return nil
}
