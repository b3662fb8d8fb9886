package simulation_test

import (
	"errors"
	"fmt"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// given is what an invitation gives, as everybody knows it apart from the rules.
type given struct {
	live     bool // accepted and not taken away
	from, to time.Time
	doors    []string
}

// guest is a person with an invitation.
type guest struct {
	s     access.Invitation
	at    *place
	truth ledger[given]
}

// visit is a reservation and the person who has it.
type visit struct {
	s    access.Reservation
	at   *place
	code string
	have string // the key in the visitor's hands
}

// settle does what a workflow's loop would do until there is nothing due.
func (w *world) settle(g *guest) {
	w.Helper()
	for {
		now := w.clock.Now()
		next := g.s.Next(now)
		switch next.What {
		case access.ActionWait, access.ActionClose:
			return
		case access.ActionRecord:
			revision := g.s.Revision
			if recorded := must(w.store.RecordInvitation(w.ctx, g.s, now))(w); recorded.Held != nil {
				w.Fatalf("%s was recorded by somebody else", g.s.ID)
			}
			g.s.Confirm(revision)
		case access.ActionReviewVerification:
			g.s.LapseAt = must(w.store.ReviewVerification(w.ctx, g.s.ID, now))(w)
		default:
			g.s.Fire(next, now)
		}
	}
}

// invite adds a guest who has accepted.
func (w *world) invite() {
	w.Helper()
	p := w.places[w.rnd.IntN(len(w.places))]
	now := w.clock.Now()
	window := w.window(now)
	inv, err := w.store.ClaimInvitation(w.ctx, store.NewInvitation{
		AccountID: w.account, PropertyID: p.id, InviterID: p.host, EntranceIDs: w.some(p), Window: window,
		Guest: directory.Person{AccountID: w.account, Name: "Guest", Email: fmt.Sprintf("guest-%d@example.com", w.rnd.IntN(1_000_000)), Locale: "en"},
	}, nil, now)
	var refused *directory.Error
	if errors.As(err, &refused) && refused.Code == store.CodeSharingDisabled {
		return
	}
	if err != nil {
		w.Fatal(err)
	}
	g := &guest{s: inv, at: p}
	w.settle(g)
	if err := g.s.Accept(now); err != nil {
		w.Fatal(err)
	}
	w.guests = append(w.guests, g)
	w.changed(g)
}

// changed records a change of an invitation and what it gives from now on.
func (w *world) changed(g *guest) {
	w.Helper()
	g.truth.set(w.clock.Now(), given{
		live: g.s.State == access.InvitationAccepted, from: g.s.Window.Start, to: g.s.Window.End, doors: append([]string(nil), g.s.Entrances...),
	})
	w.settle(g)
}

// some picks one to three entrances of a property.
func (w *world) some(p *place) (ids []string) {
	first := w.rnd.IntN(len(p.entrances))
	for n := range 1 + w.rnd.IntN(3) {
		ids = append(ids, p.entrances[(first+n)%len(p.entrances)].id)
	}
	return ids
}

// window begins around now and lasts hours to days; a few have no end.
func (w *world) window(now time.Time) access.Window {
	start := now.Add(time.Duration(w.rnd.IntN(10)-4) * time.Hour)
	window := access.Window{Start: start, End: start.Add(time.Duration(4+w.rnd.IntN(60)) * time.Hour)}
	if !window.End.After(now) || w.rnd.IntN(6) == 0 {
		window.End = time.Time{}
	}
	return window
}

// settleVisit is settle for a reservation.
func (w *world) settleVisit(v *visit) {
	w.Helper()
	for {
		now := w.clock.Now()
		next := v.s.Next(now)
		switch next.What {
		case access.ActionWait, access.ActionClose:
			return
		case access.ActionRecord:
			revision := v.s.Revision
			if recorded := must(w.store.RecordReservation(w.ctx, v.s, now))(w); recorded.Held != nil {
				w.Fatalf("%s was recorded by somebody else", v.s.ID)
			}
			v.s.Confirm(revision)
		case access.ActionLook:
			v.s.Learn(must(w.store.ReservationStanding(w.ctx, v.s.ID))(w), now)
		case access.ActionCheckKey:
			v.s.CheckKey(must(w.store.ReservationStanding(w.ctx, v.s.ID))(w), next.At, now)
		default:
			v.s.Fire(next, now)
		}
	}
}

// reserve adds a visitor.
func (w *world) reserve() {
	w.Helper()
	p := w.places[w.rnd.IntN(len(w.places))]
	now := w.clock.Now()
	r := must(w.store.ClaimReservation(w.ctx, store.NewReservation{
		AccountID: w.account, KeyID: p.keys[w.rnd.IntN(len(p.keys))], HostID: p.host, Window: w.window(now),
		Visitor: directory.Person{AccountID: w.account, Name: "Visitor", Email: fmt.Sprintf("visitor-%d@example.com", w.rnd.IntN(1_000_000)), Locale: "en"},
	}, nil, now))(w)
	v := &visit{s: r, at: p}
	w.settleVisit(v)
	v.code = must(w.store.BookingCodes(w.ctx, []string{r.ID}))(w)[r.ID]
	w.visits = append(w.visits, v)
}

// moveVisit gives a reservation other times, as an edit through the API does (K5).
func (w *world) moveVisit(v *visit) {
	w.Helper()
	now := w.clock.Now()
	property := must(w.store.Property(w.ctx, w.account, v.at.id))(w)
	plan := must(access.PlanReservation(w.window(now), time.UTC, property.Policy, now))(w)
	until, err := w.store.ClaimNewWindow(w.ctx, v.s, plan.Window, now)
	if err != nil {
		w.Fatal(err)
	}
	if err := v.s.Edit(now, access.ReservationEdit{Plan: &plan, Until: until}, v.at.host); err != nil {
		var refusal *access.Refusal
		if !errors.As(err, &refusal) {
			w.Fatal(err)
		}
		if err := w.store.GiveUpWindow(w.ctx, v.s.ID, plan.Window); err != nil {
			w.Fatal(err)
		}
	}
	w.settleVisit(v)
}

// push does what the panels' workflows do: it brings every panel up to date that is
// behind. One that does not answer is tried again the next time.
func (w *world) push() {
	w.Helper()
	rows := must(w.db.Query(w.ctx, `SELECT panel_id FROM grants WHERE confirmed_revision < desired_revision
		UNION SELECT panel_id FROM panel_policies WHERE confirmed_version < desired_version`))(w)
	var behind []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.Fatal(err)
		}
		behind = append(behind, id)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	for _, id := range behind {
		for {
			value, err := w.run.ExecuteActivity((*activities.Activities)(nil).PushGrants, id)
			if err != nil {
				break
			}
			var delivered int
			if err := value.Get(&delivered); err != nil || delivered == 0 {
				break
			}
		}
	}
}
