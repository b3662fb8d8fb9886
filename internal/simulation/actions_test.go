package simulation_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/panel"
	"latchkey/internal/story"
)

type ed25519Key = ed25519.PublicKey

const (
	lease         = 30 * time.Hour
	reverifyAfter = 20 * time.Hour
)

// shown is GET /sim, as far as the simulation reads it.
type shown struct {
	Online bool          `json:"online"`
	Clock  time.Time     `json:"clock"`
	Number string        `json:"number"`
	Grants []panel.Grant `json:"grants"`

	Policies   []panel.Policy `json:"policies"`
	LeaseUntil *time.Time     `json:"lease_until"`
	Slots      []struct {
		Slot  int     `json:"slot"`
		Open  bool    `json:"open"`
		KeyID *string `json:"key_id"`
	} `json:"slots"`
	LockedUntil *time.Time `json:"locked_until"`
	Unsent      int        `json:"unsent_events"`
	Opened      []struct {
		At         time.Time `json:"at"`
		EntranceID string    `json:"entrance_id"`
		Slot       int       `json:"slot"`
		GrantID    string    `json:"grant_id"`
		CommandID  string    `json:"command_id"`
		Via        string    `json:"via"`
		Op         string    `json:"op"`
	} `json:"opened"`
}

func decode(t testing.TB, from story.Object, into any) {
	t.Helper()
	document, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(document, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pick is one of a list at random.
func pick[V any](w *world, list []V) V { return list[w.rnd.IntN(len(list))] }

// act is one thing that somebody does.
func (w *world) act() {
	w.Helper()
	switch n := w.rnd.IntN(100); {
	case n < 30:
		w.unlock()
	case n < 40:
		w.tap()
	case n < 55:
		w.typeCode()
	case n < 62:
		w.handle()
	case n < 68:
		w.editGuest()
	case n < 72:
		w.endGuest()
	case n < 76:
		w.moveVisit(pick(w, w.visits))
	case n < 78:
		w.endVisit()
	case n < 81:
		w.nightOnly()
	case n < 82:
		w.share()
	case n < 84:
		w.lockDown()
	case n < 86:
		w.takePass()
	case n < 89:
		w.showPass()
	case n < 97:
		w.breakPanel()
	default:
		w.replace()
	}
}

// unlock presses the button for a door, one's own or any other of the house.
func (w *world) unlock() {
	w.Helper()
	g := pick(w, w.guests)
	doorID := pick(w, g.at.entrances).id
	if w.rnd.IntN(3) > 0 {
		doorID = pick(w, g.s.Entrances)
	}
	outcome, err := w.opener.Unlock(w.ctx, activities.UnlockRequest{AccountID: w.account, InvitationID: g.s.ID, EntranceID: doorID})
	if err != nil {
		w.Fatal(err)
	}
	w.tally["unlock: "+string(outcome.Result)]++
}

// tap verifies at a door, one's own or another of the house (I9).
func (w *world) tap() {
	w.Helper()
	g := pick(w, w.guests)
	if !g.at.onSite {
		return
	}
	token, _, err := w.store.StartVerification(w.ctx, activities.UnlockRequest{AccountID: w.account, InvitationID: g.s.ID}, w.clock.Now())
	if err != nil {
		w.tally["tap: no token"]++
		return
	}
	d := pick(w, g.at.entrances)
	if w.rnd.IntN(4) > 0 {
		d = w.door(pick(w, g.s.Entrances))
	}
	answer := w.control(d.panel, "/sim/tap", map[string]any{"tap_token": token, "entrance_id": d.id})
	w.tally["tap: "+answer.Text("result")+answer.Text("code")]++
	w.settleTapped(g)
}

// settleTapped is what the wake-up after a tap does.
func (w *world) settleTapped(g *guest) {
	w.Helper()
	if g.s.State == access.InvitationAccepted {
		g.s.LapseAt = w.clock.Now()
	}
	w.settle(g)
}

func (w *world) door(id string) *door {
	for _, p := range w.places {
		for _, d := range p.entrances {
			if d.id == id {
				return d
			}
		}
	}
	w.Fatalf("there is no entrance %s", id)
	return nil
}

// typeCode types a booking code at a box: where the key is, or any other.
func (w *world) typeCode() {
	w.Helper()
	v := pick(w, w.visits)
	s := w.boxOf(v)
	op := "pickup"
	if v.have != "" {
		op = "dropoff"
	}
	before := w.look(s)
	answer := w.control(s, "/sim/code", map[string]any{"code": v.code, "op": op})
	w.judgeCode(v, s, op, before, answer)
	w.tally["code "+op+": "+answer.Text("result")+" "+answer.Text("reason")]++
}

// boxOf is the box with the visitor's key three times out of four, else any of the
// account (K8).
func (w *world) boxOf(v *visit) *sim {
	w.Helper()
	var at string
	if err := w.db.QueryRow(w.ctx, `SELECT panel_id FROM custody WHERE key_id = $1`, v.s.KeyID).Scan(&at); err != nil {
		w.Fatal(err)
	}
	if at != "" && w.rnd.IntN(4) > 0 {
		return w.sim(at)
	}
	for {
		if s := pick(w, w.sims); s.box {
			return s
		}
	}
}

// handle is a hand in an open slot: a visitor takes the key that lies there, or puts
// back the one they have.
func (w *world) handle() {
	w.Helper()
	for range 10 {
		s := pick(w, w.sims)
		if !s.box {
			continue
		}
		for _, slot := range w.look(s).Slots {
			if !slot.Open {
				continue
			}
			if slot.KeyID != nil {
				w.control(s, "/sim/keys", map[string]any{"slot": slot.Slot, "key_id": nil})
				w.visitorOf(*slot.KeyID).have = *slot.KeyID
				w.tally["hand: taken"]++
				return
			}
			for _, v := range w.visits {
				if v.have != "" {
					w.control(s, "/sim/keys", map[string]any{"slot": slot.Slot, "key_id": v.have})
					v.have = ""
					w.tally["hand: returned"]++
					return
				}
			}
		}
	}
}

// visitorOf is somebody with a reservation of a key.
func (w *world) visitorOf(keyID string) *visit {
	for _, v := range w.visits {
		if v.s.KeyID == keyID {
			return v
		}
	}
	return w.visits[0]
}

func (w *world) editGuest() {
	w.Helper()
	g := pick(w, w.guests)
	edit := access.Edit{Entrances: w.some(g.at)}
	if w.rnd.IntN(2) == 0 {
		window := w.window(w.clock.Now())
		edit.Window = &window
	}
	if err := g.s.Edit(w.clock.Now(), edit, g.at.host); err != nil {
		return // it is over
	}
	w.changed(g)
}

func (w *world) endGuest() {
	w.Helper()
	g := pick(w, w.guests)
	if err := g.s.Revoke(w.clock.Now(), g.at.host, ""); err != nil {
		return
	}
	w.changed(g)
}

func (w *world) endVisit() {
	w.Helper()
	v := pick(w, w.visits)
	if err := v.s.Revoke(w.clock.Now(), v.at.host, ""); err != nil {
		w.Fatal(err)
	}
	w.settleVisit(v)
}

// replace brings somebody new for each whose access is over.
func (w *world) replace() {
	w.Helper()
	live := w.guests[:0:0]
	for _, g := range w.guests {
		if !g.s.State.Final() {
			live = append(live, g)
		}
	}
	w.guests = live
	for range guests - len(live) {
		w.invite()
	}
}

// nightOnly changes when an entrance is open to guests (I12).
func (w *world) nightOnly() {
	w.Helper()
	d := pick(w, pick(w, w.places).entrances)
	night := !d.night.at(w.clock.Now())
	_, err := w.store.UpdateEntrance(w.ctx, w.account, d.id, 0, func(e *directory.Entrance) error {
		e.Schedules = nil
		if night {
			e.Schedules = []access.Schedule{{Days: []access.Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, From: "22:00", To: "06:00"}}
		}
		return nil
	}, w.clock.Now())
	if err != nil {
		w.Fatal(err)
	}
	d.night.set(w.clock.Now(), night)
}

// share switches sharing off and on (I12).
func (w *world) share() {
	w.Helper()
	p := pick(w, w.places)
	on := !p.sharing.at(w.clock.Now()) || w.rnd.IntN(2) == 0
	_, err := w.store.UpdateProperty(w.ctx, w.account, p.id, 0, func(q *directory.Property) error {
		q.Policy.SharingEnabled = on
		return nil
	}, w.clock.Now())
	if err != nil {
		w.Fatal(err)
	}
	p.sharing.set(w.clock.Now(), on)
}

// lockDown locks a property down, or lifts that (I17).
func (w *world) lockDown() {
	w.Helper()
	p := pick(w, w.places)
	on := !p.locked.at(w.clock.Now()) && w.rnd.IntN(2) == 0
	if _, err := w.store.LockDown(w.ctx, w.account, p.id, on, w.clock.Now()); err != nil {
		w.Fatal(err)
	}
	p.locked.set(w.clock.Now(), on)
}

// breakPanel does something to a panel that it should survive.
func (w *world) breakPanel() {
	w.Helper()
	s := pick(w, w.sims)
	lasts := fmt.Sprintf("%dm", 20+w.rnd.IntN(600))
	switch w.rnd.IntN(8) {
	case 0, 1, 2:
		w.control(s, "/sim/fault", map[string]any{"mode": "offline", "for": lasts})
	case 3:
		w.control(s, "/sim/fault", map[string]any{"mode": "lose_ack", "for": lasts})
	case 4:
		w.control(s, "/sim/fault", map[string]any{"mode": "clock_skew", "value": fmt.Sprintf("%ds", w.rnd.IntN(600)-300), "for": lasts})
	case 5:
		w.control(s, "/sim/fault", map[string]any{"mode": "refuse", "for": "30m"})
	case 6:
		w.control(s, "/sim/restart", map[string]any{"wipe": false})
	case 7:
		w.control(s, "/sim/restart", map[string]any{"wipe": true})
	}
}

// mend ends all faults.
func (w *world) mend() {
	w.Helper()
	for _, s := range w.sims {
		w.control(s, "/sim/fault", map[string]any{"mode": "none"})
	}
}
