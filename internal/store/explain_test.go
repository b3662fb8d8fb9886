package store_test

import (
	"encoding/json"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// same reports whether two decisions are one answer.
func same(a, b access.Decision) bool {
	from := a.From.Equal(b.From)
	a.From, b.From = time.Time{}, time.Time{}
	return from && a == b
}

// instants are random ones in the life of an item, before it and after it, with
// those at which something changed and their neighbours among them.
func instants(r *rand.Rand, n int, first, last time.Time, edges []time.Time) []time.Time {
	list := make([]time.Time, n)
	span := int64(last.Sub(first) + 20*24*time.Hour)
	for i := range list {
		if r.IntN(4) == 0 {
			list[i] = edges[r.IntN(len(edges))].Add(time.Duration(r.IntN(3)-1) * time.Microsecond)
			continue
		}
		list[i] = first.Add(-2 * 24 * time.Hour).Add(time.Duration(r.Int64N(span))).Truncate(time.Microsecond)
	}
	return list
}

// current is the place of the moment that holds at an instant, -1 before the first.
func current(n int, from func(int) time.Time, at time.Time) int {
	return sort.Search(n, func(i int) bool { return from(i).After(at) }) - 1
}

// E5: what the history says of an instant is what was decided for real on the facts
// that were committed then, in 100,000 random cases of state, entrance and time; and
// before an item was made, that it had not been.
func TestE5HistoryAgreesWithDecisions(t *testing.T) {
	w := open(t)
	const guests, guestInstants, keys, keyInstants, steps = 80, 950, 40, 600, 25
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	cases, seen := 0, tally{}
	for n := range uint64(guests) {
		cases += w.guestStory(seed+n, steps).agree(guestInstants, seen)
	}
	for n := range uint64(keys) {
		cases += w.keyStory(seed+n, steps).agree(keyInstants, seen)
	}
	if cases < 100_000 {
		t.Errorf("%d cases, want 100000", cases)
	}
	t.Logf("%d cases: %v", cases, seen)
	for _, answer := range []string{"I7", "I1 not_active", "I1 not_shared", "I1 outside_window", "I4 not_active", "I5 not_active", "I9 verification_required",
		"I10 verification_required", "I12 not_shared", "I12 outside_schedule", "I13 not_active", "I17 locked_down", "I17 not_active",
		"K1 not_active", "K1 outside_window", "K3", "K7 visitor_id_required", "K8", "K8 reservation_ended", "K10 reservation_revoked",
		"K12 key_not_available"} {
		if seen[answer] == 0 {
			t.Errorf("no story came to %q", answer)
		}
	}
}

// tally counts how often each answer was given.
type tally map[string]int

func (y tally) add(d access.Decision) {
	answer := d.Rule
	if !d.Allowed {
		answer += " " + string(d.Code)
	}
	y[answer]++
}

func (s *guestStory) agree(count int, seen tally) (cases int) {
	s.t.Helper()
	h, err := s.InvitationHistory(s.t.Context(), s.accountID, s.inv.ID, s.entrances...)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	edges := []time.Time{s.made}
	for n, m := range s.moments {
		edges = append(edges, m.from)
		if n+1 == len(s.moments) || s.moments[n+1].from.After(m.from) {
			s.sameFacts(h, m)
		}
		for _, d := range m.doors { // the same for every entrance
			status := access.VerificationAt(d.facts, m.from)
			for _, edge := range []time.Time{d.facts.Invitation.Window.Start, d.facts.Invitation.Window.End, d.facts.Invitation.ExpiresAt, status.ValidUntil} {
				if !edge.IsZero() {
					edges = append(edges, edge)
				}
			}
			break
		}
	}
	for _, at := range instants(s.r, count, s.made, s.now, edges) {
		id := pick(&s.chronicle, s.inv.Entrances...)
		if s.chance(30) {
			id = pick(&s.chronicle, s.entrances...)
		}
		op := pick(&s.chronicle, access.OpUnlock, access.OpUnlock, access.OpTap)
		real := door{access.Facts{Invitation: access.Invitation{State: access.InvitationCreating}}, access.Entrance{ID: id}}
		if n := current(len(s.moments), func(n int) time.Time { return s.moments[n].from }, at); n >= 0 {
			var there bool
			if real, there = s.moments[n].doors[id]; !there { // added later
				real = s.moments[n].doors[s.entrances[0]]
				real.entrance = access.Entrance{ID: id, PropertyID: s.property.ID}
			}
		}
		want := access.Decide(real.facts, real.entrance, at)
		if op == access.OpTap {
			want = access.DecideWithoutVerification(real.facts, real.entrance, at)
		}
		facts, entrance, err := h.At(id, at)
		if got := access.DecideAtEntrance(op, facts, entrance, at); err != nil || !same(got, want) {
			s.t.Errorf("%s of %s at %s: the history says %+v (%v), decided was %+v", op, id, at, got, err, want)
			return cases
		}
		seen.add(want)
		cases++
	}
	return cases
}

// sameFacts holds the history to all that decisions read, not only to what they come to.
func (s *guestStory) sameFacts(h *store.InvitationHistory, m guestMoment) {
	s.t.Helper()
	for id, d := range m.doors {
		facts, entrance, err := h.At(id, m.from)
		got, want := factsText(s.world, facts, entrance), factsText(s.world, d.facts, d.entrance)
		if id == s.entrances[2] || err != nil { // it may be gone, and with it where it was
			continue
		}
		if got != want {
			s.t.Errorf("at %s the history has\n%s, but\n%s was read", m.from, got, want)
		}
	}
}

func factsText(w *world, f access.Facts, e access.Entrance) string {
	w.t.Helper()
	if len(e.Schedules) == 0 {
		e.Schedules = nil
	}
	encoded, err := json.Marshal([]any{f.Invitation, f.Use, f.Policy, f.Zone.String(), e})
	if err != nil {
		w.t.Error(err)
	}
	return string(encoded)
}

func (s *keyStory) agree(count int, seen tally) (cases int) {
	s.t.Helper()
	h, err := s.KeyHistory(s.t.Context(), s.flat.accountID, s.res.ID)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	edges := []time.Time{s.made}
	for _, m := range s.moments {
		edges = append(edges, m.from, m.facts.Reservation.Plan.Window.Start)
		if end := m.facts.Reservation.Plan.Window.End; !end.IsZero() {
			edges = append(edges, end)
		}
	}
	for _, at := range instants(s.r, count, s.made, s.now, edges) {
		real := access.KeyFacts{Reservation: access.Reservation{State: access.ReservationCreating}}
		if n := current(len(s.moments), func(n int) time.Time { return s.moments[n].from }, at); n >= 0 {
			real = s.moments[n].facts
		}
		op, want := access.OpPickup, access.DecidePickup(real, at)
		if s.chance(20) {
			op, want = access.OpDropOff, access.DecideDropOff(real)
		}
		facts, err := h.At(at)
		if got := access.DecideAboutKey(op, facts, at); err != nil || !same(got, want) {
			s.t.Errorf("%s at %s: the history says %+v (%v), decided was %+v", op, at, got, err, want)
			return cases
		}
		held, known := facts.Custody, real.Custody
		if held.State != known.State || held.PanelID != known.PanelID || held.HolderID != known.HolderID || !held.Since.Equal(known.Since) {
			s.t.Errorf("at %s the history has the key %+v, but %+v was read", at, held, known)
			return cases
		}
		seen.add(want)
		cases++
	}
	return cases
}

// asked is what was recorded of a decision and what to ask to have it explained.
type asked struct {
	event directory.Event
	op    access.Operation
}

// recorded lists what an item's log has of decisions. What a panel decided, or did
// not do, is not among it.
func (w *world) recorded(accountID, itemID string) (list []asked) {
	w.t.Helper()
	page := store.Page{Limit: 200}
	for {
		events, next, err := w.Events(w.t.Context(), accountID, store.EventFilter{ItemID: itemID}, page)
		w.ok(err)
		for _, e := range events {
			if e.Rule == "P2" || e.Rule == "P4" {
				continue
			}
			switch purpose, _ := e.Detail["purpose"].(string); {
			case e.Type == access.EventVerificationSucceeded, e.Type == access.EventVerificationWrongEntrance,
				e.Type == access.EventEntranceDenied && e.DedupKey != e.ID:
				list = append(list, asked{e, access.OpTap})
			case e.Type == access.EventEntranceOpened, e.Type == access.EventEntranceDenied:
				list = append(list, asked{e, access.OpUnlock})
			case e.Type == access.EventSlotOpened, e.Type == access.EventSlotDenied:
				list = append(list, asked{e, access.Operation(purpose)})
			}
		}
		if next == "" {
			return list
		}
		page.Cursor = next
	}
}

// E5: asked about the instants at which something was opened or refused, "why?"
// answers with the code and the rule that were recorded then, whatever was changed
// since.
func TestE5ExplainsWhatWasRecorded(t *testing.T) {
	w := open(t)
	const guests, keys, steps = 30, 20, 40
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	compared := map[access.EventType]int{}
	codes := map[access.Code]bool{}
	explain := func(accountID, itemID string, now time.Time) {
		for _, a := range w.recorded(accountID, itemID) {
			e := a.event
			d, err := w.Explain(t.Context(), store.Question{AccountID: accountID, ItemID: itemID, EntranceID: e.EntranceID, Op: a.op, At: e.At}, now)
			w.ok(err)
			agrees := d.Code == e.Code && (d.Rule == e.Rule || e.Type == access.EventVerificationWrongEntrance)
			if e.Type == access.EventVerificationSucceeded {
				agrees = d.Allowed
			}
			if !agrees {
				t.Errorf("%s at %s was recorded with %q by %s, but is explained with %+v", e.Type, e.At, e.Code, e.Rule, d)
			}
			compared[e.Type]++
			codes[d.Code] = true
		}
	}
	for n := range uint64(guests) {
		s := w.guestStory(seed+n, steps)
		explain(s.accountID, s.inv.ID, s.now.Add(time.Hour))
	}
	for n := range uint64(keys) {
		s := w.keyStory(seed+n, steps)
		explain(s.flat.accountID, s.res.ID, s.now.Add(time.Hour))
	}
	t.Logf("compared %v with the codes %v", compared, codes)
	for _, kind := range []access.EventType{access.EventEntranceOpened, access.EventEntranceDenied, access.EventVerificationSucceeded,
		access.EventSlotOpened, access.EventSlotDenied} {
		if compared[kind] < 5 {
			t.Errorf("%d of %s compared: the stories are too quiet", compared[kind], kind)
		}
	}
}

// E5, P6: an opening that a panel reports late counts from its own time on, but no
// decision that came before the report knew of it.
func TestE5LateReports(t *testing.T) {
	w := open(t)
	s := w.site()
	ctx := t.Context()
	w.reachable(s.panel.ID)
	_, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.Verification, p.Policy.ReverifyAfter = access.VerificationOnSite, 24*time.Hour
		return nil
	}, noon)
	w.ok(err)
	inv := w.invite(s, ana, time.Time{})
	inv.Confirm(inv.Revision)
	w.ok(inv.Accept(noon))
	_, err = w.RecordInvitation(ctx, inv, noon)
	w.ok(err)
	q := activities.UnlockRequest{AccountID: s.accountID, InvitationID: inv.ID, EntranceID: s.entrance.ID}
	token, _, err := w.StartVerification(ctx, q, noon)
	w.ok(err)
	_, err = w.DecideTap(ctx, store.Tap{PanelID: s.panel.ID, TapID: "1", Token: token, EntranceID: s.entrance.ID, BootID: "boot"}, noon)
	w.ok(err)

	used, reported := noon.Add(20*time.Hour), noon.Add(26*time.Hour)
	claim, err := w.ClaimUnlock(ctx, q, used)
	w.ok(err)
	_, err = w.IntakeEvents(ctx, s.panel.ID, store.PanelReport{BootID: "boot", Events: []store.PanelEvent{{Seq: 1, At: used, Type: "opened", EntranceID: s.entrance.ID, CommandID: claim.Command.ID}}}, reported)
	w.ok(err)
	for at, want := range map[time.Duration]string{
		23 * time.Hour: "I7",
		25 * time.Hour: "I10", // a day after the tap; that the door was opened since had not been told
		27 * time.Hour: "I7",
		43 * time.Hour: "I7",
		44 * time.Hour: "I10", // a day after the opening
	} {
		d, err := w.Explain(ctx, store.Question{AccountID: s.accountID, ItemID: inv.ID, EntranceID: s.entrance.ID, Op: access.OpUnlock, At: noon.Add(at)}, noon.Add(100*time.Hour))
		if err != nil || d.Rule != want {
			t.Errorf("after %s: %+v, %v; want %s", at, d, err, want)
		}
	}
}

