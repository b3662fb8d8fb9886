package access_test

import (
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

// P2, I12: what a panel is told of an entrance is what decisions read of it.
func TestP2PolicyForEntrance(t *testing.T) {
	for _, c := range []struct {
		sharing, shareable, open bool
	}{{true, true, true}, {true, false, false}, {false, true, false}, {false, false, false}} {
		got := access.PolicyForEntrance(access.Entrance{ID: "ent_1", Shareable: c.shareable}, access.Policy{SharingEnabled: c.sharing}, "Asia/Tokyo")
		if got.OpenToGuests != c.open || got.LockedDown || got.EntranceID != "ent_1" || got.TimeZone != "Asia/Tokyo" {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func drawPanelPolicy(t *rapid.T) access.PanelPolicy {
	schedule := rapid.Custom(func(t *rapid.T) access.Schedule {
		return access.Schedule{Days: []access.Weekday{"mon"}, From: "08:00", To: rapid.SampledFrom([]string{"12:00", "20:00"}).Draw(t, "to")}
	})
	return access.PanelPolicy{
		Version: rapid.Int64Range(1, 9).Draw(t, "version"), OpenToGuests: rapid.Bool().Draw(t, "open"), LockedDown: rapid.Bool().Draw(t, "locked"),
		TimeZone: rapid.SampledFrom([]string{"UTC", "Asia/Tokyo"}).Draw(t, "zone"), Schedules: rapid.SliceOfN(schedule, 0, 2).Draw(t, "schedules"),
		LockedKeys: rapid.SampledFrom([][]string{nil, {"key_1"}, {"key_1", "key_2"}}).Draw(t, "keys"),
	}
}

// P5: a document that says the same takes nothing away; one that takes nothing away
// from a panel without any document takes nothing away from any panel.
func TestP5NarrowingDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPanelPolicy(t), drawPanelPolicy(t)
		if a.Same(b) && (a.Narrows(&b) || b.Narrows(&a)) {
			t.Fatalf("%+v narrows %+v, which says the same", a, b)
		}
		if !a.Narrows(nil) && a.Narrows(&b) {
			t.Fatalf("%+v holds nobody off and yet narrows %+v", a, b)
		}
		if a.LockedDown && !b.LockedDown && !a.Narrows(&b) || !a.OpenToGuests && b.OpenToGuests && !a.Narrows(&b) {
			t.Fatalf("%+v does not narrow %+v", a, b)
		}
	})
}
