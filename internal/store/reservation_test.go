package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// keyed is a site with a SmartBox and a key in it.
type keyed struct {
	site
	box directory.Panel
	key directory.Key
}

func (w *world) keyed() keyed {
	w.t.Helper()
	k := keyed{site: w.site()}
	k.box = w.panel(k.property, directory.PanelSmartBox)
	k.member = w.host(k.site)
	k.key = w.key(k.box, 1)
	return k
}

func (w *world) host(s site) directory.Member {
	w.t.Helper()
	m, err := w.CreateMember(w.t.Context(), directory.Member{
		AccountID: s.accountID, Role: directory.RoleManager, PropertyIDs: []string{s.property.ID},
		Person: directory.Person{Name: "Hugo", Email: "hugo@example.com", Locale: "en"},
	}, noon)
	w.ok(err)
	return m
}

func (w *world) key(box directory.Panel, slot int) directory.Key {
	w.t.Helper()
	key, err := w.CreateKey(w.t.Context(), directory.Key{
		AccountID: box.AccountID, PropertyID: box.PropertyID, PanelID: box.ID, Slot: slot, Name: fmt.Sprintf("Flat %d", slot),
	}, noon)
	w.ok(err)
	return key
}

var vera = directory.Person{Name: "Vera", Email: "vera@example.com", Locale: "en"}

func (k keyed) wants(start, end time.Time) store.NewReservation {
	return store.NewReservation{AccountID: k.accountID, KeyID: k.key.ID, Visitor: vera, Window: access.Window{Start: start, End: end}, Exclusive: true}
}

// grant is what a panel should hold about an item.
func (w *world) grant(panelID, itemID string) (g access.Grant) {
	w.t.Helper()
	var document []byte
	w.ok(w.db.QueryRow(w.t.Context(), `SELECT desired FROM grants WHERE panel_id = $1 AND grant_id = $2`, panelID, itemID).Scan(&document))
	w.ok(json.Unmarshal(document, &g))
	return g
}

// reserve is a claim that its workflow has made a reservation.
func (w *world) reserve(n store.NewReservation) access.Reservation {
	w.t.Helper()
	r, err := w.ClaimReservation(w.t.Context(), n, nil, noon)
	w.ok(err)
	r.Confirmed(noon)
	w.record(&r)
	return r
}

// record does as the workflow does.
func (w *world) record(r *access.Reservation) {
	w.t.Helper()
	_, err := w.RecordReservation(w.t.Context(), *r, noon)
	w.ok(err)
	r.Confirm(r.Revision)
}

// E1: what is recorded twice is recorded once; what was made without a change that
// Postgres holds is not recorded, and what is held is given back.
func TestE1RecordingOnTopOfWhatIsHeld(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	r := w.reserve(k.wants(noon, noon.Add(time.Hour)))

	learned, revoked := r, r
	learned.Learn(access.Standing{KeyOut: noon}, noon)
	w.ok(revoked.Revoke(noon, "", ""))
	for range 2 {
		if recorded, err := w.RecordReservation(ctx, learned, noon); err != nil || recorded.Held != nil {
			t.Errorf("recorded with %v, %v", recorded.Held, err)
		}
	}
	recorded, err := w.RecordReservation(ctx, revoked, noon)
	if err != nil || recorded.Held == nil || !recorded.Held.KeyOut.Equal(noon) || recorded.Held.Revision != learned.Revision {
		t.Fatalf("a revocation made without what is held gives back %+v, %v", recorded.Held, err)
	}
	if g := w.grant(k.box.ID, r.ID); g.NoPickup != "" {
		t.Error("the box is told of a revocation that is not recorded")
	}
	again := *recorded.Held
	w.ok(again.Revoke(noon, "", ""))
	w.record(&again)
	if g := w.grant(k.box.ID, r.ID); g.NoPickup != access.CodeReservationRevoked {
		t.Errorf("the box should hold %+v", g)
	}
	if n := w.number(`SELECT count(*) FROM events WHERE item_id = $1 AND type = 'reservation.revoked'`, r.ID); n != 1 {
		t.Errorf("%d revocations in the log", n)
	}

	s := w.site()
	inv := w.invite(s, ana, time.Time{})
	inv.Confirm(inv.Revision)
	accepted := inv
	w.ok(accepted.Accept(noon))
	w.ok(inv.Revoke(noon, "", ""))
	for range 2 {
		if recorded, err := w.RecordInvitation(ctx, accepted, noon); err != nil || recorded.Held != nil {
			t.Errorf("recorded with %v, %v", recorded.Held, err)
		}
	}
	if recorded, err := w.RecordInvitation(ctx, inv, noon); err != nil || recorded.Held == nil || recorded.Held.State != access.InvitationAccepted {
		t.Errorf("a revocation made without what is held gives back %+v, %v", recorded.Held, err)
	}
}

