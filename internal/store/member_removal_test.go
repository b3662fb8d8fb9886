package store_test

import (
	"slices"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// removal is the one that waits.
func (w *world) removal() activities.Removal {
	w.t.Helper()
	waiting, err := w.Removals(w.t.Context())
	w.ok(err)
	if len(waiting) != 1 {
		w.t.Fatalf("%d removals wait", len(waiting))
	}
	return waiting[0]
}

// I17: a preview shows what would go and changes nothing; the removal refuses what
// the member has given from the commit on, revokes it, and frees the address; the
// history keeps the name.
func TestI17RemoveMember(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	live := w.acceptedBy(s, ana, noon.Add(48*time.Hour), noon)
	waiting := w.invite(s, guest(2), noon.Add(48*time.Hour))
	over := w.acceptedBy(s, guest(3), noon.Add(time.Minute), noon)
	at := noon.Add(time.Hour)

	before := w.everything()
	preview, err := w.PreviewRemoval(ctx, s.accountID, s.member.ID, at)
	w.ok(err)
	if preview.Total != 2 || preview.Reservations != 0 || len(preview.Invitations) != 2 || preview.Invitations[1].Invitation.ID != live.ID || preview.Invitations[1].Guest.Email != ana.Email {
		t.Errorf("preview: %+v", preview)
	}
	if after := w.everything(); after != before {
		t.Errorf("the preview changed something:\n%s", difference(before, after))
	}

	if code, _ := w.unlock(s, live, at); code != "" {
		t.Fatalf("before: %s", code)
	}
	w.ok(w.RemoveMember(ctx, s.accountID, s.member.ID, "", at))
	if code, rule := w.unlock(s, live, at); code != access.CodeNotActive || rule != "I17" {
		t.Errorf("unlock: %s by %s", code, rule)
	}
	_, err = w.Member(ctx, s.accountID, s.member.ID)
	w.refused(err, directory.CodeNotFound)
	w.refused(w.RemoveMember(ctx, s.accountID, s.member.ID, "", at), directory.CodeNotFound)
	_, err = w.invites(s, guest(4))
	w.refused(err, directory.CodeNotFound)
	if members, _, err := w.Members(ctx, s.accountID, store.Page{}); err != nil || len(members) != 0 {
		t.Errorf("still listed: %v, %v", members, err)
	}
	again := w.member(s.accountID, "Rita", "rita@example.com", s.property.ID)
	if again.ID == s.member.ID {
		t.Error("the new member is the old one")
	}
	shown, err := w.Invitation(ctx, s.accountID, over.ID, at)
	w.ok(err)
	if shown.Inviter.Name != "Rita" {
		t.Errorf("the history names %q", shown.Inviter.Name)
	}

	r := w.removal()
	items, err := w.RemovedInvitations(ctx, r, "", 10, at)
	w.ok(err)
	if !slices.Equal(items, []activities.MovedItem{{ID: live.ID}, {ID: waiting.ID}}) {
		t.Errorf("to be revoked: %+v", items)
	}
	w.ok(w.EndRemoval(ctx, r, at))
	w.removal() // not over yet
	for _, inv := range []*access.Invitation{&live, &waiting} {
		w.change(inv, func(i *access.Invitation) error { return i.Revoke(at, "", "") }, at)
	}
	if items, err := w.RemovedInvitations(ctx, r, "", 10, at); err != nil || len(items) != 0 {
		t.Errorf("still to be revoked: %+v, %v", items, err)
	}
	w.ok(w.EndRemoval(ctx, r, at))
	if n := w.number(`SELECT count(*) FROM member_removals WHERE ended_at IS NULL`); n != 0 {
		t.Error("the removal does not end")
	}
	if told := w.messages(access.TemplateInvitationRevoked); len(told) != 2 {
		t.Errorf("%d guests were told", len(told))
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'member.removed' AND detail ->> 'member_id' = $1`, s.member.ID); n != 1 {
		t.Errorf("%d events of the removal", n)
	}
}

// I17: with somebody to move to, what the member has given goes on without a blink,
// is the other's from the commit on, and they are told once.
func TestI17MoveToAnotherMember(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	k := w.keyed()
	s := k.site
	live := w.acceptedBy(s, ana, time.Time{}, noon)
	over := w.acceptedBy(s, guest(3), noon.Add(time.Minute), noon)
	r := w.reserve(k.wants(noon, noon.Add(24*time.Hour)))
	at := noon.Add(time.Hour)
	stranger := w.member(s.accountID, "Sam", "sam@example.com")
	heir := w.member(s.accountID, "Ines", "ines@example.com", s.property.ID)

	if e := w.refused(w.RemoveMember(ctx, s.accountID, s.member.ID, "", at), directory.CodeInUse); e.Count != 1 {
		t.Errorf("%d reservations in the way", e.Count)
	}
	w.refused(w.RemoveMember(ctx, s.accountID, s.member.ID, stranger.ID, at), store.CodeMemberWithoutRole)
	w.refused(w.RemoveMember(ctx, s.accountID, s.member.ID, s.member.ID, at), directory.CodeInvalid)
	foreign := w.member(w.account("Other"), "Eve", "eve@example.com")
	w.refused(w.RemoveMember(ctx, s.accountID, s.member.ID, foreign.ID, at), directory.CodeNotFound) // E8
	w.ok(w.RemoveMember(ctx, s.accountID, s.member.ID, heir.ID, at))

	if code, _ := w.unlock(s, live, at); code != "" {
		t.Errorf("unlock: %s", code)
	}
	inviter := func(id string) string {
		shown, err := w.Invitation(ctx, s.accountID, id, at)
		w.ok(err)
		return shown.InviterID
	}
	if inviter(live.ID) != heir.ID || inviter(over.ID) != s.member.ID {
		t.Errorf("inviters are %s and %s", inviter(live.ID), inviter(over.ID))
	}
	told := w.messages(access.TemplateInvitationsMoved)
	if len(told) != 1 || told[0].person != heir.Person.ID || told[0].guests != 1 || told[0].visitors != 1 {
		t.Errorf("told: %+v", told)
	}

	removal := w.removal()
	items, err := w.RemovedInvitations(ctx, removal, "", 10, at)
	w.ok(err)
	reservations, err := w.RemovedReservations(ctx, removal, "", 10)
	w.ok(err)
	if !slices.Equal(items, []activities.MovedItem{{ID: live.ID, To: heir.ID}}) || len(reservations) != 1 || reservations[0].To != heir.ID {
		t.Fatalf("to be moved: %+v, %+v", items, reservations)
	}
	// A change that the workflow makes before it has heard of the move leaves it standing.
	w.change(&live, func(i *access.Invitation) error { return i.RequireVerification(at, "") }, at)
	if inviter(live.ID) != heir.ID {
		t.Error("moved back")
	}
	w.change(&live, func(i *access.Invitation) error { return i.Move(at, heir.ID, "") }, at)
	w.ok(r.Move(at, heir.ID, ""))
	w.record(&r)
	w.ok(w.EndRemoval(ctx, removal, at))
	if n := w.number(`SELECT count(*) FROM member_removals WHERE ended_at IS NULL`); n != 0 {
		t.Error("the removal does not end")
	}
	if len(w.messages(access.TemplateInvitationRevoked))+len(w.messages(access.TemplateAccessChanged)) != 0 {
		t.Error("guests or visitors were told of what is no change for them")
	}
	if shown, err := w.ReservationOf(ctx, s.accountID, r.ID, at); err != nil || shown.Host.Name != "Ines" {
		t.Errorf("the host is %q, %v", shown.Host.Name, err)
	}
}

// I17, E2: an invitation that is being made at the very moment when its member is
// removed is refused, or counted and revoked.
func TestI17InvitingAndRemovingAtOnce(t *testing.T) {
	w := open(t)
	s := w.site()
	w.invite(s, ana, time.Time{}) // so that there is a history to keep
	done := make(chan error, 1)
	go func() { _, err := w.invites(s, guest(2)); done <- err }()
	w.ok(w.RemoveMember(t.Context(), s.accountID, s.member.ID, "", noon))
	claimed := 0
	if err := <-done; err == nil {
		claimed = 1
	} else {
		w.refused(err, directory.CodeNotFound)
	}
	if n := w.number(`SELECT count(*) FROM invitations`); n != 1+claimed {
		t.Errorf("%d invitations, %d claimed", n, claimed)
	}
	r := w.removal()
	w.ok(w.EndRemoval(t.Context(), r, noon))
	w.removal()
}