// E5, I5: what one guest has done does not count for the guest who takes their
// place, and still counts for the time before.
func TestE5AnotherGuestBeginsWithNothing(t *testing.T) {
	w := open(t)
	s := w.site()
	ctx := t.Context()
	w.reachable(s.panel.ID)
	_, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.Verification = access.VerificationOnSite
		return nil
	}, noon)
	w.ok(err)
	inv := w.invite(s, ana, time.Time{})
	at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	record := func(hours int, change func(*access.Invitation) error) {
		inv.Confirm(inv.Revision)
		w.ok(change(&inv))
		_, err := w.RecordInvitation(ctx, inv, at(hours))
		w.ok(err)
	}
	record(1, func(inv *access.Invitation) error { return inv.Accept(at(1)) })
	q := activities.UnlockRequest{AccountID: s.accountID, InvitationID: inv.ID, EntranceID: s.entrance.ID}
	token, _, err := w.StartVerification(ctx, q, at(2))
	w.ok(err)
	_, err = w.DecideTap(ctx, store.Tap{PanelID: s.panel.ID, TapID: "1", Token: token, EntranceID: s.entrance.ID, BootID: "boot"}, at(2))
	w.ok(err)
	personID, _, err := w.AddCorrectedGuest(ctx, inv, directory.Person{Name: "Bea", Email: "bea@example.com", Locale: "en"}, at(3))
	w.ok(err)
	record(4, func(inv *access.Invitation) error {
		inv.State = access.InvitationInvited // no rule lets an invitation go back; the facts hold without it
		return inv.Edit(at(4), access.Edit{GuestID: personID}, "")
	})
	record(5, func(inv *access.Invitation) error { return inv.Accept(at(5)) })
	for hours, want := range map[int]string{0: "I4", 1: "I9", 2: "I7", 3: "I7", 4: "I4", 5: "I9", 100: "I9"} {
		x, err := w.Explain(ctx, store.Question{AccountID: s.accountID, ItemID: inv.ID, EntranceID: s.entrance.ID, Op: access.OpUnlock, At: at(hours)}, at(50))
		if err != nil || x.Rule != want {
			t.Errorf("at hour %d: %+v, %v; want %s", hours, x, err, want)
		}
	}
}

