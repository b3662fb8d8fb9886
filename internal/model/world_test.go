package model_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
	"latchkey/internal/panel"
	"latchkey/panelsim"
)

const (
	slots = 3
	keyID = "key_1"
)

var epoch = time.Date(2026, 10, 24, 9, 0, 0, 0, time.UTC) // the clocks change in the night

// world is the engine's rules, driven as its workflows drive them, the box, the key,
// and the model beside them.
type world struct {
	now  time.Time
	zone *time.Location

	items   map[string]*access.Reservation
	codes   map[string]string
	desired map[string]access.Grant
	custody access.Custody
	sent    map[string]int            // instructions, by reservation
	reminds map[string]map[string]int // reminders, by reservation and end date
	down    bool                      // the engine is

	box     *panelsim.Box
	lockout panelsim.Lockout
	offline bool
	reports []report // what the box has yet to report

	model map[string]*visit
	told  map[string]asked // by what the box holds
	key   place
	next  int
}

// report is a key that was taken or returned.
type report struct {
	at     time.Time
	slot   int
	taken  bool
	holder string
}

func newWorld(zone *time.Location) *world {
	w := &world{
		now: epoch, zone: zone, items: map[string]*access.Reservation{}, codes: map[string]string{}, desired: map[string]access.Grant{},
		sent: map[string]int{}, reminds: map[string]map[string]int{}, model: map[string]*visit{}, told: map[string]asked{},
		box: &panelsim.Box{LeaseUntil: epoch.AddDate(100, 0, 0), Grants: map[string]panel.Grant{}, Codes: map[string]string{}, Keys: make([]string, slots), Open: make([]bool, slots)},
		key: place{slot: 1},
	}
	w.box.Keys[0] = keyID
	w.custody = access.Custody{KeyID: keyID, State: access.CustodyInBox, PanelID: "box", Slot: 1, Since: epoch, Revision: 1}
	return w
}

// work lets the engine do all that is due, and box and engine talk.
func (w *world) work() {
	if w.down {
		return
	}
	w.deliver()
	for _, id := range w.ids() {
		w.run(w.items[id])
	}
	w.deliver()
}

