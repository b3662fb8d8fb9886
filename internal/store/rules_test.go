package store_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// told is a message as it waits to be sent.
type told struct {
	person, template, item string
	changes                []access.Difference
	toMember               bool
	guests, visitors       int
}

// messages lists what was written of a template, oldest first.
func (w *world) messages(template access.Template) (list []told) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT person_id, template, item_id, params FROM messages WHERE template = $1 ORDER BY id`, string(template))
	w.ok(err)
	defer rows.Close()
	for rows.Next() {
		var m told
		var document []byte
		w.ok(rows.Scan(&m.person, &m.template, &m.item, &document))
		var params struct {
			Changes  []access.Difference `json:"changes"`
			ToMember bool                `json:"to_member"`
			Guests   int                 `json:"guests"`
			Visitors int                 `json:"visitors"`
		}
		w.ok(json.Unmarshal(document, &params))
		m.changes, m.toMember, m.guests, m.visitors = params.Changes, params.ToMember, params.Guests, params.Visitors
		list = append(list, m)
	}
	w.ok(rows.Err())
	return list
}

// guest is the nth guest.
func guest(n int) directory.Person {
	return directory.Person{Name: fmt.Sprintf("Guest %d", n), Email: fmt.Sprintf("guest%d@example.com", n), Locale: "en"}
}

// change records what its workflow would of an invitation.
func (w *world) change(inv *access.Invitation, apply func(*access.Invitation) error, now time.Time) {
	w.t.Helper()
	inv.Confirm(inv.Revision)
	w.ok(apply(inv))
	recorded, err := w.RecordInvitation(w.t.Context(), *inv, now)
	w.ok(err)
	if recorded.Held != nil {
		w.t.Fatalf("the store held revision %d", recorded.Held.Revision)
	}
	inv.Confirm(inv.Revision)
}

// acceptedBy is an invitation that its guest has accepted.
func (w *world) acceptedBy(s site, p directory.Person, ends, at time.Time) access.Invitation {
	w.t.Helper()
	inv := w.invite(s, p, ends)
	w.change(&inv, func(i *access.Invitation) error { return i.Accept(at) }, at)
	return inv
}

// policy changes the policy of the site.
func (w *world) changePolicy(s site, at time.Time, change func(*access.Policy)) directory.Property {
	w.t.Helper()
	p, err := w.UpdateProperty(w.t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error { change(&p.Policy); return nil }, at)
	w.ok(err)
	return p
}

// tell tells of all changes, in small steps as if each was in a process of its own.
func (w *world) tell(now time.Time) {
	w.t.Helper()
	for {
		looked, err := w.TellOfChange(w.t.Context(), 2, now)
		w.ok(err)
		if looked == 0 {
			return
		}
	}
}

// unlock is what the decision says now.
func (w *world) unlock(s site, inv access.Invitation, now time.Time) (code access.Code, rule string) {
	w.t.Helper()
	claim, err := w.ClaimUnlock(w.t.Context(), activities.UnlockRequest{AccountID: s.accountID, InvitationID: inv.ID, EntranceID: s.entrance.ID}, now)
	w.ok(err)
	if claim.Outcome == nil {
		return "", ""
	}
	return access.Code(claim.Outcome.Code), claim.Outcome.Decision.Rule
}

// I17: a lock-down holds from the commit on for doors and keys, is in the log, tells
// guests, visitors, inviter and host once each, and an edit of the policy does not
// lift it.
func TestI17LockDown(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	k := w.keyed()
	inv := w.acceptedBy(k.site, ana, noon.Add(48*time.Hour), noon)
	waiting := w.invite(k.site, guest(2), noon.Add(48*time.Hour))
	r := w.reserve(k.wants(noon, noon.Add(24*time.Hour)))
	at := noon.Add(time.Hour)
	var p directory.Property
	for range 2 {
		var err error
		p, err = w.LockDown(ctx, k.accountID, k.property.ID, true, at)
		w.ok(err)
	}
	if !p.Policy.LockedSince.Equal(at) || p.Revision != k.property.Revision+1 {
		t.Errorf("locked since %s in revision %d", p.Policy.LockedSince, p.Revision)
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'policy.changed' AND rule = 'I17' AND detail ->> 'lockdown' = 'on'`); n != 1 {
		t.Errorf("%d events of a lock-down", n)
	}
	if n := w.number(`SELECT count(*) FROM directory_revisions WHERE subject_id = $1 AND valid_from = $2 AND document -> 'policy' ? 'locked_since'`, p.ID, at); n != 1 {
		t.Errorf("%d revisions say that it is locked down", n)
	}
	w.changePolicy(k.site, at, func(p *access.Policy) { p.ResendCooldown, p.LockedSince = time.Minute, time.Time{} })
	if code, rule := w.unlock(k.site, inv, at); code != access.CodeLockedDown || rule != "I17" {
		t.Errorf("unlock: %s by %s", code, rule)
	}
	claim, err := w.ClaimSlot(ctx, activities.SlotRequest{AccountID: k.accountID, ReservationID: r.ID, Purpose: activities.Pickup}, at)
	w.ok(err)
	if claim.Outcome == nil || claim.Outcome.Code != string(access.CodeLockedDown) {
		t.Errorf("pickup: %+v", claim.Outcome)
	}
	claim, err = w.ClaimSlot(ctx, activities.SlotRequest{AccountID: k.accountID, ReservationID: r.ID, Purpose: activities.DropOff}, at)
	w.ok(err)
	if claim.Outcome != nil && claim.Outcome.Result == activities.ResultDenied {
		t.Errorf("drop-off: %+v", claim.Outcome)
	}
	if shown, err := w.ReservationOf(ctx, k.accountID, r.ID, at); err != nil || !shown.LockedDown {
		t.Errorf("shown as locked down: %t, %v", shown.LockedDown, err)
	}
	w.tell(at)
	w.tell(at)
	messages := w.messages(access.TemplateAccessRulesChanged)
	want := map[string]told{inv.GuestID: {}, waiting.GuestID: {}, r.VisitorID: {}, k.member.Person.ID: {toMember: true, guests: 2, visitors: 1}}
	for _, m := range messages {
		expected, known := want[m.person]
		if !known || len(m.changes) != 1 || m.changes[0].What != access.LockDownOn || m.toMember != expected.toMember || m.guests != expected.guests || m.visitors != expected.visitors {
			t.Errorf("told: %+v", m)
		}
		delete(want, m.person)
	}
	if len(messages) != 4 || len(want) != 0 {
		t.Errorf("%d messages; not told: %v", len(messages), want)
	}
	_, err = w.LockDown(ctx, k.accountID, k.property.ID, false, at.Add(time.Minute))
	w.ok(err)
	if code, _ := w.unlock(k.site, inv, at.Add(time.Minute)); code == access.CodeLockedDown {
		t.Error("still locked down")
	}
	w.tell(at.Add(time.Minute))
	if n := len(w.messages(access.TemplateAccessRulesChanged)); n != 8 {
		t.Errorf("%d messages after it was lifted, want 8", n)
	}
}

