package access_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

// K6: when a visitor is reminded, and on which day access expires.
func TestK6ReturnReminder(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, zone, end, clock, at, day string }{
		{"an ordinary day", "Europe/Lisbon", "2026-12-03T15:00:00Z", "09:00", "2026-12-03T09:00:00Z", "2026-12-03"},
		{"in local time", "Asia/Tokyo", "2026-12-03T02:00:00Z", "09:00", "2026-12-03T00:00:00Z", "2026-12-03"},
		{"the end at 09:00 itself", "Europe/Lisbon", "2026-12-03T09:00:00Z", "09:00", "2026-12-03T09:00:00Z", "2026-12-03"},
		{"an end before 09:00: two hours before", "Europe/Lisbon", "2026-12-03T08:30:00Z", "09:00", "2026-12-03T06:30:00Z", "2026-12-03"},
		{"but not before midnight", "Europe/Lisbon", "2026-12-03T01:00:00Z", "09:00", "2026-12-03T00:00:00Z", "2026-12-03"},
		{"a second after midnight", "Europe/Lisbon", "2026-12-03T00:00:01Z", "09:00", "2026-12-03T00:00:00Z", "2026-12-03"},
		{"an end at 00:00 belongs to the day before", "Europe/Lisbon", "2026-12-03T00:00:00Z", "09:00", "2026-12-02T09:00:00Z", "2026-12-02"},
		{"the same in Tokyo", "Asia/Tokyo", "2026-12-02T15:00:00Z", "09:00", "2026-12-02T00:00:00Z", "2026-12-02"},
		{"a later clock time, the end before it", "Europe/Lisbon", "2026-12-03T11:00:00Z", "18:00", "2026-12-03T09:00:00Z", "2026-12-03"},
		{"midnight as clock time", "Europe/Lisbon", "2026-12-03T11:00:00Z", "00:00", "2026-12-03T00:00:00Z", "2026-12-03"},
		{"the day of the spring gap", "Europe/Berlin", "2026-03-29T12:00:00Z", "09:00", "2026-03-29T07:00:00Z", "2026-03-29"},
		{"a clock time inside the gap", "Europe/Berlin", "2026-03-29T12:00:00Z", "02:30", "2026-03-29T01:30:00Z", "2026-03-29"},
		{"the day of the autumn overlap", "Europe/Berlin", "2026-10-25T12:00:00Z", "09:00", "2026-10-25T08:00:00Z", "2026-10-25"},
		{"two hours before are two real hours", "Europe/Berlin", "2026-10-25T03:00:00Z", "09:00", "2026-10-25T01:00:00Z", "2026-10-25"},
		{"a midnight that the clocks skip", "America/Santiago", "2026-09-06T05:00:00Z", "09:00", "2026-09-06T04:00:00Z", "2026-09-06"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			end, err := time.Parse(time.RFC3339, c.end)
			if err != nil {
				t.Fatal(err)
			}
			at, day, err := access.ReturnReminder(end, zone(t, c.zone), c.clock)
			if err != nil || at.Format(time.RFC3339) != c.at || day != c.day {
				t.Errorf("%s on %s, %v; want %s on %s", at.Format(time.RFC3339), day, err, c.at, c.day)
			}
		})
	}
}

// K6: never after the end, and on the local day on which access expires, whatever
// the zone, the end and the clock time are.
func TestK6ReturnReminderProperties(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "America/Santiago", "Pacific/Apia", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		z := zone(&testing.T{}, rapid.SampledFrom(zones).Draw(t, "zone"))
		end := time.Unix(rapid.Int64Range(1767225600, 1830297600).Draw(t, "end"), 0).UTC()
		clock := rapid.SampledFrom([]string{"00:00", "02:30", "09:00", "23:59"}).Draw(t, "clock")
		at, day, err := access.ReturnReminder(end, z, clock)
		if err != nil {
			t.Fatal(err)
		}
		if at.After(end) {
			t.Fatalf("%s is after the end %s", at, end)
		}
		if last := end.Add(-time.Nanosecond).In(z).Format(time.DateOnly); day != last {
			t.Fatalf("access until %s expires on %s, not on %s", end.In(z), last, day)
		}
		if shown := at.In(z).Format(time.DateOnly); shown != day {
			t.Fatalf("reminded on %s of an end on %s", shown, day)
		}
		if text := at.In(z).Format("15:04"); text != clock && end.Sub(at) > 2*time.Hour && !strings.HasPrefix(text, "03") && !strings.HasPrefix(text, "01") {
			t.Fatalf("reminded at %s instead of %s", text, clock)
		}
	})
}

// T4: a window in local time moves with its zone, one with an offset never does, and
// what follows from it is worked out anew.
func TestT4PlanMovesWithTheZone(t *testing.T) {
	t.Parallel()
	policy := access.DefaultPolicy()
	local := access.Window{StartWall: "2026-12-01T15:00", EndWall: "2026-12-03T11:00"}
	before, err := access.PlanReservation(local, zone(t, "Europe/Lisbon"), policy, noon)
	if err != nil {
		t.Fatal(err)
	}
	after, err := access.PlanReservation(before.Window, zone(t, "Asia/Tokyo"), policy, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Window.Start.Format(time.RFC3339); got != "2026-12-01T06:00:00Z" {
		t.Errorf("15:00 in Tokyo is %s", got)
	}
	if got := after.ReminderAt.Format(time.RFC3339); got != "2026-12-03T00:00:00Z" {
		t.Errorf("the reminder is at %s", got)
	}
	if after.Same(before) {
		t.Error("the plan did not change")
	}
	fixed := access.Window{Start: noon, End: noon.Add(time.Hour)}
	moved, err := access.PlanReservation(fixed, zone(t, "Asia/Tokyo"), policy, noon)
	if err != nil || !moved.Window.Same(fixed) {
		t.Errorf("a window with an offset moved to %+v, %v", moved.Window, err)
	}
}

// K3: codes that people try first are refused, others are not.
func TestK3CheckBookingCode(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"40718263", "918273", "1029384756473829"} {
		if err := access.CheckBookingCode(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]access.Code{
		"12345": access.CodeInvalidCodeFormat, "12345678901234567": access.CodeInvalidCodeFormat, "4071826a": access.CodeInvalidCodeFormat, "": access.CodeInvalidCodeFormat,
		"00000000": access.CodeWeakCode, "11222211": access.CodeWeakCode, "12345678": access.CodeWeakCode, "98765432": access.CodeWeakCode,
		"78901234": access.CodeWeakCode, "12341234": access.CodeWeakCode, "123123": access.CodeWeakCode,
	} {
		if got := code(access.CheckBookingCode(bad)); got != want {
			t.Errorf("%q: %q, want %q", bad, got, want)
		}
	}
}
