package conformance

import (
	"testing"
	"time"
)

// Check is one thing that a panel must do.
type Check struct {
	Name string // subject/what_holds
	Rule string // in BEHAVIOUR.md
	Kind string // of panels that must do it; empty: all

	fresh bool // starts the panel itself
	wrong bool // types wrong codes, which add up to a lock-out over several checks
	slow  bool // takes a minute or more
	polls bool // is about panels that fetch their messages
	run   func(b *bench)
}

// Checks lists all checks.
func Checks() []Check {
	var all []Check
	for _, group := range [][]Check{enrolmentChecks, messageChecks, grantChecks, commandChecks, eventChecks, syncChecks, tapChecks, codeChecks, slotChecks, keypadChecks,
		policyChecks, leaseChecks, resendChecks, keyChecks, passChecks, pollChecks} {
		all = append(all, group...)
	}
	return all
}

// Door holds a door panel to the protocol, one check after the other or, where each
// can have a panel of its own, at the same time.
func Door(t *testing.T, p Panel) {
	t.Helper()
	checkAll(t, DoorKind, p)
}

// SmartBox holds a SmartBox to the protocol.
func SmartBox(t *testing.T, p Panel) {
	t.Helper()
	checkAll(t, SmartBoxKind, p)
}

func checkAll(t *testing.T, kind string, p Panel) {
	t.Helper()
	var shared *bench
	if p.One {
		shared = newBench(t, kind, p)
		shared.enrolled()
	}
	days := 0
	for _, c := range Checks() {
		if c.Kind != "" && c.Kind != kind || p.Choose != nil && !p.Choose(c) {
			continue
		}
		t.Run(c.Rule+"/"+c.Name, func(t *testing.T) {
			switch {
			case c.polls && p.StartPolling == nil:
				t.Skip("there is no panel that polls")
			case c.slow && !p.Slow:
				t.Skip("it takes a minute or more: ask for the slow checks")
			case (c.fresh || c.polls) && p.One:
				t.Skip("it needs a panel that has not enrolled yet")
			}
			if !p.One {
				t.Parallel()
				c.alone(t, kind, p)
				return
			}
			b := &bench{t: t, ctx: t.Context(), panel: p, engine: shared.engine, device: shared.device, codes: shared.codes}
			defer b.mend()
			if c.wrong { // on a day of its own, so that the box has forgotten the wrong codes before
				days += 2
				b.base = time.Duration(days) * 24 * time.Hour
				b.skew(0)
			}
			c.run(b)
			b.finish()
		})
	}
}

// alone runs a check on a panel of its own.
func (c Check) alone(t *testing.T, kind string, p Panel) {
	t.Helper()
	if c.polls {
		p.Start = p.StartPolling
	}
	b := newBench(t, kind, p)
	if !c.fresh {
		b.enrolled()
	}
	c.run(b)
	b.finish()
}

// mend undoes what a check did to the one panel there is: the panel works again, and
// the keys are where the engine believes them to be, or at least in the box.
func (b *bench) mend() {
	b.fault("none", "")
	b.engine.do(func(e *engine) {
		e.script = newScript()
		e.hold = []holding{e.holding()}
	})
	if b.t.Failed() {
		return
	}
	b.mustObey(b.openPolicy())
	if b.engine.kind != SmartBoxKind {
		return
	}
	for _, slot := range b.look().Slots {
		if slot.KeyID == nil || *slot.KeyID == firstKey || *slot.KeyID == secondKey {
			continue
		}
		g, code := b.held()
		g.Revision, g.KeyID = 4, *slot.KeyID
		b.mustHold(g, 4)
		b.hand(b.mustType(code, "pickup"), "")
	}
	for _, key := range []string{firstKey, secondKey} {
		if b.look().slotOf(key) == 0 {
			_, code := b.held()
			b.hand(b.mustType(code, "dropoff"), key)
		}
	}
}
