package simulation_test

import (
	"slices"
	"time"

	"latchkey/internal/panel"
	"latchkey/internal/story"
)

// The rules once more, written apart and in the plainest way, for zones and opening
// times as simple as the simulation's.

// allowed is whether a guest may open a door at an instant, but for verification.
func (w *world) allowed(g *guest, d *door, at time.Time) bool {
	gives := g.truth.at(at)
	hour := at.Hour()
	return gives.live && !at.Before(gives.from) && (gives.to.IsZero() || at.Before(gives.to)) && slices.Contains(gives.doors, d.id) &&
		d.at.sharing.at(at) && !d.at.locked.at(at) && (!d.night.at(at) || hour >= 22 || hour < 6)
}

// judgeCode says what a box should do with a code by what it holds, and compares.
func (w *world) judgeCode(v *visit, s *sim, op string, is shown, answer story.Object) {
	w.Helper()
	opened := answer.Text("result") == "opened"
	if s.fault == "refuse" || is.LockedUntil != nil {
		return
	}
	known, free, here := false, false, false // the grant, a slot, the key
	for _, slot := range is.Slots {
		free = free || slot.KeyID == nil
		here = here || slot.KeyID != nil && *slot.KeyID == v.s.KeyID
	}
	now := false
	for _, g := range is.Grants {
		if g.GrantID != v.s.ID || g.Tombstone {
			continue
		}
		known = true
		now = g.NoPickup == "" && inside(g, is.Clock)
	}
	want := known && now && here && is.leased() && is.open(s.id, v.s.KeyID)
	if op == "dropoff" {
		want = known && free
	}
	if opened && !want {
		w.Errorf("%s: a box opened for %s though by what it holds it should not (known %t, inside %t, here %t, free %t)", v.s.ID, op, known, now, here, free)
	}
	if !opened && want && answer.Text("reason") != "refused" {
		w.Errorf("%s: a box refused %s with %q though by what it holds it should open", v.s.ID, op, answer.Text("reason"))
	}
}

// inside is whether the window of a grant contains an instant.
func inside(g panel.Grant, at time.Time) bool {
	return (g.StartsAt == nil || !at.Before(*g.StartsAt)) && (g.EndsAt == nil || at.Before(*g.EndsAt))
}

// leased is whether a panel may admit by itself (P2).
func (is shown) leased() bool { return is.LeaseUntil != nil && is.Clock.Before(*is.LeaseUntil) }

// open is what the panel's policy document of an entrance, or of the box, says. The
// only opening times here are the night's.
func (is shown) open(entranceID, keyID string) bool {
	for _, d := range is.Policies {
		if d.EntranceID != entranceID {
			continue
		}
		hour := is.Clock.Hour()
		night := len(d.Schedules) == 0 || hour >= 22 || hour < 6
		return d.OpenToGuests && !d.LockedDown && night && (keyID == "" || !slices.Contains(d.LockedKeys, keyID))
	}
	return true
}

// command is a momentary command as the engine gave it.
type command struct {
	panelID, itemID, entranceID, via, op string
	created, expires                     time.Time
}

// judgeDoors judges all that opened at the doors.
func (w *world) judgeDoors(all []*guest) {
	w.Helper()
	byID := map[string]*guest{}
	for _, g := range all {
		byID[g.s.ID] = g
	}
	opened := 0
	for _, s := range w.sims {
		acted := map[string]bool{}
		for _, o := range w.look(s).Opened {
			if o.CommandID == "" {
				continue
			}
			if acted[o.CommandID] {
				w.Errorf("%s acted on %s twice", s.id, o.CommandID)
			}
			acted[o.CommandID] = true
			c := w.command(o.CommandID)
			if !o.At.Before(c.expires) {
				w.Errorf("%s acted on %s at %s by its clock, which had expired at %s", s.id, o.CommandID, o.At, c.expires)
			}
			if c.panelID != s.id {
				w.Errorf("%s acted on a command for %s", s.id, c.panelID)
			}
			if s.box {
				continue
			}
			opened++
			if g := byID[c.itemID]; !w.allowed(g, w.door(c.entranceID), c.created) {
				w.Errorf("%s opened %s for %s by a command of %s, when the guest was not allowed to: %+v", s.id, c.entranceID, c.itemID, c.created, g.truth.at(c.created))
			} else if g.at.onSite && c.via != "tap" && !w.usedBefore(c) {
				w.Errorf("%s opened for %s at %s, who had not verified within %s", s.id, c.itemID, c.created, reverifyAfter)
			}
		}
	}
	if opened == 0 {
		w.Error("no door opened in days: the simulation plays nothing")
	}
}

