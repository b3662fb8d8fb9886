package store

import (
	"slices"
	"sort"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// CodePastUnknown says that what held at an instant was not kept (E5).
const CodePastUnknown = "past_unknown"

func pastUnknown(what string) error {
	return &directory.Error{Code: CodePastUnknown,
		Detail: "What held for the " + what + " at this instant was not kept, so the decision of then cannot be known. Ask for a later instant."}
}

// InvitationHistory is everything that decisions about one invitation have ever
// read, so that any number of past instants are answered by looking up. It says
// what was committed at an instant: an opening that a panel reported late counts
// from its own time, but not before it was reported, since no decision knew of it.
type InvitationHistory struct {
	claimed   access.Invitation // before its first revision
	revisions timeline[access.Invitation]
	uses      timeline[access.Use]
	property  timeline[propertyThen]
	entrances map[string]entranceHistory

	inviterRemoved time.Time // zero: never (I17)
}

// KeyHistory is [InvitationHistory] for a reservation and its key.
type KeyHistory struct {
	claimed    access.Reservation
	revisions  timeline[access.Reservation]
	custody    timeline[access.Custody]
	properties map[string]timeline[propertyThen]
	boxes      map[string]string // the property of each box that had the key
}

// propertyThen is a property as it was for a while.
type propertyThen struct {
	policy access.Policy
	zone   *time.Location
}

type entranceHistory struct {
	propertyID string
	revisions  timeline[entranceDocument]
	whole      bool // the first revision is that of its creation
}

// At gives the facts and the entrance as decisions found them at an instant.
// Before the invitation was made it was in the making; an entrance that did not
// exist, or does no more, is one that nobody shares.
func (h *InvitationHistory) At(entranceID string, at time.Time) (access.Facts, access.Entrance, error) {
	history := h.entrances[entranceID]
	e := access.Entrance{ID: entranceID, PropertyID: history.propertyID}
	inv, made := h.revisions.at(at)
	if !made {
		return access.Facts{Invitation: h.claimed, Zone: time.UTC}, e, nil
	}
	property, known := h.property.at(at)
	if !known {
		return access.Facts{}, e, pastUnknown("property")
	}
	use, _ := h.uses.at(at)
	f := access.Facts{
		Invitation: inv, Use: use, Policy: property.policy, Zone: property.zone,
		InviterRemoved: !h.inviterRemoved.IsZero() && !at.Before(h.inviterRemoved),
	}
	document, exists := history.revisions.at(at)
	switch {
	case exists:
		e.Shareable, e.Schedules = document.Shareable, document.Schedules
	case !history.knows(at):
		return f, e, pastUnknown("entrance")
	}
	return f, e, nil
}

// knows reports whether an entrance that is not in the history at an instant did
// not exist then: it had yet to be made, or was deleted.
func (h entranceHistory) knows(at time.Time) bool {
	if len(h.revisions) == 0 {
		return false
	}
	first, last := h.revisions[0], h.revisions[len(h.revisions)-1]
	return h.whole && at.Before(first.from) || !last.to.IsZero() && !at.Before(last.to)
}

// At gives the facts as decisions found them at an instant. Before the reservation
// was made it was in the making.
func (h *KeyHistory) At(at time.Time) (access.KeyFacts, error) {
	r, made := h.revisions.at(at)
	if !made {
		return access.KeyFacts{Reservation: h.claimed}, nil
	}
	f := access.KeyFacts{Reservation: r}
	var known bool
	if f.Custody, known = h.custody.at(at); !known {
		return f, pastUnknown("key")
	}
	concerned := []string{r.PropertyID}
	if f.Custody.State == access.CustodyInBox {
		concerned = append(concerned, h.boxes[f.Custody.PanelID])
	}
	for _, id := range concerned {
		property, known := h.properties[id].at(at)
		if !known {
			return f, pastUnknown("property of the key, or of the box that had it,")
		}
		f.LockedDown = f.LockedDown || property.policy.LockedDown()
	}
	return f, nil
}

// held is a value and how long it held. A zero to is until the next one, or until now.
type held[T any] struct {
	from, to time.Time
	value    T
}

// timeline is what held when, earliest first.
type timeline[T any] []held[T]

// newTimeline takes values in the order in which they replaced each other. The
// clocks of two processes may disagree about that order by a little; the order counts.
func newTimeline[T any](list []held[T]) timeline[T] {
	list = slices.Clone(list)
	for n := len(list) - 2; n >= 0; n-- {
		if list[n+1].from.Before(list[n].from) {
			list[n].from = list[n+1].from
		}
	}
	return list
}

// at is what held at an instant, if anything is known to have.
func (t timeline[T]) at(at time.Time) (value T, known bool) {
	after := sort.Search(len(t), func(n int) bool { return t[n].from.After(at) })
	if after == 0 {
		return value, false
	}
	h := t[after-1]
	if !h.to.IsZero() && !at.Before(h.to) {
		return value, false
	}
	return h.value, true
}

// use is one event that changed what a guest has done with an invitation.
type use struct {
	at, recordedAt time.Time
	verified       bool // on site; else opened
}

// newUses is what the guest had done, as it was known at any instant. Another
// guest begins with nothing (I5).
func newUses(uses []use, revisions timeline[access.Invitation]) timeline[access.Use] {
	var list []held[access.Use]
	var u access.Use
	guests := newGuests(revisions)
	for _, event := range uses {
		for len(guests) > 0 && !guests[0].After(event.recordedAt) {
			u = access.Use{}
			list = append(list, held[access.Use]{from: guests[0]})
			guests = guests[1:]
		}
		switch {
		case event.verified:
			u.VerifiedAt = event.at
		case event.at.After(u.LastUsedAt):
			u.LastUsedAt = event.at
		}
		list = append(list, held[access.Use]{from: event.recordedAt, value: u})
	}
	for _, at := range guests {
		list = append(list, held[access.Use]{from: at})
	}
	return newTimeline(list)
}

// newGuests is when an invitation was given to somebody else.
func newGuests(revisions timeline[access.Invitation]) (at []time.Time) {
	for n := 1; n < len(revisions); n++ {
		if revisions[n].value.GuestID != revisions[n-1].value.GuestID {
			at = append(at, revisions[n].from)
		}
	}
	return at
}

// newCustody replays the chain of custody by the rule that wrote it (K12). A key
// that another one was found in the place of is nowhere known, whatever was
// reported of it before.
func newCustody(chain []CustodyChange) timeline[access.Custody] {
	var list []held[access.Custody]
	for n, change := range chain {
		c := change.Custody
		if n == 0 {
			c.Revision = 1
			list = append(list, held[access.Custody]{from: change.RecordedAt, value: c})
			continue
		}
		before := list[len(list)-1].value
		after, changed := before.Apply(access.CustodyReport{State: c.State, PanelID: c.PanelID, Slot: c.Slot, HolderID: c.HolderID, At: c.Since})
		if !changed && c.State == access.CustodyUnknown && before.State != access.CustodyUnknown {
			after = access.Custody{KeyID: c.KeyID, State: c.State, Since: c.Since, Revision: before.Revision + 1}
			changed = true
		}
		if changed {
			list = append(list, held[access.Custody]{from: change.RecordedAt, value: after})
		}
	}
	return newTimeline(list)
}