// I17: a key is locked down with the box that holds it, and not with one that it has
// left.
func TestI17LockDownOfTheBoxAKeyIsIn(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	k := w.keyed()
	elsewhere := w.property(k.accountID)
	box := w.panel(elsewhere, directory.PanelSmartBox)
	r := w.reserve(k.wants(noon, noon.Add(24*time.Hour)))
	_, err := w.LockDown(ctx, k.accountID, elsewhere.ID, true, noon)
	w.ok(err)
	locked := func() bool {
		shown, err := w.ReservationOf(ctx, k.accountID, r.ID, noon)
		w.ok(err)
		return shown.LockedDown
	}
	if locked() {
		t.Error("locked down by a box that it is not in")
	}
	w.reports(k.box, 1, moved("key_taken", k.key.ID, 1, r.ID, noon.Add(time.Minute)))
	w.reports(box, 1, moved("key_returned", k.key.ID, 1, r.ID, noon.Add(2*time.Minute)))
	if !locked() {
		t.Error("not locked down in a locked-down box")
	}
	w.tell(noon.Add(time.Hour))
}

// I12: each affected guest and inviter gets one message that says what changed for
// them; the unaffected get none; a crash in the middle neither loses nor repeats one.
func TestI12WhoIsToldOfWhat(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	end := noon.Add(30 * 24 * time.Hour)
	other := s
	other.entrance = w.entrance(s.panel)
	other.member = w.member(s.accountID, "Otto", "otto@example.com", s.property.ID)
	first := w.acceptedBy(s, ana, end, noon)
	w.acceptedBy(s, ana, end, noon) // the same guest twice is told the same once
	second := w.invite(s, guest(2), end)
	third := w.acceptedBy(other, guest(3), end, noon)
	over := w.acceptedBy(s, guest(4), noon.Add(time.Minute), noon)
	gone := w.acceptedBy(s, guest(5), end, noon)
	w.change(&gone, func(i *access.Invitation) error { return i.Revoke(noon, "", "") }, noon)
	_ = over
	at := noon.Add(time.Hour)
	expect := func(name string, want map[string][]access.Difference) {
		t.Helper()
		w.tell(at)
		got := map[string][]access.Difference{}
		for _, m := range w.messages(access.TemplateAccessRulesChanged) {
			if _, twice := got[m.person]; twice {
				t.Errorf("%s: %s was told twice", name, m.person)
			}
			got[m.person] = m.changes
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: told\n%+v\nwant\n%+v", name, got, want)
		}
		_, err := w.db.Exec(ctx, `DELETE FROM messages`)
		w.ok(err)
	}
	rita, otto := s.member.Person.ID, other.member.Person.ID

	w.changePolicy(s, at, func(p *access.Policy) {
		p.MaxGuestsPerInviter, p.InvitationTTL, p.OfflineLease, p.HistoryVisibility = 7, 48*time.Hour, time.Hour, access.HistoryOwn
	})
	expect("nobody's access", map[string][]access.Difference{})

	mornings := []access.Schedule{{Days: []access.Weekday{"mon"}, From: "08:00", To: "12:00"}}
	_, err := w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.Schedules = mornings; return nil }, at)
	w.ok(err)
	times := []access.Difference{{What: access.EntranceTimes, EntranceID: s.entrance.ID, Schedules: mornings}}
	expect("an entrance's times", map[string][]access.Difference{first.GuestID: times, second.GuestID: times, rita: times})

	_, err = w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.Name = "Back door"; return nil }, at)
	w.ok(err)
	expect("a name", map[string][]access.Difference{})

	w.changePolicy(s, at, func(p *access.Policy) { p.SharingEnabled = false })
	off := []access.Difference{{What: access.SharingOff}}
	expect("sharing off", map[string][]access.Difference{first.GuestID: off, second.GuestID: off, third.GuestID: off, rita: off, otto: off})

	w.changePolicy(s, at, func(p *access.Policy) { p.Verification = access.VerificationOnSite })
	member := []access.Difference{{What: access.VerificationOn, Period: 5 * 24 * time.Hour}}
	guests := []access.Difference{{What: access.VerificationOn, Period: 5 * 24 * time.Hour, Until: at.Add(time.Hour)}}
	expect("verification", map[string][]access.Difference{first.GuestID: guests, third.GuestID: guests, rita: member, otto: member})
	if n := w.number(`SELECT count(*) FROM wakeups WHERE workflow_id = $1`, "invitation/"+third.ID); n != 1 {
		t.Errorf("the invitation was woken %d times to set its deadlines", n)
	}
}

