package store_test

import (
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// keyMoment is what held for a reservation from an instant on.
type keyMoment struct {
	from  time.Time
	facts access.KeyFacts
}

// keyStory is the life of one reservation and of its key, which is returned at
// boxes of two properties.
type keyStory struct {
	chronicle
	flat   keyed
	other  directory.Key // of the same box
	bakery directory.Panel
	res    access.Reservation
	seqs   map[string]int64

	properties []string // whose lock-down concerns the key
	moments    []keyMoment
}

func (w *world) keyStory(seed uint64, steps int) *keyStory {
	w.t.Helper()
	s := &keyStory{chronicle: newChronicle(w, seed), flat: w.keyed(), seqs: map[string]int64{}}
	elsewhere := w.property(s.flat.accountID)
	s.other, s.bakery = w.key(s.flat.box, 2), w.panel(elsewhere, directory.PanelSmartBox)
	s.properties = []string{s.flat.property.ID, elsewhere.ID}
	w.reachable(s.flat.box.ID, s.bakery.ID)
	n := s.flat.wants(s.around(), s.around().Add(96*time.Hour))
	n.RequireID = s.chance(30)
	if s.chance(40) {
		n.Window.End = time.Time{}
	}
	res, err := w.ClaimReservation(w.t.Context(), n, nil, s.now)
	w.ok(err)
	s.res = res
	s.now = s.now.Add(30 * time.Millisecond)
	s.change(func(r *access.Reservation) error { r.Confirmed(s.now); return nil })
	for range steps {
		s.pass()
		s.step()
	}
	return s
}

// note keeps what decisions read from an instant on.
func (s *keyStory) note(from time.Time) {
	s.t.Helper()
	f, err := s.LiveKey(s.t.Context(), s.flat.accountID, s.res.ID)
	s.ok(err)
	s.moments = append(s.moments, keyMoment{from, f})
}

// change does as the reservation's workflow does.
func (s *keyStory) change(change func(*access.Reservation) error) {
	s.t.Helper()
	r := s.res
	if s.mayRefuse(change(&r)) || r.Revision == s.res.Revision {
		return
	}
	_, err := s.RecordReservation(s.t.Context(), r, s.now)
	s.ok(err)
	r.Confirm(r.Revision)
	s.res = r
	s.note(s.now)
}

func (s *keyStory) step() {
	s.t.Helper()
	switch n := s.r.IntN(100); {
	case n < 3:
		s.change(func(r *access.Reservation) error { return r.Revoke(s.now, "", "") })
	case n < 12:
		s.editWindow()
	case n < 16:
		required := s.chance(50)
		s.change(func(r *access.Reservation) error {
			return r.Edit(s.now, access.ReservationEdit{RequireID: &required}, "")
		})
	case n < 26:
		s.change(func(r *access.Reservation) error {
			if r.Document.State() == access.IDSubmitted {
				return r.DecideID(s.now, s.chance(70), "", "")
			}
			return r.SubmitID(s.now)
		})
	case n < 36:
		s.lock()
	case n < 42:
		s.correct()
	case n < 70:
		s.report()
	default:
		s.openSlot()
	}
}

func (s *keyStory) editWindow() {
	s.t.Helper()
	window := access.Window{Start: s.around(), End: s.around().Add(96 * time.Hour)}
	if s.chance(40) {
		window.End = time.Time{}
	}
	plan, err := access.PlanReservation(window, time.UTC, access.DefaultPolicy(), s.now)
	s.ok(err)
	s.change(func(r *access.Reservation) error { return r.Edit(s.now, access.ReservationEdit{Plan: &plan}, "") })
}

func (s *keyStory) lock() {
	s.t.Helper()
	_, err := s.LockDown(s.t.Context(), s.flat.accountID, pick(&s.chronicle, s.properties...), s.chance(40), s.now)
	s.ok(err)
	s.note(s.now)
}

// correct is a host's word on where the key is.
func (s *keyStory) correct() {
	s.t.Helper()
	report := pick(&s.chronicle,
		access.CustodyReport{State: access.CustodyUnknown},
		access.CustodyReport{State: access.CustodyOut, HolderID: s.res.ID},
		access.CustodyReport{State: access.CustodyInBox, PanelID: s.flat.box.ID, Slot: 3},
	)
	if _, err := s.CorrectCustody(s.t.Context(), s.flat.accountID, s.flat.key.ID, report, "Seen there.", "", s.now); !s.mayRefuse(err) {
		s.note(s.now)
	}
}

// report is a box's, sometimes of what happened long ago: the key taken, by its
// visitor or with another code, brought back, or the other key put into its slot.
func (s *keyStory) report() {
	s.t.Helper()
	box := pick(&s.chronicle, s.flat.box, s.flat.box, s.bakery)
	event := store.PanelEvent{Type: "key_returned", KeyID: s.flat.key.ID, Slot: 1 + s.r.IntN(3), GrantID: pick(&s.chronicle, s.res.ID, "res_other"), At: s.now}
	if s.chance(45) {
		event.Type = "key_taken"
	}
	if s.chance(30) {
		event.At = s.now.Add(-time.Duration(s.r.IntN(48*60)) * time.Minute)
	}
	if s.chance(20) {
		event.KeyID, event.Type = s.other.ID, "key_returned"
		if c, err := s.Custody(s.t.Context(), s.flat.accountID, s.flat.key.ID); s.chance(70) && err == nil && c.PanelID == box.ID {
			event.Slot, event.At = c.Slot, c.Since.Add(-time.Minute) // whatever came in between, the slot is the other key's
		}
	}
	s.seqs[box.ID]++
	event.Seq = s.seqs[box.ID]
	_, err := s.IntakeEvents(s.t.Context(), box.ID, store.PanelReport{BootID: "boot", Events: []store.PanelEvent{event}}, s.now)
	s.ok(err)
	s.note(s.now)
}

func (s *keyStory) openSlot() {
	s.t.Helper()
	q := activities.SlotRequest{AccountID: s.flat.accountID, ReservationID: s.res.ID, Purpose: pick(&s.chronicle, activities.Pickup, activities.Pickup, activities.DropOff)}
	claim, err := s.ClaimSlot(s.t.Context(), q, s.now)
	if s.mayRefuse(err) || claim.Outcome != nil {
		return
	}
	at := s.now.Add(300 * time.Millisecond)
	s.now = s.now.Add(time.Second)
	outcome := activities.Outcome{Result: activities.ResultOpened, Slot: 1, PanelID: claim.Command.PanelID}
	if s.chance(15) {
		outcome = activities.Outcome{Result: activities.ResultUnreachable}
	}
	_, err = s.RecordSlot(s.t.Context(), q, claim.Command, outcome, at, s.now)
	s.ok(err)
	s.note(s.now)
}
