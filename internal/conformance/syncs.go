package conformance

import (
	"slices"
)

var syncChecks = []Check{
	{Name: "sync/follows_every_start", Rule: "P2", run: syncAfterStart},
	{Name: "sync/says_that_all_was_lost", Rule: "P2", run: syncAfterWipe},
	{Name: "sync/says_so_until_it_is_answered", Rule: "P2", run: lostUntilAnswered},
	{Name: "sync/asks_for_every_part", Rule: "P2", run: syncParts},
	{Name: "sync/with_a_broken_part_is_completed", Rule: "P2", run: brokenPart},
	{Name: "sync/older_revision_changes_nothing", Rule: "P3", run: syncOlderRevision},
	{Name: "sync/answer_of_another_engine_is_refused", Rule: "P1", run: syncOfAnother},
}

// syncsSince waits for the syncs that follow what try does.
func (b *bench) syncsSince(what string, try func(), enough func([]syncRequest) bool) (asked []syncRequest) {
	b.t.Helper()
	before := 0
	b.engine.do(func(e *engine) { before = len(e.syncs) })
	try()
	b.await(what, func(e *engine) bool {
		asked = slices.Clone(e.syncs[before:])
		return enough(asked)
	})
	return asked
}

func atLeast(n int) func([]syncRequest) bool {
	return func(asked []syncRequest) bool { return len(asked) >= n }
}

func syncAfterStart(b *bench) {
	b.held()
	for range 2 {
		asked := b.syncsSince("the panel asks for all that it should hold", b.powerCycle, atLeast(1))
		if boot := b.status().BootID; asked[0].BootID != boot || asked[0].Lost || asked[0].After != "" {
			b.t.Errorf("the sync after a start must name the boot %s and lose nothing, but is %+v", boot, asked[0])
		}
	}
}

// sync is what the engine answers with these grants, one part for each argument.
func (b *bench) sync(parts ...[]grant) {
	b.engine.do(func(e *engine) {
		e.hold = nil
		for n, grants := range parts {
			part := e.holding(grants...)
			if n < len(parts)-1 {
				part.Next = newID("next")
			}
			e.hold = append(e.hold, part)
		}
	})
}

// mustBeHeld waits until the panel holds a grant whose window is over, and refuses
// by it what it would open on the engine's word.
func (b *bench) mustBeHeld(grants ...grant) {
	b.t.Helper()
	for _, g := range grants {
		b.awaitLook("the panel holds "+g.GrantID, func(s sim) bool {
			held, ok := s.grant(g.GrantID)
			return ok && held.Revision == g.Revision
		})
		b.mustCommand(b.opens(g), "outside_window")
	}
}

// over is a grant that the panel has not heard of, whose window is over.
func (b *bench) over() grant {
	b.t.Helper()
	g, _ := b.grant()
	return b.closed(g, g.Revision)
}

func syncAfterWipe(b *bench) {
	g, _ := b.held()
	gone := b.over()
	before := b.status().BootID
	b.sync([]grant{gone})
	asked := b.syncsSince("the panel asks for all that it should hold", b.wipe, atLeast(1))
	if asked[0].BootID == before || !asked[0].Lost {
		b.t.Errorf("the sync after a loss must name a new boot and say that all was lost, but is %+v", asked[0])
	}
	b.mustBeHeld(gone)
	if _, held := b.look().grant(g.GrantID); held {
		b.t.Errorf("control interface: a wipe must lose the grants")
	}
	asked = b.syncsSince("the panel asks again after the next start", b.restart, atLeast(1))
	if asked[0].Lost {
		b.t.Errorf("a loss that the engine has answered must not be told again")
	}
}

func lostUntilAnswered(b *bench) {
	b.held()
	b.engine.do(func(e *engine) { e.lose[pathSync] = 2 })
	for n, q := range b.syncsSince("a sync is sent again until it is answered", b.wipe, atLeast(3))[:3] {
		if !q.Lost || q.After != "" {
			b.t.Errorf("sync %d must say that all was lost, but is %+v", n+1, q)
		}
	}
}

func syncParts(b *bench) {
	first, second, third := b.over(), b.over(), b.over()
	b.sync([]grant{first, second}, []grant{}, []grant{third})
	asked := b.syncsSince("the panel asks for all three parts", b.powerCycle, atLeast(3))
	b.engine.do(func(e *engine) {
		want := []string{"", e.hold[0].Next, e.hold[1].Next}
		for n, q := range asked[:3] {
			if q.After != want[n] {
				b.t.Errorf("the request for part %d must be after %q, but is %+v", n+1, want[n], q)
			}
		}
	})
	b.mustBeHeld(first, second, third)
}

// spoilSync makes the answer to one sync somebody else's, and says what is held from
// then on.
func (b *bench) spoilSync(nth int, then ...holding) {
	n := 0
	b.engine.do(func(e *engine) {
		e.onReply = func(typ string, r *reply) {
			if typ != "sync_answer" {
				return
			}
			if n++; n == nth {
				r.key = foreignKey(b)
				if len(then) > 0 {
					e.hold = then
				}
			}
		}
	})
}

func brokenPart(b *bench) {
	first, second, third := b.over(), b.over(), b.over()
	b.sync([]grant{first}, []grant{second}, []grant{third})
	b.spoilSync(2)
	b.syncsSince("the panel asks again for what it did not get", b.powerCycle, atLeast(4))
	b.mustBeHeld(first, second, third)
}

func syncOlderRevision(b *bench) {
	g, _ := b.held()
	newer := g
	newer.Revision = 6
	b.mustHold(newer, 6)
	last := b.over()
	b.sync([]grant{b.closed(g, 5), last})
	b.syncsSince("the panel asks for all that it should hold", b.powerCycle, atLeast(1))
	b.mustBeHeld(last)
	b.mustCommand(b.opens(newer), "opened")
	b.mustHold(g, 6)
}

func syncOfAnother(b *bench) {
	first, second := b.over(), b.over()
	b.sync([]grant{first})
	b.spoilSync(1, b.engine.holding(second))
	b.syncsSince("the panel asks again after the answer of another engine", b.powerCycle, atLeast(2))
	b.mustBeHeld(second)
	if _, held := b.look().grant(first.GrantID); held {
		b.t.Errorf("the panel must not hold what another engine told it")
	}
}
