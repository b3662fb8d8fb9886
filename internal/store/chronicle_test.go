package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// chronicle plays a random life of an item on the store, step by step, and notes
// after each step what decisions read from then on.
type chronicle struct {
	*world
	r    *rand.Rand
	now  time.Time
	made time.Time // when the item was claimed
}

// newChronicle begins some time after noon, so that there is a time before the item.
func newChronicle(w *world, seed uint64) chronicle {
	c := chronicle{world: w, r: rand.New(rand.NewPCG(seed, 5)), now: noon}
	c.pass()
	c.made = c.now
	return c
}

// pass lets time go by: seconds, hours or days.
func (c *chronicle) pass() {
	units := []time.Duration{time.Second, time.Minute, time.Minute, time.Hour, time.Hour, 4 * time.Hour}
	c.now = c.now.Add(time.Duration(1+c.r.IntN(40)) * units[c.r.IntN(len(units))] / 2).Add(time.Duration(c.r.IntN(1e6)) * time.Microsecond)
}

func (c *chronicle) chance(percent int) bool { return c.r.IntN(100) < percent }

func pick[T any](c *chronicle, list ...T) T { return list[c.r.IntN(len(list))] }

// around is an instant some days before or after now.
func (c *chronicle) around() time.Time {
	return c.now.Add(time.Duration(c.r.IntN(96*60)-24*60) * time.Minute)
}

// mayRefuse lets a rule or the directory say no: the story goes on without it.
func (c *chronicle) mayRefuse(err error) (refused bool) {
	c.t.Helper()
	var rule *access.Refusal
	var domain *directory.Error
	var decision *store.DecisionError
	if err != nil && !errors.As(err, &rule) && !errors.As(err, &domain) && !errors.As(err, &decision) {
		c.t.Fatal(err)
	}
	return err != nil
}

// reachable makes commands to a panel possible, which nobody receives.
func (w *world) reachable(panelIDs ...string) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), `UPDATE panels SET boot_id = 'boot', address = 'http://127.0.0.1:1' WHERE id = ANY($1)`, panelIDs)
	w.ok(err)
}

// door is what a decision about one entrance reads.
type door struct {
	facts    access.Facts
	entrance access.Entrance
}

// guestMoment is what held for an invitation from an instant on, by entrance.
type guestMoment struct {
	from  time.Time
	doors map[string]door
}

// guestStory is the life of one invitation.
type guestStory struct {
	chronicle
	site
	elsewhere directory.Property
	inv       access.Invitation
	entrances []string // all that were ever there, one of another property among them
	hesitates bool     // the guest never answers
	inviters  int
	late      []store.PanelEvent
	seq       int64
	moments   []guestMoment
}

func (w *world) guestStory(seed uint64, steps int) *guestStory {
	w.t.Helper()
	s := &guestStory{chronicle: newChronicle(w, seed), site: w.site()}
	s.elsewhere = w.property(s.accountID)
	there := w.entrance(w.panel(s.elsewhere, directory.PanelDoor))
	s.entrances = []string{s.entrance.ID, w.entrance(s.panel).ID, there.ID}
	s.hesitates = s.chance(15)
	w.reachable(s.panel.ID)
	if s.chance(60) {
		_, err := w.UpdateProperty(w.t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
			p.Policy.Verification, p.Policy.ReverifyAfter = access.VerificationOnSite, 24*time.Hour
			return nil
		}, noon)
		w.ok(err)
	}
	inv, err := w.ClaimInvitation(w.t.Context(), store.NewInvitation{
		AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, Guest: ana,
		EntranceIDs: s.entrances[:1], Window: s.window(),
	}, nil, s.now)
	w.ok(err)
	s.inv = inv
	s.now = s.now.Add(30 * time.Millisecond)
	s.change(func(inv *access.Invitation) error { inv.Send(s.now); return nil })
	for range steps {
		s.pass()
		s.step()
	}
	return s
}

func (s *guestStory) window() access.Window {
	w := access.Window{Start: s.around(), End: s.around().Add(10 * 24 * time.Hour)}
	if s.chance(50) {
		w.Start = time.Time{}
	}
	if s.chance(60) {
		w.End = time.Time{}
	}
	return w
}