func (w *world) command(id string) (c command) {
	w.Helper()
	err := w.db.QueryRow(w.ctx, `SELECT panel_id, item_id, entrance_id, via, op, created_at, expires_at FROM commands WHERE id = $1`, id).
		Scan(&c.panelID, &c.itemID, &c.entranceID, &c.via, &c.op, &c.created, &c.expires)
	if err != nil {
		w.Fatalf("a panel acted on %s, which the engine does not know: %v", id, err)
	}
	return c
}

// usedBefore is whether the guest had verified or opened a door within the period
// without use (I10).
func (w *world) usedBefore(c command) bool {
	w.Helper()
	var used bool
	err := w.db.QueryRow(w.ctx, `SELECT EXISTS (SELECT FROM events WHERE item_id = $1 AND type IN ('verification.succeeded', 'entrance.opened')
		AND at <= $2 AND at > $3)`, c.itemID, c.created, c.created.Add(-reverifyAfter)).Scan(&used)
	if err != nil {
		w.Fatal(err)
	}
	return used
}

// judgeLog: everything that opened is in the log once (P4, P6), and nothing else is.
func (w *world) judgeLog() {
	w.Helper()
	for _, s := range w.sims {
		is := w.look(s)
		doors, slots := 0, 0
		for _, o := range is.Opened {
			if o.Slot > 0 {
				slots++
			} else {
				doors++
			}
		}
		var logged [2]int
		err := w.db.QueryRow(w.ctx, `SELECT count(*) FILTER (WHERE type = 'entrance.opened'), count(*) FILTER (WHERE type = 'slot.opened') FROM events WHERE panel_id = $1`, s.id).
			Scan(&logged[0], &logged[1])
		if err != nil {
			w.Fatal(err)
		}
		if logged != [2]int{doors, slots} {
			w.Errorf("%s opened doors and slots %d and %d times, the log has %v", s.id, doors, slots, logged)
		}
	}
}

// judgePanels: in the end every panel holds what it should, and has said so (P5).
func (w *world) judgePanels() {
	w.Helper()
	for _, s := range w.sims {
		held := map[string]int64{}
		for _, g := range w.look(s).Grants {
			held[g.GrantID] = g.Revision
		}
		rows := must(w.db.Query(w.ctx, `SELECT grant_id, desired_revision, confirmed_revision FROM grants WHERE panel_id = $1`, s.id))(w)
		for rows.Next() {
			var id string
			var desired, confirmed int64
			if err := rows.Scan(&id, &desired, &confirmed); err != nil {
				w.Fatal(err)
			}
			if desired != confirmed || held[id] != desired {
				w.Errorf("%s should hold revision %d of %s, has confirmed %d and holds %d", s.id, desired, id, confirmed, held[id])
			}
		}
		if err := rows.Err(); err != nil {
			w.Fatal(err)
		}
		w.judgePolicies(s)
	}
}

// judgePolicies is judgePanels for policy documents (P2).
func (w *world) judgePolicies(s *sim) {
	w.Helper()
	held := map[string]int64{}
	for _, d := range w.look(s).Policies {
		held[d.EntranceID] = d.Version
	}
	rows := must(w.db.Query(w.ctx, `SELECT entrance_id, desired_version, confirmed_version FROM panel_policies WHERE panel_id = $1`, s.id))(w)
	for rows.Next() {
		var id string
		var desired, confirmed int64
		if err := rows.Scan(&id, &desired, &confirmed); err != nil {
			w.Fatal(err)
		}
		if desired != confirmed || held[id] != desired {
			w.Errorf("%s should hold version %d of the policy of %s, has confirmed %d and holds %d", s.id, desired, id, confirmed, held[id])
		}
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
}