// I12: two thousand are told in steps by several processes at once, each once.
func TestI12ManyAreToldOnce(t *testing.T) {
	w := open(t)
	s := w.site()
	inv := w.acceptedBy(s, ana, time.Time{}, noon)
	_, err := w.db.Exec(t.Context(), `INSERT INTO invitations (id, account_id, property_id, inviter_id, guest_id, state, revision, facts, guest_index, inviter_index, created_at, updated_at)
		SELECT id || n, account_id, property_id, inviter_id, guest_id, state, revision, jsonb_set(facts, '{id}', to_jsonb(id || n)), sha256(n::text::bytea), inviter_index, created_at, updated_at
		FROM invitations, generate_series(1, 1999) n WHERE id = $1`, inv.ID)
	w.ok(err)
	w.changePolicy(s, noon.Add(time.Minute), func(p *access.Policy) { p.SharingEnabled = false })
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for range 100 {
				if _, err := w.TellOfChange(t.Context(), 100, noon.Add(time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	w.tell(noon.Add(time.Hour)) // who found another at work may have stopped before it was done
	guests := w.number(`SELECT count(*) FROM messages WHERE template = 'access_rules_changed' AND NOT params ? 'to_member'`)
	members := w.number(`SELECT count(*) FROM messages WHERE template = 'access_rules_changed' AND (params ->> 'guests')::int = 2000`)
	left := w.number(`SELECT count(*) FROM policy_changes`)
	if guests != 2000 || members != 1 || left != 0 {
		t.Errorf("%d guests and %d inviters told, %d changes left", guests, members, left)
	}
}

// I11, I10: the warning once for each end of the validity, then the lapse; a use
// meanwhile moves both.
func TestI11WarningAndLapse(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	w.changePolicy(s, noon, func(p *access.Policy) { p.Verification = access.VerificationOnSite })
	inv := w.acceptedBy(s, ana, time.Time{}, noon.Add(time.Second))
	day := 24 * time.Hour
	_, err := w.db.Exec(ctx, `UPDATE invitations SET verified_at = $1, last_used_at = $1`, noon)
	w.ok(err)
	review := func(at, want time.Time, warned, lapsed int) {
		t.Helper()
		for range 2 {
			next, err := w.ReviewVerification(ctx, inv.ID, at)
			w.ok(err)
			if !next.Equal(want) {
				t.Errorf("at %s: look again at %s, want %s", at, next, want)
			}
		}
		gotWarned, gotLapsed := len(w.messages(access.TemplateVerificationLapsing)), len(w.messages(access.TemplateVerificationRequired))
		if gotWarned != warned || gotLapsed != lapsed {
			t.Errorf("at %s: warned %d times, want %d; lapsed %d times, want %d", at, gotWarned, warned, gotLapsed, lapsed)
		}
	}
	review(noon.Add(day), noon.Add(4*day), 0, 0)
	review(noon.Add(4*day), noon.Add(5*day), 1, 0)
	_, err = w.db.Exec(ctx, `UPDATE invitations SET last_used_at = $1`, noon.Add(4*day+time.Hour))
	w.ok(err)
	review(noon.Add(5*day), noon.Add(8*day+time.Hour), 1, 0)
	review(noon.Add(8*day+time.Hour), noon.Add(9*day+time.Hour), 2, 0)
	review(noon.Add(9*day+time.Hour), time.Time{}, 2, 1)
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'verification.lapsing' AND rule = 'I11'`); n != 2 {
		t.Errorf("%d warnings in the log", n)
	}
}

// I14: who keeps the access is told what an edit changed; who got it by a correction
// is invited instead.
func TestI14EditIsTold(t *testing.T) {
	w := open(t)
	s := w.site()
	second := w.entrance(s.panel)
	inv := w.acceptedBy(s, ana, noon.Add(24*time.Hour), noon)
	w.change(&inv, func(i *access.Invitation) error {
		return i.Edit(noon, access.Edit{Entrances: []string{s.entrance.ID, second.ID}}, "")
	}, noon)
	w.change(&inv, func(i *access.Invitation) error {
		return i.Edit(noon, access.Edit{Entrances: []string{s.entrance.ID, second.ID}}, "")
	}, noon)
	got := w.messages(access.TemplateInvitationChanged)
	if len(got) != 1 || got[0].person != inv.GuestID || !reflect.DeepEqual(got[0].changes, []access.Difference{{What: access.EntranceAdded, EntranceID: second.ID}}) {
		t.Errorf("told: %+v", got)
	}
}

// I5, K11: which unanswered invitations have other periods than the policy, and that
// the work is not over while one is being made under the old policy.
func TestI5MistimedInvitations(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	waiting := w.invite(s, ana, time.Time{})
	w.acceptedBy(s, guest(2), time.Time{}, noon)
	claimed := w.claim(s, guest(3), time.Time{})
	at := noon.Add(time.Hour)
	w.changePolicy(s, at, func(p *access.Policy) { p.InvitationTTL = 2 * time.Hour })
	mistimed := func() []string {
		replans, err := w.Replans(ctx)
		w.ok(err)
		if len(replans) != 1 {
			t.Fatalf("%d properties wait", len(replans))
		}
		ids, err := w.MistimedInvitations(ctx, replans[0], "", 10, at)
		w.ok(err)
		w.ok(w.EndReplan(ctx, replans[0]))
		return ids
	}
	if got := mistimed(); !reflect.DeepEqual(got, []string{waiting.ID}) {
		t.Errorf("mistimed: %v, want %s", got, waiting.ID)
	}
	w.change(&waiting, func(i *access.Invitation) error { return i.Retime(at, at, 2*time.Hour, time.Hour) }, at)
	claimed.Send(at)
	_, err := w.RecordInvitation(ctx, claimed, at)
	w.ok(err)
	if got := mistimed(); !reflect.DeepEqual(got, []string{claimed.ID}) {
		t.Errorf("mistimed: %v, want %s", got, claimed.ID)
	}
	if n := w.number(`SELECT count(*) FROM replans`); n != 0 {
		t.Error("the property waits still")
	}
	shown, err := w.Invitation(ctx, s.accountID, waiting.ID, noon.Add(2*time.Hour))
	w.ok(err)
	if shown.Invitation.StateAt(noon.Add(2*time.Hour)) != access.InvitationExpired {
		t.Errorf("shown as %s", shown.Invitation.StateAt(noon.Add(2*time.Hour)))
	}
}
