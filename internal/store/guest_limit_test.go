package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// invites asks for an invitation of the site's member.
func (w *world) invites(s site, p directory.Person) (access.Invitation, error) {
	return w.ClaimInvitation(w.t.Context(), store.NewInvitation{
		AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, Guest: p, EntranceIDs: []string{s.entrance.ID},
	}, nil, noon)
}

// I12: however many are invited at once, the cap holds, and somebody who is a guest
// already can be invited again.
func TestI12CapUnderConcurrency(t *testing.T) {
	w := open(t)
	s := w.site()
	w.changePolicy(s, noon, func(p *access.Policy) { p.MaxGuestsPerInviter = 3 })
	var group sync.WaitGroup
	var invited, refused atomic.Int32
	for n := range 50 {
		group.Go(func() {
			_, err := w.invites(s, guest(n%25))
			var e *directory.Error
			switch {
			case err == nil:
				invited.Add(1)
			case errors.As(err, &e) && e.Code == store.CodeGuestLimitReached && e.Count == 3:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.number(`SELECT count(DISTINCT guest_index) FROM invitations`); n != 3 {
		t.Errorf("%d distinct guests, want 3", n)
	}
	if invited.Load()+refused.Load() != 50 || invited.Load() < 3 || invited.Load() > 6 {
		t.Errorf("%d invited, %d refused", invited.Load(), refused.Load())
	}
}

// I12: lowering the cap removes nobody, and who is a guest already adds nobody.
func TestI12LoweringTheCap(t *testing.T) {
	w := open(t)
	s := w.site()
	for n := range 3 {
		w.invite(s, guest(n), time.Time{})
	}
	w.changePolicy(s, noon, func(p *access.Policy) { p.MaxGuestsPerInviter = 1 })
	if n := w.number(`SELECT count(*) FROM invitations WHERE state = 'invited'`); n != 3 {
		t.Errorf("%d invitations are left of 3", n)
	}
	_, err := w.invites(s, guest(2))
	w.ok(err)
	_, err = w.invites(s, guest(3))
	w.refused(err, store.CodeGuestLimitReached)
}

// I5, I12: a corrected address takes the place of the mistyped one and no other's,
// from the request on.
func TestI12CapCountsCorrectedGuests(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	w.changePolicy(s, noon, func(p *access.Policy) { p.MaxGuestsPerInviter = 2 })
	mistyped := w.invite(s, guest(1), time.Time{})
	w.invite(s, guest(2), time.Time{})
	personID, until, err := w.AddCorrectedGuest(ctx, mistyped, guest(3), noon)
	w.ok(err)
	_, err = w.invites(s, guest(4))
	w.refused(err, store.CodeGuestLimitReached)
	w.change(&mistyped, func(i *access.Invitation) error {
		return i.Edit(noon, access.Edit{GuestID: personID, Until: until}, "")
	}, noon)
	_, err = w.invites(s, guest(1)) // whose address was the mistyped one
	w.refused(err, store.CodeGuestLimitReached)
	_, err = w.invites(s, guest(3))
	w.ok(err)
	_, _, err = w.AddCorrectedGuest(ctx, mistyped, guest(5), noon) // the other invitation keeps guest 3
	w.refused(err, store.CodeGuestLimitReached)
	shown, err := w.Invitation(ctx, s.accountID, mistyped.ID, noon)
	w.ok(err)
	if shown.Guest.Email != guest(3).Email {
		t.Errorf("the guest is %s", shown.Guest.Email)
	}
}
