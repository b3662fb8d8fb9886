package panelsim

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/panel"
)

// Whatever a box holds: picking up opens the slot of the very key, inside the
// window of the grant and only then; returning opens an empty slot whenever there is
// one (K1, K8, P2).
func TestTypedOnAnyBox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
		instant := rapid.Custom(func(t *rapid.T) *time.Time {
			if rapid.Bool().Draw(t, "none") {
				return nil
			}
			at := now.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "hours")) * time.Hour)
			return &at
		})
		b := &Box{Grants: map[string]panel.Grant{}, Codes: map[string]string{}, LeaseUntil: now.Add(time.Hour)}
		for n := range rapid.IntRange(1, 6).Draw(t, "slots") {
			key := ""
			if rapid.Bool().Draw(t, "holds a key") {
				key = fmt.Sprint("key_", n)
			}
			b.Keys, b.Open = append(b.Keys, key), append(b.Open, rapid.Bool().Draw(t, "open"))
		}
		free := 0
		for _, key := range b.Keys {
			if key == "" {
				free++
			}
		}
		for n := range rapid.IntRange(0, 4).Draw(t, "grants") {
			id := fmt.Sprint("res_", n)
			b.Grants[id] = panel.Grant{
				GrantID: id, KeyID: fmt.Sprint("key_", rapid.IntRange(0, 6).Draw(t, "key")), StartsAt: instant.Draw(t, "start"), EndsAt: instant.Draw(t, "end"),
				NoPickup: rapid.SampledFrom([]string{"", "", "reservation_revoked"}).Draw(t, "no pickup"), Tombstone: rapid.IntRange(0, 4).Draw(t, "tombstone") == 0,
			}
			b.Codes[id] = fmt.Sprint("code", n)
		}
		typed := rapid.IntRange(0, 5).Draw(t, "typed")
		g, known := b.Grants[fmt.Sprint("res_", typed)]
		known = known && !g.Tombstone
		code := fmt.Sprint("code", typed)

		inside := known && g.NoPickup == "" && (g.StartsAt == nil || !now.Before(*g.StartsAt)) && (g.EndsAt == nil || now.Before(*g.EndsAt))
		v := b.Typed(code, panel.PurposePickup, now)
		switch {
		case v.Slot > 0 && (!inside || b.Keys[v.Slot-1] != g.KeyID):
			t.Fatalf("slot %d with %s opens for %+v", v.Slot, b.Keys[v.Slot-1], g)
		case v.Slot == 0 && v.Reason == "":
			t.Fatal("nothing opens and nobody is told why")
		case v.Reason == reasonWrongCode && known:
			t.Fatal("a code that is good is called wrong")
		}
		v = b.Typed(code, panel.PurposeDropOff, now)
		if opens := v.Slot > 0; opens != (known && free > 0) || opens && b.Keys[v.Slot-1] != "" {
			t.Fatalf("K8: with %d slots free a drop-off is answered with %+v", free, v)
		}
	})
}

// P7: who does nothing but try codes all day gets fewer than 200 tries of the hundred
// million codes there are.
func TestLockoutLimitsTries(t *testing.T) {
	var l Lockout
	tries, now := 0, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for end := now.Add(24 * time.Hour); now.Before(end); now = now.Add(time.Second) {
		if !l.Locked(now) {
			tries++
			l, _ = l.WrongCode(now)
		}
	}
	if tries >= 200 {
		t.Errorf("%d tries in a day", tries)
	}
	// A visitor who errs now and then is never locked out.
	l = Lockout{}
	for range 100 {
		var locks bool
		if l, locks = l.WrongCode(now); locks {
			t.Fatal("one error every ten minutes locks the box")
		}
		now = now.Add(10 * time.Minute)
	}
}

// P10: the number changes, the one before is good for a moment, and no other.
func TestRotatingNumber(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	first := rotating{}.at(now)
	if len(first.now) != 6 || first.at(now.Add(59*time.Second)) != first {
		t.Errorf("the number is %+v and changes too soon", first)
	}
	next := first.at(now.Add(time.Minute))
	for next.now == first.now { // one in a million
		next = rotating{before: first.now, now: newNumber(), since: next.since}
	}
	later := now.Add(time.Minute)
	if !next.good(next.now, later) || !next.good(first.now, later) || next.good(first.now, later.Add(numberGrace)) || next.good("", later) {
		t.Errorf("%+v takes the wrong numbers", next)
	}
	// Nobody looked in between: the number changed on the minute all the same.
	if seen := now.Add(80 * time.Second); first.at(seen).good(first.now, seen) && first.at(seen).now != first.now {
		t.Error("a number is taken 20 seconds after it went")
	}
	if seen := now.Add(10 * time.Minute); first.at(seen).before != "" {
		t.Error("a number is taken that has not been shown for minutes")
	}
	if (rotating{}).at(now).good("", now) {
		t.Error("no number at all is taken")
	}
}
