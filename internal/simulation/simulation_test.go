package simulation_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	step  = 30 * time.Minute
	days  = 3
	acts  = 14 // a step
	awake = 24 * time.Hour / step
)

// TestDaysOfFaults plays days of 50 panels and 500 live items under random faults (P1
// to P6). SIMULATION_SEED repeats a run that failed.
func TestDaysOfFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) //nolint:forbidigo // a new play every time
	if given := os.Getenv("SIMULATION_SEED"); given != "" {
		seed = must(strconv.ParseUint(given, 10, 64))(t)
	}
	t.Logf("SIMULATION_SEED=%d", seed)
	w := begin(t, seed)
	w.furnish()
	w.givePhone()
	for range guests {
		w.invite()
	}
	for range visits {
		w.reserve()
	}
	everybody := append([]*guest(nil), w.guests...)
	for n := range int(days * awake) {
		w.clock.advance(step - acts*time.Second)
		for _, g := range w.guests {
			w.settleDue(g)
		}
		for _, v := range w.visits {
			v.s.Look = v.s.Look || n%8 == 0
			w.settleVisit(v)
		}
		for range acts {
			w.clock.advance(time.Second) // no two things happen in one instant
			w.act()
		}
		w.push()
		for _, g := range w.guests {
			if len(everybody) == 0 || g.s.ID > everybody[len(everybody)-1].s.ID {
				everybody = append(everybody, g)
			}
		}
	}
	w.mend()
	w.catchUp()
	w.judgeDoors(everybody)
	w.judgeLog()
	w.judgePanels()
	t.Log(fmt.Sprint(w.tally))
}

// settleDue lets a guest's deadlines come. An end is known to everybody from the
// window itself.
func (w *world) settleDue(g *guest) {
	w.Helper()
	if !g.s.State.Final() {
		w.settle(g)
	}
}

// catchUp waits until all panels have said everything and hold everything.
func (w *world) catchUp() {
	w.Helper()
	w.opener.Wait()
	for deadline := time.Now().Add(time.Minute); ; { //nolint:forbidigo // how long to wait in earnest
		w.push()
		behind := 0
		for _, s := range w.sims {
			if is := w.look(s); is.Unsent > 0 || !is.Online {
				behind++
			}
		}
		var pending int
		if err := w.db.QueryRow(w.ctx, `SELECT (SELECT count(*) FROM grants WHERE confirmed_revision < desired_revision)
			+ (SELECT count(*) FROM panel_policies WHERE confirmed_version < desired_version)`).Scan(&pending); err != nil {
			w.Fatal(err)
		}
		if behind == 0 && pending == 0 {
			return
		}
		if time.Now().After(deadline) { //nolint:forbidigo // see above
			w.Fatalf("%d panels have not reported and %d grants and policies are not confirmed", behind, pending)
		}
	}
}