// note keeps what decisions read from an instant on. An entrance that is not there
// is shared with nobody.
func (s *guestStory) note(from time.Time) {
	s.t.Helper()
	m := guestMoment{from: from, doors: map[string]door{}}
	var known access.Facts
	var missing []string
	for _, id := range s.entrances {
		facts, entrance, err := s.LiveDoor(s.t.Context(), s.accountID, s.inv.ID, id)
		if err != nil {
			s.refused(err, directory.CodeNotFound)
			missing = append(missing, id)
			continue
		}
		known = facts
		m.doors[id] = door{facts, entrance}
	}
	for _, id := range missing {
		m.doors[id] = door{known, access.Entrance{ID: id, PropertyID: s.property.ID}}
	}
	s.moments = append(s.moments, m)
}

// change does as the invitation's workflow does.
func (s *guestStory) change(change func(*access.Invitation) error) {
	s.t.Helper()
	inv := s.inv
	if s.mayRefuse(change(&inv)) || inv.Revision == s.inv.Revision {
		return
	}
	_, err := s.RecordInvitation(s.t.Context(), inv, s.now)
	s.ok(err)
	inv.Confirm(inv.Revision)
	s.inv = inv
	s.note(s.now)
}

func (s *guestStory) step() {
	s.t.Helper()
	switch n := s.r.IntN(100); {
	case n < 1:
		s.change(func(inv *access.Invitation) error { return inv.Revoke(s.now, "", "") })
	case n < 2:
		s.change(func(inv *access.Invitation) error { return inv.Leave(s.now) })
	case n < 3:
		s.change(func(inv *access.Invitation) error { return inv.Decline(s.now) })
	case n < 35 && s.inv.State == access.InvitationInvited && !s.hesitates:
		s.change(func(inv *access.Invitation) error { return inv.Accept(s.now) })
	case n < 20:
		s.edit()
	case n < 24:
		s.change(func(inv *access.Invitation) error { return inv.RequireVerification(s.now, "") })
	case n < 25:
		s.removeInviter()
	case n < 28:
		s.change(func(inv *access.Invitation) error { // a timer notices, sooner or later
			if d := inv.Next(s.now); d.What == access.ActionExpire || d.What == access.ActionEnd {
				inv.Fire(d, s.now)
			}
			return nil
		})
	case n < 40:
		s.policy()
	case n < 50:
		s.changeEntrance()
	case n < 76:
		s.tap()
	case n < 80:
		s.report()
	default:
		s.unlock()
	}
}

func (s *guestStory) edit() {
	s.t.Helper()
	var edit access.Edit
	switch s.r.IntN(3) {
	case 0:
		w := s.window()
		edit.Window = &w
	case 1:
		edit.Entrances = s.entrances[:2]
		if s.chance(50) {
			edit.Entrances = s.entrances[1:2]
		}
	case 2:
		id, _, err := s.AddCorrectedGuest(s.t.Context(), s.inv,
			directory.Person{Name: "Ana", Email: fmt.Sprintf("ana%d@example.com", s.r.IntN(3)), Locale: "en"}, s.now)
		if s.mayRefuse(err) {
			return
		}
		edit.GuestID = id
	}
	s.change(func(inv *access.Invitation) error { return inv.Edit(s.now, edit, "") })
}

// policy changes the property, mostly in ways that bear on the guest.
func (s *guestStory) policy() {
	s.t.Helper()
	if locked := s.chance(40); s.chance(20) {
		_, err := s.LockDown(s.t.Context(), s.accountID, s.property.ID, locked, s.now)
		s.ok(err)
		s.note(s.now)
		return
	}
	_, err := s.UpdateProperty(s.t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		switch s.r.IntN(5) {
		case 0:
			p.Policy.SharingEnabled = s.chance(60)
		case 1:
			p.Policy.ReverifyAfter = time.Duration(s.r.IntN(4)) * 24 * time.Hour
		case 2:
			p.TimeZone = pick(&s.chronicle, "Europe/Lisbon", "Asia/Tokyo", "America/St_Johns")
		default:
			p.Policy.SharingEnabled = true
			p.Policy.Verification = pick(&s.chronicle, access.VerificationOnSite, access.VerificationOnSite, access.VerificationNone)
		}
		return nil
	}, s.now)
	s.ok(err)
	s.note(s.now)
}

// removeInviter removes whoever has the invitation; mostly another takes it over.
func (s *guestStory) removeInviter() {
	s.t.Helper()
	successor := ""
	if s.chance(80) {
		s.inviters++
		m := s.world.member(s.accountID, "Rosa", fmt.Sprintf("rosa%d@example.com", s.inviters), s.property.ID)
		successor = m.ID
	}
	if s.mayRefuse(s.RemoveMember(s.t.Context(), s.accountID, s.member.ID, successor, s.now)) {
		return
	}
	s.note(s.now)
	s.member.ID = successor
}

