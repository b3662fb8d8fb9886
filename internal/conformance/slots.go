package conformance

import (
	"time"
)

var slotChecks = []Check{
	{Name: "slot/opens_for_the_number_shown_only", Rule: "P10", Kind: SmartBoxKind, run: numberShownOnly},
	{Name: "slot/number_before_is_good_for_15_seconds", Rule: "P10", Kind: SmartBoxKind, run: numberBefore},
	{Name: "slot/number_that_nobody_read_for_long_is_old", Rule: "P10", Kind: SmartBoxKind, run: oldNumber},
	{Name: "slot/pickup_opens_the_slot_of_the_key", Rule: "P10", Kind: SmartBoxKind, run: pickupCommand},
	{Name: "slot/pickup_is_refused_by_no_pickup", Rule: "K10", Kind: SmartBoxKind, run: pickupDenied},
	{Name: "slot/pickup_of_a_key_that_is_not_there", Rule: "K12", Kind: SmartBoxKind, run: pickupOfNothing},
	{Name: "slot/drop_off_depends_on_nothing_but_a_free_slot", Rule: "K8", Kind: SmartBoxKind, run: dropOffCommand},
	{Name: "slot/drop_off_ends_with_the_tombstone", Rule: "P3", Kind: SmartBoxKind, run: dropOffTombstone},
}

// wrongNumber is one that the box does not show.
func wrongNumber(shown string) string {
	if shown == "" {
		return "000000"
	}
	return string('0'+(shown[0]-'0'+5)%10) + shown[1:]
}

func numberShownOnly(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	if len(c.PanelCode) != 6 {
		b.t.Fatalf("the box must show a number of six digits, but shows %q", c.PanelCode)
	}
	shown := c.PanelCode
	c.PanelCode = wrongNumber(shown)
	b.mustCommand(c, "wrong_panel_code")
	b.denied(c, "wrong_panel_code")
	if b.look().Number == shown {
		b.t.Errorf("the number must change after a wrong one")
	}
	c = fresh(c)
	c.PanelCode = shown
	b.mustCommand(c, "wrong_panel_code")
	c = fresh(c)
	c.PanelCode = ""
	b.mustCommand(c, "wrong_panel_code")
	b.mustCommand(b.opens(g), "opened")
}

// numberBefore moves the clock by steps until the number changes, since nobody knows
// how old it is.
func numberBefore(b *bench) {
	g, _ := b.held()
	shown := b.look().Number
	var ahead time.Duration
	for ahead = 0; b.look().Number == shown; ahead += 4 * time.Second {
		if ahead > 80*time.Second {
			b.t.Fatalf("the number must change every minute, but is the same after %s", ahead)
		}
		b.skew(ahead)
	}
	c := b.opens(g)
	c.PanelCode = shown
	b.mustCommand(c, "opened")
	b.skew(ahead + 20*time.Second)
	c = b.opens(g)
	c.PanelCode = shown
	b.mustCommand(c, "wrong_panel_code")
}

// oldNumber is a number that stood on the box while nobody looked, and that nobody
// who stands before it can read any more.
func oldNumber(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	b.skew(10 * time.Minute)
	c.ExpiresAt = b.engine.now().Add(time.Minute)
	b.mustCommand(c, "wrong_panel_code")
}

func pickupCommand(b *bench) {
	g, _ := b.grant()
	g.KeyID = secondKey
	b.mustHold(g, 3)
	r := b.mustCommand(b.opens(g), "opened")
	if r.Slot != b.look().slotOf(secondKey) {
		b.t.Errorf("the slot of the key must open, but %d did", r.Slot)
	}
}

func pickupDenied(b *bench) {
	for _, reason := range []string{"reservation_ended", "reservation_revoked", "visitor_id_required"} {
		g, _ := b.grant()
		g.NoPickup = reason
		b.mustHold(g, 3)
		c := b.opens(g)
		b.mustCommand(c, "pickup_denied")
		b.denied(c, "pickup_denied")
	}
}

func pickupOfNothing(b *bench) {
	g, _ := b.grant()
	g.KeyID = newID("key")
	b.mustHold(g, 3)
	c := b.opens(g)
	b.mustCommand(c, "key_not_here")
	b.denied(c, "key_not_here")
}

// toDropOff is a command that opens a free slot.
func (b *bench) toDropOff(g grant) command {
	b.t.Helper()
	c := b.opens(g)
	c.Purpose = "dropoff"
	return c
}

func dropOffCommand(b *bench) {
	g, _ := b.held()
	over := b.closed(g, 7)
	over.NoPickup = "reservation_revoked"
	b.mustHold(over, 7)
	unknown, _ := b.grant()
	older, newer := b.toDropOff(g), b.toDropOff(unknown) // under an older revision, and of a grant that is not held
	for _, c := range []command{b.toDropOff(over), older, newer} {
		c.PanelCode = b.look().Number
		r := b.mustCommand(c, "opened")
		b.mustBeFree(r.Slot)
		e := b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
		if e.Op != "dropoff" || e.Slot != r.Slot || e.GrantID != c.GrantID {
			b.t.Errorf("the event must name op, slot and grant, but is %+v", e)
		}
	}
}

// mustBeFree says that no key is in a slot.
func (b *bench) mustBeFree(slot int) {
	b.t.Helper()
	for _, s := range b.look().Slots {
		if s.Slot == slot {
			if s.KeyID != nil {
				b.t.Fatalf("slot %d opened for a drop-off, but holds a key", slot)
			}
			return
		}
	}
	b.t.Fatalf("there is no slot %d", slot)
}

func dropOffTombstone(b *bench) {
	g, _ := b.held()
	b.mustHold(ended(g, 4), 4)
	b.mustCommand(b.toDropOff(g), "stale_revision")
	g.Revision = 4
	b.mustCommand(b.toDropOff(g), "stale_revision")
}
