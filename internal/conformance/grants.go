package conformance

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

var grantChecks = []Check{
	{Name: "grant/newer_revision_replaces", Rule: "P3", run: newerReplaces},
	{Name: "grant/older_revision_changes_nothing", Rule: "P3", run: olderChangesNothing},
	{Name: "grant/equal_revision_changes_nothing", Rule: "P3", run: equalChangesNothing},
	{Name: "grant/repetition_changes_nothing", Rule: "P3", run: grantTwice},
	{Name: "grant/newest_of_many_at_once_is_held", Rule: "P3", run: manyAtOnce},
	{Name: "grant/tombstone_opens_nothing", Rule: "P3", run: tombstoneOpensNothing},
	{Name: "grant/tombstone_stays", Rule: "P3", run: tombstoneStays},
	{Name: "grant/newer_revision_replaces_a_tombstone", Rule: "I14", run: tombstoneReplaced},
	{Name: "grant/without_window_is_always_open", Rule: "P3", run: noWindow},
	{Name: "grant/kept_over_a_power_cycle", Rule: "P2", run: keptOverPowerCycle},
	{Name: "grant/without_id_is_refused", Rule: "P3", run: grantWithoutID},
}

// closed is a grant whose window is over, as a revision.
func (b *bench) closed(g grant, revision int64) grant {
	from, to := b.engine.now().Add(-2*time.Hour), b.engine.now().Add(-time.Hour)
	g.Revision, g.StartsAt, g.EndsAt = revision, &from, &to
	return g
}

func ended(g grant, revision int64) grant {
	g.Revision, g.Tombstone, g.StartsAt, g.EndsAt, g.EntranceIDs, g.CodeJWE = revision, true, nil, nil, []string{}, ""
	return g
}

// mustHold puts a grant and says which revision must be held then.
func (b *bench) mustHold(g grant, held int64) {
	b.t.Helper()
	if got := b.put(g); got != held {
		b.t.Fatalf("after revision %d of the grant the panel must hold %d, but says %d", g.Revision, held, got)
	}
}

func newerReplaces(b *bench) {
	g, _ := b.held()
	b.mustCommand(b.opens(g), "opened")
	over := b.closed(g, 7)
	b.mustHold(over, 7)
	b.mustCommand(b.opens(over), "outside_window")
}

func olderChangesNothing(b *bench) {
	g, _ := b.held()
	b.mustHold(b.closed(g, 2), 3)
	b.mustHold(ended(g, 1), 3)
	b.mustCommand(b.opens(g), "opened")
}

func equalChangesNothing(b *bench) {
	g, _ := b.held()
	b.mustHold(b.closed(g, 3), 3)
	b.mustHold(ended(g, 3), 3)
	b.mustCommand(b.opens(g), "opened")
}

func grantTwice(b *bench) {
	g, _ := b.held()
	before := b.status().Grants
	b.mustHold(g, 3)
	if now := b.status().Grants; now != before {
		b.t.Errorf("the same grant again makes %d grants of %d", now, before)
	}
	b.mustCommand(b.opens(g), "opened")
}

func manyAtOnce(b *bench) {
	g, _ := b.held()
	const newest = 40
	var wait sync.WaitGroup
	for _, n := range rand.Perm(newest - 3) {
		revision := int64(n + 4)
		document := b.closed(g, revision)
		if revision == newest {
			document = g
			document.Revision = newest
		}
		token, _ := b.message("grant", document, nil)
		wait.Go(func() {
			if code, said, err := b.deliver(http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), token); err != nil || code != http.StatusOK {
				b.t.Errorf("revision %d: %d %s %v", revision, code, said, err)
			}
		})
	}
	wait.Wait()
	b.mustHold(g, newest)
	g.Revision = newest
	b.mustCommand(b.opens(g), "opened")
}

func tombstoneOpensNothing(b *bench) {
	g, _ := b.held()
	b.mustHold(ended(g, 4), 4)
	for _, revision := range []int64{3, 4, 9} {
		g.Revision = revision
		b.mustCommand(b.opens(g), "stale_revision")
	}
}

func tombstoneStays(b *bench) {
	g, _ := b.held()
	b.mustHold(ended(g, 4), 4)
	b.mustHold(g, 4)
	b.mustCommand(b.opens(g), "stale_revision")
	b.cutOff(func() {
		b.powerCycle()
		b.mustHold(g, 4)
		b.mustCommand(b.opens(g), "stale_revision")
	})
}

func tombstoneReplaced(b *bench) {
	g, _ := b.held()
	b.mustHold(ended(g, 4), 4)
	g.Revision = 5
	b.mustHold(g, 5)
	b.mustCommand(b.opens(g), "opened")
}

func noWindow(b *bench) {
	g, _ := b.grant()
	g.StartsAt, g.EndsAt = nil, nil
	b.mustHold(g, 3)
	b.mustCommand(b.opens(g), "opened")
}

func keptOverPowerCycle(b *bench) {
	over, _ := b.held()
	over = b.closed(over, 5)
	b.mustHold(over, 5)
	good, code := b.held()
	gone, _ := b.held()
	b.mustHold(ended(gone, 6), 6)
	before := b.status()
	b.cutOff(func() {
		b.powerCycle()
		after := b.status()
		if after.Grants != before.Grants || after.BootID == before.BootID || after.PanelID != before.PanelID {
			b.t.Errorf("a power cycle must change the boot id and nothing else: before %+v, after %+v", before, after)
		}
		b.mustCommand(b.opens(over), "outside_window")
		b.mustCommand(b.opens(good), "opened")
		gone.Revision = 6
		b.mustCommand(b.opens(gone), "stale_revision")
		if b.engine.kind == SmartBoxKind {
			b.mustType(code, "pickup")
		}
	})
}

// cutOff takes the engine away while something is tried: what the panel does then it
// does by what it holds.
func (b *bench) cutOff(try func()) {
	b.t.Helper()
	away := func(yes bool) {
		b.engine.do(func(e *engine) { e.away[pathSync], e.away[pathEvents] = yes, yes })
	}
	away(true)
	defer away(false)
	try()
}

func grantWithoutID(b *bench) {
	token, _ := b.message("grant", grant{Kind: "invitation", Revision: 1, EntranceIDs: []string{frontDoor}}, nil)
	b.refused("a grant without grant_id", http.MethodPut, "/grants/none", token, "malformed")
}