// K14: of a thousand who want the same time at once exactly one gets it, and all
// others are told which window stands in their way.
func TestK14ManyWantTheSameTime(t *testing.T) {
	w := open(t)
	k := w.keyed()
	const wanting = 1000
	start, end := noon.Add(time.Hour), noon.Add(3*time.Hour)
	var won, told atomic.Int64
	var winner atomic.Value
	var conflicts sync.Map
	var group sync.WaitGroup
	for range wanting {
		group.Go(func() {
			r, err := w.ClaimReservation(t.Context(), k.wants(start, end), nil, noon)
			var taken *store.WindowTaken
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(r.ID)
			case errors.As(err, &taken) && taken.StartsAt.Equal(start) && taken.EndsAt.Equal(end):
				told.Add(1)
				conflicts.Store(taken.ReservationID, true)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || told.Load() != wanting-1 {
		t.Fatalf("%d won and %d were told why not, want 1 and %d", won.Load(), told.Load(), wanting-1)
	}
	conflicts.Range(func(id, _ any) bool {
		if id != winner.Load() {
			t.Errorf("told of %v, but %v has it", id, winner.Load())
		}
		return true
	})
	if n := w.number(`SELECT count(*) FROM reservations`); n != 1 {
		t.Errorf("%d rows were left behind", n)
	}
}

// K14: touching windows do not overlap, two that are not exclusive may, an ongoing
// reservation stands in nobody's way, and another key is another key.
func TestK14WhatOverlaps(t *testing.T) {
	w := open(t)
	k := w.keyed()
	w.reserve(k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour)))
	w.reserve(k.wants(noon.Add(2*time.Hour), noon.Add(3*time.Hour)))
	ongoing := k.wants(noon, time.Time{})
	w.reserve(ongoing)
	shared := k.wants(noon.Add(4*time.Hour), noon.Add(5*time.Hour))
	shared.Exclusive = false
	w.reserve(shared)
	w.reserve(shared)
	other := k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour))
	other.KeyID = w.key(k.box, 2).ID
	w.reserve(other)

	for name, n := range map[string]store.NewReservation{
		"inside an exclusive one":    k.wants(noon.Add(90*time.Minute), noon.Add(100*time.Minute)),
		"exclusive over shared ones": k.wants(noon.Add(4*time.Hour), noon.Add(5*time.Hour)),
		"shared over an exclusive one": func() store.NewReservation {
			n := shared
			n.Window = access.Window{Start: noon.Add(time.Hour), End: noon.Add(2 * time.Hour)}
			return n
		}(),
		"from before the first to its start": k.wants(noon, noon.Add(time.Hour+time.Second)),
	} {
		_, err := w.ClaimReservation(t.Context(), n, nil, noon)
		var taken *store.WindowTaken
		if !errors.As(err, &taken) {
			t.Errorf("%s: %v, want the window in the way", name, err)
		}
	}
}

// K14: an edit claims the new window first; the old one is free once the change is
// recorded, the new one again if the change is refused, and a revocation frees all.
func TestK14Edit(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	r := w.reserve(k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour)))
	later := k.wants(noon.Add(5*time.Hour), noon.Add(6*time.Hour))
	moved := access.Window{Start: noon.Add(5 * time.Hour), End: noon.Add(6 * time.Hour)}

	free := func(n store.NewReservation) bool {
		claim, err := w.ClaimReservation(ctx, n, nil, noon)
		if err != nil {
			return false
		}
		_, err = w.ReleaseReservation(ctx, claim.ID)
		w.ok(err)
		return true
	}
	if !free(later) {
		t.Fatal("nobody has the later window yet")
	}
	if _, err := w.ClaimNewWindow(ctx, r, moved, noon); err != nil {
		t.Fatal(err)
	}
	if free(later) || free(k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour))) {
		t.Error("while an edit is under way both windows are taken")
	}
	w.ok(w.GiveUpWindow(ctx, r.ID, moved))
	if !free(later) {
		t.Error("the edit was given up, its window is not free")
	}
	if _, err := w.ClaimNewWindow(ctx, r, moved, noon); err != nil {
		t.Fatal(err)
	}
	plan := r.Plan
	plan.Window = moved
	w.ok(r.Edit(noon, access.ReservationEdit{Plan: &plan}, ""))
	w.record(&r)
	if free(later) || !free(k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour))) {
		t.Error("after the edit the new window is taken and the old one free")
	}
	other := w.reserve(k.wants(noon.Add(time.Hour), noon.Add(2*time.Hour)))
	if _, err := w.ClaimNewWindow(ctx, other, moved, noon); err == nil {
		t.Error("an edit took a window that another has")
	}
	w.ok(r.Revoke(noon, "", ""))
	w.record(&r)
	if !free(later) {
		t.Error("the revoked reservation still has its window")
	}
}