func (w *world) ids() []string {
	ids := make([]string, 0, len(w.items))
	for id := range w.items {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// run is the loop of one workflow.
func (w *world) run(r *access.Reservation) {
	for {
		next := r.Next(w.now)
		switch next.What {
		case access.ActionWait, access.ActionClose:
			return
		case access.ActionRecord:
			w.record(r)
		case access.ActionLook:
			r.Learn(w.standing(r), w.now)
		case access.ActionCheckKey:
			r.CheckKey(w.standing(r), next.At, w.now)
		default:
			r.Fire(next, w.now)
		}
	}
}

func (w *world) standing(r *access.Reservation) (s access.Standing) {
	s.InBox = w.custody.State == access.CustodyInBox
	if w.custody.State == access.CustodyOut && w.custody.HolderID == r.ID {
		s.KeyOut = w.custody.Since
	}
	return s
}

// record is Postgres: messages leave with their changes, and boxes are to hold what
// the reservation gives.
func (w *world) record(r *access.Reservation) {
	for _, c := range r.Pending {
		for _, notice := range access.Notices(c.Type) {
			switch {
			case c.Silent:
			case notice.Template == access.TemplateAccessInstructions:
				w.sent[r.ID]++
			case notice.Template == access.TemplateReturnKeyReminder:
				if w.reminds[r.ID] == nil {
					w.reminds[r.ID] = map[string]int{}
				}
				w.reminds[r.ID][endDate(r.Plan.Window.End, w.zone)]++
			}
		}
	}
	w.desired[r.ID] = r.GrantFor()
	r.Confirm(r.Revision)
}

// deliver brings the box up to date and takes in what it reports, if it can be reached.
func (w *world) deliver() {
	if w.offline || w.down {
		return
	}
	for id, g := range w.desired {
		if known, ok := w.box.Grants[id]; ok && known.Revision >= g.Revision {
			continue
		}
		start, end := g.Start, g.End
		wire := panel.Grant{GrantID: id, Kind: "reservation", Revision: g.Revision, KeyID: g.KeyID, NoPickup: string(g.NoPickup), StartsAt: &start}
		if !end.IsZero() {
			wire.EndsAt = &end
		}
		w.box.Grants[id], w.box.Codes[id] = wire, w.codes[id]
		m := w.model[id]
		w.told[id] = asked{start: m.start, end: m.end, revoked: m.revoked}
	}
	for _, r := range w.reports {
		report := access.CustodyReport{State: access.CustodyInBox, PanelID: "box", Slot: r.slot, At: r.at}
		if r.taken {
			report = access.CustodyReport{State: access.CustodyOut, HolderID: r.holder, At: r.at}
		}
		before := w.custody
		w.custody, _ = w.custody.Apply(report)
		for _, id := range []string{before.HolderID, w.custody.HolderID, r.holder} {
			if item, ok := w.items[id]; ok {
				item.Look = true
			}
		}
	}
	w.reports = nil
}

// plan is what the API works out for a window.
func (w *world) plan(t *rapid.T, start, end time.Time) access.Plan {
	p, err := access.PlanReservation(access.Window{Start: start, End: end}, w.zone, access.DefaultPolicy(), w.now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// window draws one near now: in the past, now, or later; with an end or without.
func (w *world) window(t *rapid.T) (start, end time.Time) {
	start = w.now.Add(time.Duration(rapid.IntRange(-2, 30).Draw(t, "starts in hours")) * time.Hour)
	if rapid.IntRange(0, 4).Draw(t, "ongoing") == 0 {
		return start, time.Time{}
	}
	end = start.Add(time.Duration(rapid.IntRange(1, 60*60).Draw(t, "lasts minutes")) * time.Minute)
	if rapid.Bool().Draw(t, "until midnight") {
		year, month, day := end.In(w.zone).Date()
		end = time.Date(year, month, day+1, 0, 0, 0, 0, w.zone)
	}
	return start, end
}

func (w *world) create(t *rapid.T) {
	if len(w.items) == 4 || w.down {
		return
	}
	w.next++
	id := fmt.Sprintf("res_%d", w.next)
	start, end := w.window(t)
	p := w.plan(t, start, end)
	r := &access.Reservation{
		ID: id, KeyID: keyID, State: access.ReservationCreating, Kind: p.Kind(), Plan: p, CreatedAt: w.now,
		ReturnReminder: !end.IsZero() && rapid.Bool().Draw(t, "reminder"),
	}
	w.items[id], w.codes[id] = r, fmt.Sprintf("4071826%d", w.next)
	w.model[id] = &visit{code: w.codes[id], start: start, end: end, reminded: map[string]bool{}}
}

// some draws a reservation, if there is one and the engine can be asked.
func (w *world) some(t *rapid.T) (*access.Reservation, *visit) {
	if len(w.items) == 0 || w.down {
		return nil, nil
	}
	id := rapid.SampledFrom(w.ids()).Draw(t, "reservation")
	return w.items[id], w.model[id]
}

func (w *world) edit(t *rapid.T) {
	r, m := w.some(t)
	if r == nil {
		return
	}
	start, end := w.window(t)
	p := w.plan(t, start, end)
	if err := r.Edit(w.now, access.ReservationEdit{Plan: &p}, ""); err == nil {
		m.start, m.end = start, end
	} else if over := !m.end.IsZero() && !w.now.Before(m.end); !m.revoked && !over {
		t.Fatalf("K5: an edit of a live reservation was refused: %v", err)
	}
}

func (w *world) revoke(t *rapid.T) {
	r, m := w.some(t)
	if r == nil {
		return
	}
	if err := r.Revoke(w.now, "", ""); err != nil {
		t.Fatalf("K10: %v", err)
	}
	m.revoked = true
}

func (w *world) resend(t *rapid.T) {
	r, m := w.some(t)
	if r == nil {
		return
	}
	queued := !r.ResendAt.IsZero()
	if err := r.Resend(w.now, rapid.Bool().Draw(t, "when allowed"), ""); err == nil && !queued {
		m.resends++
	}
}

// typed types a code at the box and puts a hand into the slot that opens.
func (w *world) typed(t *rapid.T, op panel.Purpose) {
	if len(w.items) == 0 {
		return
	}
	id := rapid.SampledFrom(w.ids()).Draw(t, "whose code")
	if w.lockout.Locked(w.now) {
		return // by rule; commands would still work
	}
	v := w.box.Typed(w.codes[id], op, w.now)
	told, known := w.told[id]
	if op == panel.PurposeDropOff {
		w.dropOff(t, v, known, id)
		return
	}
	may := known && told.mayPickUp(w.now) && w.key.slot > 0
	if (v.Slot > 0) != may {
		t.Fatalf("pickup with the code of %s at %s: slot %d (%s), but the model says %v by %+v with the key at %+v", id, w.now, v.Slot, v.Reason, may, told, w.key)
	}
	if v.Slot == 0 {
		return
	}
	if v.Slot != w.key.slot {
		t.Fatalf("slot %d opened, the key is in %d", v.Slot, w.key.slot)
	}
	if rapid.Bool().Draw(t, "takes it") {
		w.box.Keys[v.Slot-1] = ""
		w.reports = append(w.reports, report{at: w.now, slot: v.Slot, taken: true, holder: id})
		w.key = place{hand: id}
	}
}

// dropOff is never refused while a slot is free (K8).
func (w *world) dropOff(t *rapid.T, v panelsim.Verdict, known bool, id string) {
	free := slices.Contains(w.box.Keys, "")
	if known && (v.Slot > 0) != free {
		t.Fatalf("K8: a drop-off with the code of %s: slot %d (%s), a slot is free: %v", id, v.Slot, v.Reason, free)
	}
	if v.Slot > 0 && w.key.slot == 0 && rapid.Bool().Draw(t, "puts it in") {
		w.box.Keys[v.Slot-1] = keyID
		w.reports = append(w.reports, report{at: w.now, slot: v.Slot, holder: id})
		w.key = place{slot: v.Slot}
	}
}

func (w *world) wrongCode(t *rapid.T) {
	if w.lockout.Locked(w.now) {
		return
	}
	if v := w.box.Typed("99990000", panel.PurposePickup, w.now); v.Slot != 0 || v.Reason != "wrong_code" {
		t.Fatalf("a code that nobody has: %+v", v)
	}
	w.lockout, _ = w.lockout.WrongCode(w.now)
}

// check holds everything to the model.
func (w *world) check(t *rapid.T) {
	for id, m := range w.model {
		if most := 1 + m.resends; w.sent[id] > most {
			t.Fatalf("K11: %s got its instructions %d times for %d accepted requests", id, w.sent[id], m.resends)
		}
		for day, count := range w.reminds[id] {
			if count > 1 {
				t.Fatalf("K6: %s was reminded %d times of %s", id, count, day)
			}
		}
		facts := access.KeyFacts{Reservation: *w.items[id], Custody: w.custody}
		now := asked{start: m.start, end: m.end, revoked: m.revoked}
		if d := access.DecidePickup(facts, w.now); d.Allowed && !now.mayPickUp(w.now) {
			t.Fatalf("%s may pick up at %s, but the model says no: %+v", id, w.now, m)
		}
		if !access.DecideDropOff(facts).Allowed && w.items[id].State != access.ReservationCreating {
			t.Fatalf("K8: %s may not return the key", id)
		}
	}
	inSlots := 0
	for n, key := range w.box.Keys {
		if key == keyID {
			inSlots++
			if w.key.slot != n+1 {
				t.Fatalf("the key is in slot %d and at %+v", n+1, w.key)
			}
		}
	}
	if inSlots > 1 {
		t.Fatalf("K12: the key is in %d slots", inSlots)
	}
	if !w.offline && !w.down {
		w.checkCustody(t)
	}
}

// checkCustody: what the engine believes is where the key is, once the box could report.
func (w *world) checkCustody(t *rapid.T) {
	switch c := w.custody; c.State {
	case access.CustodyInBox:
		if c.Slot != w.key.slot || c.HolderID != "" {
			t.Fatalf("K12: custody is %+v, the key at %+v", c, w.key)
		}
	case access.CustodyOut:
		if w.key.slot != 0 || c.HolderID != w.key.hand || c.Slot != 0 {
			t.Fatalf("K12: custody is %+v, the key at %+v", c, w.key)
		}
	case access.CustodyUnknown:
		t.Fatalf("K12: nobody knows where the key is")
	}
}

// The property tests of issue 3: over random stories no pickup outside a confirmed
// window, no drop-off refused while a slot is free and the box not locked out, at
// most one message per accepted resend and one reminder per end date, custody never
// in two places.
func TestReservationsKeepToTheModel(t *testing.T) {
	t.Parallel()
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(lisbon)
		t.Repeat(map[string]func(*rapid.T){
			"create":     w.create,
			"edit":       w.edit,
			"revoke":     w.revoke,
			"resend":     w.resend,
			"pick up":    func(t *rapid.T) { w.typed(t, panel.PurposePickup) },
			"drop off":   func(t *rapid.T) { w.typed(t, panel.PurposeDropOff) },
			"wrong code": w.wrongCode,
			"box away":   func(t *rapid.T) { w.offline = rapid.Bool().Draw(t, "offline") },
			"engine":     func(t *rapid.T) { w.down = rapid.IntRange(0, 3).Draw(t, "down") == 0 },
			"seconds":    func(t *rapid.T) { w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "s")) * time.Second) },
			"hours":      func(t *rapid.T) { w.now = w.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "h")) * time.Hour) },
			"": func(t *rapid.T) {
				w.work()
				w.check(t)
			},
		})
	})
}