// E5, E8: what is another account's is not found; what is gone is explained for when
// it was there; what was not kept is said not to be known.
func TestE5WhatCannotBeKnown(t *testing.T) {
	w := open(t)
	s, other := w.site(), w.site()
	ctx := t.Context()
	side := w.entrance(s.panel)
	inv := w.invite(s, ana, time.Time{})
	now := noon.Add(10 * time.Hour)
	ask := func(change func(*store.Question)) (store.Explanation, error) {
		q := store.Question{AccountID: s.accountID, ItemID: inv.ID, EntranceID: s.entrance.ID, Op: access.OpUnlock, At: noon.Add(time.Hour)}
		change(&q)
		return w.Explain(ctx, q, now)
	}
	w.ok(w.DeleteEntrance(ctx, s.accountID, side.ID, noon.Add(2*time.Hour)))
	for _, at := range []time.Duration{time.Hour, 3 * time.Hour, 20 * time.Hour} {
		if d, err := ask(func(q *store.Question) { q.EntranceID, q.At = side.ID, noon.Add(at) }); err != nil || d.Rule != "I4" {
			t.Errorf("a deleted entrance after %s: %+v, %v", at, d, err)
		}
		_, err := ask(func(q *store.Question) { q.EntranceID, q.At = other.entrance.ID, noon.Add(at) })
		w.refused(err, directory.CodeNotFound)
		_, err = ask(func(q *store.Question) { q.AccountID, q.At = other.accountID, noon.Add(at) })
		w.refused(err, directory.CodeNotFound)
		_, err = ask(func(q *store.Question) { q.ItemID, q.At = "res_none", noon.Add(at) })
		w.refused(err, directory.CodeNotFound)
	}
	w.ok(w.DeleteEntrance(ctx, other.accountID, other.entrance.ID, noon))
	_, err := ask(func(q *store.Question) { q.EntranceID = other.entrance.ID })
	w.refused(err, directory.CodeNotFound)

	_, err = w.db.Exec(ctx, `DELETE FROM directory_revisions WHERE subject_id = $1`, s.entrance.ID)
	w.ok(err)
	_, err = ask(func(*store.Question) {})
	w.refused(err, store.CodePastUnknown)
	if d, err := ask(func(q *store.Question) { q.At = now }); err != nil || d.Rule != "I4" {
		t.Errorf("the present without a history: %+v, %v", d, err)
	}
}