// K3: codes are random, unlike each other among the account's reservations also
// when many are made at once, free in another account, and not to be read from the
// database; a chosen one is refused where it is taken.
func TestK3BookingCodes(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	n := k.wants(noon, time.Time{})
	n.Code = "40718263"
	first := w.reserve(n)
	_, err := w.ClaimReservation(ctx, n, nil, noon)
	w.refused(err, "code_taken")
	elsewhere := w.keyed()
	n.AccountID, n.KeyID = elsewhere.accountID, elsewhere.key.ID
	w.reserve(n)

	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			if _, err := w.ClaimReservation(ctx, k.wants(noon, time.Time{}), nil, noon); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	read, err := w.ReservationOf(ctx, k.accountID, first.ID, noon)
	w.ok(err)
	if read.Code != "40718263" || len(read.Token) < 22 {
		t.Errorf("code %q, token of %d characters", read.Code, len(read.Token))
	}
	if n := w.number(`SELECT count(*) FROM reservations r WHERE r::text LIKE '%40718263%' OR r::text LIKE '%' || $1 || '%'`, read.Token); n != 0 {
		t.Error("code or token can be read in the database")
	}
}

// P3: a code goes on working for 30 days after all is over, then its grant is a
// tombstone and the code free for somebody else; a change that comes later does not
// bring it back.
func TestP3CodesAreFreeAfter30Days(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	n := k.wants(noon, noon.Add(time.Hour))
	n.Code = "40718263"
	r := w.reserve(n)
	r.Fire(access.Deadline{What: access.ActionEnd}, noon.Add(time.Hour))
	_, err := w.RecordReservation(ctx, r, noon.Add(time.Hour))
	w.ok(err)
	r.Confirm(r.Revision)

	over := noon.Add(time.Hour)
	if retired, err := w.RetireReservations(ctx, 10, over.Add(29*24*time.Hour)); retired != 0 || err != nil {
		t.Fatalf("after 29 days %d were retired, %v", retired, err)
	}
	if g := w.grant(k.box.ID, r.ID); g.Tombstone || g.NoPickup != access.CodeReservationEnded {
		t.Errorf("after the end the box should hold %+v", g)
	}
	if retired, err := w.RetireReservations(ctx, 10, over.Add(31*24*time.Hour)); retired != 1 || err != nil {
		t.Fatalf("after 31 days %d were retired, %v", retired, err)
	}
	if g := w.grant(k.box.ID, r.ID); !g.Tombstone {
		t.Errorf("after 31 days the box should hold %+v", g)
	}
	if read, err := w.ReservationOf(ctx, k.accountID, r.ID, over.Add(31*24*time.Hour)); err != nil || !read.Retired || read.Code != "" {
		t.Errorf("after 31 days the code that may be somebody else's is shown as %q, %v", read.Code, err)
	}
	later := k.wants(noon, time.Time{})
	later.Code = "40718263"
	w.reserve(later)
	w.ok(r.Resend(noon.Add(40*24*time.Hour), false, ""))
	w.record(&r)
	if g := w.grant(k.box.ID, r.ID); !g.Tombstone {
		t.Error("a late change brought the tombstone back to life")
	}
}