func (s *guestStory) changeEntrance() {
	s.t.Helper()
	ctx := s.t.Context()
	switch id := pick(&s.chronicle, s.entrances...); s.r.IntN(8) {
	case 0:
		e, err := s.CreateEntrance(ctx, directory.Entrance{
			AccountID: s.accountID, PropertyID: s.property.ID, PanelID: s.panel.ID, Name: "Side door", Shareable: true,
		}, s.now)
		s.ok(err)
		s.entrances = append(s.entrances, e.ID)
	case 1, 2:
		if id == s.entrances[0] || s.mayRefuse(s.DeleteEntrance(ctx, s.accountID, id, s.now)) { // one stays, to read the facts by
			return
		}
	default:
		_, err := s.UpdateEntrance(ctx, s.accountID, id, 0, func(e *directory.Entrance) error {
			e.Shareable = s.chance(85)
			e.Schedules = nil
			if s.chance(50) {
				e.Schedules = []access.Schedule{{
					Days: []access.Weekday{"mon", "tue", "wed", "sat"}, From: pick(&s.chronicle, "00:00", "08:00", "22:30"), To: pick(&s.chronicle, "06:15", "18:00", "24:00"),
				}}
			}
			return nil
		}, s.now)
		if s.mayRefuse(err) {
			return
		}
	}
	s.note(s.now)
}

// target is mostly an entrance that is part of the invitation.
func (s *guestStory) target() activities.UnlockRequest {
	q := activities.UnlockRequest{AccountID: s.accountID, InvitationID: s.inv.ID, EntranceID: pick(&s.chronicle, s.inv.Entrances...)}
	if s.chance(20) {
		q.EntranceID = pick(&s.chronicle, s.entrances...)
	}
	return q
}

// tap verifies on site; sometimes the rules change while the guest walks to the door.
func (s *guestStory) tap() {
	s.t.Helper()
	q := s.target()
	token, _, err := s.StartVerification(s.t.Context(), activities.UnlockRequest{AccountID: s.accountID, InvitationID: s.inv.ID}, s.now)
	if s.mayRefuse(err) {
		return
	}
	s.now = s.now.Add(10 * time.Second)
	if s.chance(25) {
		s.policy()
		s.now = s.now.Add(time.Second)
	}
	decision, err := s.DecideTap(s.t.Context(), store.Tap{
		PanelID: s.panel.ID, TapID: fmt.Sprint(s.r.Uint64()), Token: token, EntranceID: q.EntranceID, BootID: "boot",
	}, s.now)
	if s.mayRefuse(err) {
		return
	}
	s.note(s.now)
	if decision.Command != nil {
		s.opened(q, *decision.Command)
	}
}

func (s *guestStory) unlock() {
	s.t.Helper()
	q := s.target()
	claim, err := s.ClaimUnlock(s.t.Context(), q, s.now)
	if s.mayRefuse(err) || claim.Outcome != nil {
		return
	}
	s.opened(q, claim.Command)
}

// opened tells that a command has opened its door: at once, or in the panel's own
// report when it is back. Sometimes the panel was not reached at all.
func (s *guestStory) opened(q activities.UnlockRequest, c activities.Command) {
	s.t.Helper()
	at := s.now.Add(time.Duration(s.r.IntN(900)) * time.Millisecond)
	outcome := activities.Outcome{Result: activities.ResultOpened}
	switch s.r.IntN(6) {
	case 0:
		s.late = append(s.late, store.PanelEvent{At: at, Type: "opened", EntranceID: q.EntranceID, CommandID: c.ID})
		s.now = s.now.Add(time.Second)
		return
	case 1:
		outcome.Result = activities.ResultUnreachable
	}
	s.now = s.now.Add(time.Second)
	_, err := s.RecordUnlock(s.t.Context(), q, c, outcome, at, s.now)
	s.ok(err)
	s.note(s.now)
}

// report is what the panel has kept, an opening that nobody asked for among it (P6).
func (s *guestStory) report() {
	s.t.Helper()
	events := append(s.late, store.PanelEvent{
		At: s.now.Add(-time.Hour), Type: "opened", EntranceID: s.entrances[0], GrantID: s.inv.ID, CommandID: "cmd_unknown",
	})
	s.late = nil
	for n := range events {
		s.seq++
		events[n].Seq = s.seq
	}
	_, err := s.IntakeEvents(s.t.Context(), s.panel.ID, store.PanelReport{BootID: "boot", Events: events}, s.now)
	s.ok(err)
	s.note(s.now)
}
