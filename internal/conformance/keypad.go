package conformance

import (
	"strings"
	"time"
)

var keypadChecks = []Check{
	{Name: "keypad/pickup_opens_the_slot_of_the_key", Rule: "K3", Kind: SmartBoxKind, run: typedPickup},
	{Name: "keypad/pickup_inside_the_window_only", Rule: "P2", Kind: SmartBoxKind, run: typedWindow},
	{Name: "keypad/pickup_is_refused_by_no_pickup", Rule: "K10", Kind: SmartBoxKind, run: typedNoPickup},
	{Name: "keypad/pickup_of_a_key_that_is_not_there", Rule: "K12", Kind: SmartBoxKind, run: typedPickupOfNothing},
	{Name: "keypad/drop_off_at_any_time", Rule: "K8", Kind: SmartBoxKind, run: typedDropOff},
	{Name: "keypad/nothing_after_the_tombstone", Rule: "P3", Kind: SmartBoxKind, wrong: true, run: typedTombstone},
	{Name: "keypad/full_box_takes_no_key", Rule: "K8", Kind: SmartBoxKind, run: fullBox},
	{Name: "keypad/hands_are_reported_with_their_grant", Rule: "P6", Kind: SmartBoxKind, run: hands},
	{Name: "keypad/works_the_same_while_cut_off", Rule: "P2", Kind: SmartBoxKind, run: typedCutOff},
	{Name: "keypad/four_wrong_codes_lock_nothing", Rule: "P7", Kind: SmartBoxKind, wrong: true, run: fourWrongCodes},
	{Name: "keypad/five_wrong_codes_lock_it_for_longer_and_longer", Rule: "P7", Kind: SmartBoxKind, wrong: true, run: lockouts},
	{Name: "keypad/locked_over_a_power_cycle", Rule: "P7", Kind: SmartBoxKind, wrong: true, run: lockedOverPowerCycle},
}

// wasTyped waits for the report of a typed code.
func (b *bench) wasTyped(typ, grantID, op, code string, slot int) {
	b.t.Helper()
	e := b.reported("what was typed", func(e event) bool {
		return e.Type == typ && e.GrantID == grantID && e.Op == op && e.Code == code
	})
	if e.Via != "code" || e.Slot != slot || e.CommandID != "" {
		b.t.Errorf("the event of a typed code must name via and slot, but is %+v", e)
	}
}

func typedPickup(b *bench) {
	g, code := b.grant()
	g.KeyID = secondKey
	b.mustHold(g, 3)
	slot := b.mustType(code, "pickup")
	if slot != b.look().slotOf(secondKey) {
		b.t.Errorf("the slot of the key must open, but %d did", slot)
	}
	b.wasTyped("opened", g.GrantID, "pickup", "", slot)
	if again := b.mustType(code, "pickup"); again != slot {
		b.t.Errorf("the code typed again must open the same slot, not %d", again)
	}
}

func typedWindow(b *bench) {
	g, code := b.grant()
	from, to := b.engine.now().Add(time.Hour), b.engine.now().Add(2*time.Hour)
	g.StartsAt, g.EndsAt = &from, &to
	b.mustHold(g, 3)
	b.mustNotType(code, "pickup", "not_yet")
	b.wasTyped("denied", g.GrantID, "pickup", "not_yet", 0)
	b.skew(90 * time.Minute)
	b.mustType(code, "pickup")
	b.skew(2*time.Hour + time.Minute)
	b.mustNotType(code, "pickup", "reservation_ended")
	b.wasTyped("denied", g.GrantID, "pickup", "reservation_ended", 0)
}

func typedNoPickup(b *bench) {
	for _, reason := range []string{"reservation_ended", "reservation_revoked", "visitor_id_required"} {
		g, code := b.grant()
		g.NoPickup = reason
		b.mustHold(g, 3)
		b.mustNotType(code, "pickup", reason)
		b.wasTyped("denied", g.GrantID, "pickup", reason, 0)
		b.mustBeFree(b.mustType(code, "dropoff"))
	}
}

func typedPickupOfNothing(b *bench) {
	g, code := b.grant()
	g.KeyID = newID("key")
	b.mustHold(g, 3)
	b.mustNotType(code, "pickup", "key_not_here")
	b.wasTyped("denied", g.GrantID, "pickup", "key_not_here", 0)
}

func typedDropOff(b *bench) {
	before, after := b.engine.now().Add(-48*time.Hour), b.engine.now().Add(48*time.Hour)
	beforeEnd, afterEnd := before.Add(time.Hour), after.Add(time.Hour)
	for _, window := range [][2]*time.Time{{&before, &beforeEnd}, {&after, &afterEnd}, {nil, nil}} {
		g, code := b.grant()
		g.StartsAt, g.EndsAt = window[0], window[1]
		b.mustHold(g, 3)
		slot := b.mustType(code, "dropoff")
		b.mustBeFree(slot)
		b.wasTyped("opened", g.GrantID, "dropoff", "", slot)
	}
}

func typedTombstone(b *bench) {
	for _, withCode := range []bool{false, true} {
		g, code := b.held()
		over := ended(g, 4)
		if withCode {
			over.CodeJWE = g.CodeJWE
		}
		b.mustHold(over, 4)
		b.mustNotType(code, "pickup", "wrong_code")
		b.mustNotType(code, "dropoff", "wrong_code")
	}
}