// P3: every SmartBox of the account is told, one that enrols later as well; what
// ends picking up goes first.
func TestP3EveryBoxIsTold(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	r := w.reserve(k.wants(noon, noon.Add(time.Hour)))
	late := w.panel(k.property, directory.PanelSmartBox)
	_, err := w.db.Exec(ctx, `UPDATE panels SET enrolment_hash = 'late' WHERE id = $1`, late.ID)
	w.ok(err)
	_, err = w.EnrolPanel(ctx, []byte("late"), []byte("public key"), nil, "", noon)
	w.ok(err)
	for _, boxID := range []string{k.box.ID, late.ID} {
		g := w.grant(boxID, r.ID)
		if g.KeyID != k.key.ID || g.NoPickup != "" || !g.End.Equal(noon.Add(time.Hour)) {
			t.Errorf("%s should hold %+v", boxID, g)
		}
	}
	w.ok(r.Revoke(noon, "", ""))
	w.record(&r)
	if g := w.grant(late.ID, r.ID); g.NoPickup != access.CodeReservationRevoked || g.Tombstone {
		t.Errorf("revoked, the box should hold %+v", g)
	}
	if n := w.number(`SELECT count(*) FROM grants WHERE grant_id = $1 AND narrowing`, r.ID); n != 2 {
		t.Errorf("%d boxes are told first, want both", n)
	}
	if n := w.number(`SELECT count(*) FROM grants WHERE desired::text LIKE '%' || $1 || '%'`, "40718263"); n != 0 {
		t.Error("a grant has the code in clear")
	}
}

// E8: another account's reservation, key and link are not found.
func TestE8Reservations(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	r := w.reserve(k.wants(noon, noon.Add(time.Hour)))
	other := w.account("Other")
	_, err := w.ReservationOf(ctx, other, r.ID, noon)
	w.refused(err, directory.CodeNotFound)
	n := k.wants(noon.Add(2*time.Hour), noon.Add(3*time.Hour))
	n.AccountID = other
	_, err = w.ClaimReservation(ctx, n, nil, noon)
	w.refused(err, directory.CodeNotFound)
	list, _, err := w.ListReservations(ctx, store.ReservationFilter{}, store.Page{}, noon)
	if err != nil || len(list) != 0 {
		t.Errorf("a filter without account lists %d, %v", len(list), err)
	}
	_, err = w.ReservationByToken(ctx, strings.Repeat("x", 43), noon)
	w.refused(err, directory.CodeNotFound)
}

// T0, K4: lists are filtered by the state that holds now, by key, property and
// visitor, newest first.
func TestK4ListReservations(t *testing.T) {
	w := open(t)
	k := w.keyed()
	ctx := t.Context()
	first := w.reserve(k.wants(noon, noon.Add(time.Hour)))
	n := k.wants(noon.Add(2*time.Hour), noon.Add(3*time.Hour))
	n.Visitor = directory.Person{Name: "Max", Mobile: "+34600111222", Locale: "ja"}
	second := w.reserve(n)
	cases := map[string]struct {
		filter store.ReservationFilter
		at     time.Time
		want   []string
	}{
		"all":                      {store.ReservationFilter{}, noon, []string{second.ID, first.ID}},
		"scheduled":                {store.ReservationFilter{State: access.ReservationScheduled}, noon, []string{second.ID}},
		"active":                   {store.ReservationFilter{State: access.ReservationActive}, noon, []string{first.ID}},
		"ended, though none fired": {store.ReservationFilter{State: access.ReservationEnded}, noon.Add(time.Hour), []string{first.ID}},
		"by address":               {store.ReservationFilter{Visitor: "VERA@example.com"}, noon, []string{first.ID}},
		"by number":                {store.ReservationFilter{Visitor: "+34600111222"}, noon, []string{second.ID}},
		"by key":                   {store.ReservationFilter{KeyID: k.key.ID}, noon, []string{second.ID, first.ID}},
		"by another key":           {store.ReservationFilter{KeyID: "key_other"}, noon, nil},
	}
	for name, c := range cases {
		c.filter.AccountID = k.accountID
		list, _, err := w.ListReservations(ctx, c.filter, store.Page{}, c.at)
		w.ok(err)
		var got []string
		for _, r := range list {
			got = append(got, r.Reservation.ID)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if list, _, err := w.ListReservations(ctx, store.ReservationFilter{AccountID: k.accountID, Visitor: "+34600111222"}, store.Page{}, noon); err != nil ||
		list[0].Channel != store.ChannelSMS || list[0].Visitor.Mobile != "+34600111222" {
		t.Errorf("the visitor with a number: %+v, %v", list, err)
	}
}
