package access_test

import (
	"testing"
	"time"

	"latchkey/internal/access"
)

// I12: weekly schedules in the property's zone, overnight ranges and DST days included.
func TestI12ScheduleOpen(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	weekdays := []access.Weekday{"mon", "tue", "wed", "thu", "fri"}
	office := []access.Schedule{{Days: weekdays, From: "08:00", To: "22:00"}}
	night := []access.Schedule{{Days: []access.Weekday{"sat"}, From: "22:00", To: "06:00"}}
	allDay := []access.Schedule{{Days: []access.Weekday{"sun"}, From: "00:00", To: "24:00"}}
	cases := []struct {
		name      string
		schedules []access.Schedule
		at        string
		open      bool
		from      string
	}{
		{"none: always open", nil, "2026-11-23T03:00:00Z", true, ""},
		{"inside", office, "2026-11-23T12:00:00Z", true, ""},
		{"first minute", office, "2026-11-23T07:00:00Z", true, ""},
		{"before", office, "2026-11-23T06:59:59Z", false, "2026-11-23T07:00:00Z"},
		{"end is excluded", office, "2026-11-23T21:00:00Z", false, "2026-11-24T07:00:00Z"},
		{"over the weekend", office, "2026-11-28T12:00:00Z", false, "2026-11-30T07:00:00Z"},
		{"over midnight", night, "2026-11-29T01:00:00Z", true, ""},
		{"over midnight, too late", night, "2026-11-29T05:00:00Z", false, "2026-12-05T21:00:00Z"},
		{"spring night is an hour shorter", night, "2026-03-29T03:59:00Z", true, ""},
		{"spring night has ended", night, "2026-03-29T04:00:00Z", false, "2026-04-04T20:00:00Z"},
		{"autumn Sunday lasts 25 hours", allDay, "2026-10-25T22:59:00Z", true, ""},
		{"autumn Sunday is over", allDay, "2026-10-25T23:00:00Z", false, "2026-10-31T23:00:00Z"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			open, from := access.ScheduleOpen(c.schedules, berlin, at)
			got := ""
			if !from.IsZero() {
				got = from.UTC().Format(time.RFC3339)
			}
			if open != c.open || got != c.from {
				t.Errorf("open %v from %q, want %v from %q", open, got, c.open, c.from)
			}
		})
	}
}

func TestI12CheckSchedules(t *testing.T) {
	t.Parallel()
	good := access.Schedule{Days: []access.Weekday{"mon"}, From: "08:00", To: "22:00"}
	if err := access.CheckSchedules([]access.Schedule{good, good, good}); err != nil {
		t.Errorf("three schedules: %v", err)
	}
	bad := map[string][]access.Schedule{
		"four":    {good, good, good, good},
		"no day":  {{From: "08:00", To: "22:00"}},
		"odd day": {{Days: []access.Weekday{"monday"}, From: "08:00", To: "22:00"}},
		"no from": {{Days: []access.Weekday{"mon"}, To: "22:00"}},
		"hour 25": {{Days: []access.Weekday{"mon"}, From: "25:00", To: "22:00"}},
	}
	for name, schedules := range bad {
		if access.CheckSchedules(schedules) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