func fullBox(b *bench) {
	g, code := b.held()
	var extra []string
	for range slots - 2 {
		slot := b.mustType(code, "dropoff")
		extra = append(extra, newID("key"))
		b.hand(slot, extra[len(extra)-1])
	}
	b.mustNotType(code, "dropoff", "no_free_slot")
	b.wasTyped("denied", g.GrantID, "dropoff", "no_free_slot", 0)
	c := b.toDropOff(g)
	b.mustCommand(c, "no_free_slot")
	b.denied(c, "no_free_slot")
	for _, key := range extra { // and as it was
		g, code := b.grant()
		g.KeyID = key
		b.mustHold(g, 3)
		b.hand(b.mustType(code, "pickup"), "")
	}
	b.mustType(code, "dropoff")
}

// moved waits for the report of a hand in a slot.
func (b *bench) moved(typ, grantID, key string, slot int) {
	b.t.Helper()
	b.reported(typ, func(e event) bool {
		return e.Type == typ && e.GrantID == grantID && e.KeyID == key && e.Slot == slot
	})
}

func hands(b *bench) {
	taker, code := b.held()
	returner, otherCode := b.held()
	slot := b.mustType(code, "pickup")
	b.hand(slot, "")
	b.moved("key_taken", taker.GrantID, firstKey, slot)
	b.mustNotType(code, "pickup", "key_not_here")
	slot = b.mustType(otherCode, "dropoff")
	b.hand(slot, firstKey)
	b.moved("key_returned", returner.GrantID, firstKey, slot)

	remote, _ := b.held()
	slot = b.mustCommand(b.opens(remote), "opened").Slot
	b.hand(slot, "")
	b.moved("key_taken", remote.GrantID, firstKey, slot)
	slot = b.mustCommand(b.toDropOff(remote), "opened").Slot
	b.hand(slot, firstKey)
	b.moved("key_returned", remote.GrantID, firstKey, slot)
}

func typedCutOff(b *bench) {
	g, code := b.held()
	revoked, revokedCode := b.grant()
	revoked.NoPickup = "reservation_revoked"
	b.mustHold(revoked, 3)
	late, lateCode := b.grant()
	late = b.closed(late, 3)
	b.mustHold(late, 3)
	b.fault("offline", "")
	b.mustNotType(revokedCode, "pickup", "reservation_revoked")
	b.mustNotType(lateCode, "pickup", "reservation_ended")
	slot := b.mustType(code, "pickup")
	b.hand(slot, "")
	back := b.mustType(lateCode, "dropoff")
	b.hand(back, firstKey)
	b.never("a panel that is cut off reports", func(e *engine) bool {
		for _, events := range e.events {
			for _, event := range events {
				if event.GrantID == g.GrantID {
					return true
				}
			}
		}
		return false
	})
	b.fault("none", "")
	b.wasTyped("opened", g.GrantID, "pickup", "", slot)
	b.wasTyped("denied", revoked.GrantID, "pickup", "reservation_revoked", 0)
	b.moved("key_taken", g.GrantID, firstKey, slot)
	b.moved("key_returned", late.GrantID, firstKey, back)
}

// wrong types codes that are nobody's.
func (b *bench) wrong(times int) {
	b.t.Helper()
	for range times {
		b.mustNotType(strings.Repeat("0", 9), "pickup", "wrong_code") // of nine digits: none of this suite's
	}
}

func fourWrongCodes(b *bench) {
	since := b.engine.now().Add(-time.Second)
	_, code := b.held()
	b.wrong(4)
	b.mustType(code, "pickup")
	b.skew(16 * time.Minute)
	_, code = b.held()
	b.wrong(4)
	b.mustType(code, "pickup")
	b.skew(32 * time.Minute)
	_, code = b.held()
	b.mustType(code, "dropoff")
	b.engine.do(func(e *engine) {
		for _, events := range e.events {
			for _, event := range events {
				if event.Type == "lockout" && event.At.After(since) {
					b.t.Errorf("four wrong codes in 15 minutes must not lock the box: %+v", event)
				}
			}
		}
	})
}

// lockout waits for the nth report of a lock-out after an instant, and says how long
// it lasts.
func (b *bench) lockout(since time.Time, nth int) (lasts time.Duration) {
	b.t.Helper()
	b.await("the lock-out is reported", func(e *engine) bool {
		var found []event
		for _, boot := range e.boots {
			for _, event := range e.events[boot] {
				if event.Type == "lockout" && event.At.After(since) {
					found = append(found, event)
				}
			}
		}
		if len(found) < nth {
			return false
		}
		if until := found[nth-1].Until; until != nil {
			lasts = until.Sub(found[nth-1].At)
		}
		return true
	})
	return lasts
}

func lockouts(b *bench) {
	since := b.engine.now().Add(-time.Second)
	var ahead time.Duration
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		g, code := b.grant()
		g.StartsAt, g.EndsAt = nil, nil
		b.mustHold(g, 3)
		b.wrong(5)
		if lasts := b.lockout(since, n+1); (lasts - want).Abs() > time.Second {
			b.t.Fatalf("lock-out %d must last %s, but lasts %s", n+1, want, lasts)
		}
		b.mustNotType(code, "pickup", "")
		b.mustNotType(code, "dropoff", "")
		b.mustCommand(b.opens(g), "opened")
		ahead += want
		b.skew(ahead - 20*time.Second)
		b.mustNotType(code, "pickup", "")
		b.skew(ahead + 5*time.Second)
		b.mustType(code, "pickup")
		ahead += 10 * time.Second
	}
	b.engine.do(func(e *engine) {
		for _, events := range e.events {
			for _, event := range events {
				if event.Type == "denied" && event.Code != "wrong_code" && event.At.After(since) {
					b.t.Errorf("what is typed while the box is locked must be in no event: %+v", event)
				}
			}
		}
	})
}

func lockedOverPowerCycle(b *bench) {
	_, code := b.held()
	since := b.engine.now().Add(-time.Second)
	b.wrong(5)
	b.lockout(since, 1)
	b.powerCycle()
	b.mustNotType(code, "pickup", "")
}
