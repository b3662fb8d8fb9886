package access_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// T1: a wall-clock time means the property's zone; a gap moves forward, an overlap
// takes the earlier instant for a start and the later for an end.
func TestT1ResolveLocal(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, zone, wall string
		edge             access.Edge
		want             string
	}{
		{"plain", "Asia/Tokyo", "2026-12-01T15:00", access.StartEdge, "2026-12-01T06:00:00Z"},
		{"with seconds", "Asia/Tokyo", "2026-12-01T15:00:30", access.StartEdge, "2026-12-01T06:00:30Z"},
		{"summer", "Europe/Berlin", "2026-07-01T12:00", access.StartEdge, "2026-07-01T10:00:00Z"},
		{"gap, start", "Europe/Berlin", "2026-03-29T02:30", access.StartEdge, "2026-03-29T01:30:00Z"},
		{"gap, end", "Europe/Berlin", "2026-03-29T02:30", access.EndEdge, "2026-03-29T01:30:00Z"},
		{"gap, first instant", "Europe/Berlin", "2026-03-29T02:00", access.StartEdge, "2026-03-29T01:00:00Z"},
		{"after the gap", "Europe/Berlin", "2026-03-29T03:00", access.StartEdge, "2026-03-29T01:00:00Z"},
		{"overlap, start", "Europe/Berlin", "2026-10-25T02:30", access.StartEdge, "2026-10-25T00:30:00Z"},
		{"overlap, end", "Europe/Berlin", "2026-10-25T02:30", access.EndEdge, "2026-10-25T01:30:00Z"},
		{"half-hour overlap, start", "Australia/Lord_Howe", "2026-04-05T01:45", access.StartEdge, "2026-04-04T14:45:00Z"},
		{"half-hour overlap, end", "Australia/Lord_Howe", "2026-04-05T01:45", access.EndEdge, "2026-04-04T15:15:00Z"},
		{"a day that was skipped", "Pacific/Apia", "2011-12-30T12:00", access.StartEdge, "2011-12-30T22:00:00Z"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := access.ResolveLocal(c.wall, zone(t, c.zone), c.edge)
			if err != nil {
				t.Fatal(err)
			}
			if got.UTC().Format(time.RFC3339) != c.want {
				t.Errorf("%s %s = %s, want %s", c.wall, c.zone, got.UTC().Format(time.RFC3339), c.want)
			}
		})
	}
}

// T1: reading a wall clock and looking at it again shows the same time, or one that
// is later by a gap; and an end is never before the start of the same reading.
func TestT1ResolveLocalProperties(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		z := zone(&testing.T{}, rapid.SampledFrom(zones).Draw(t, "zone"))
		wall := time.Unix(rapid.Int64Range(1262304000, 2051222400).Draw(t, "wall"), 0).UTC().Truncate(time.Minute)
		text := wall.Format("2006-01-02T15:04")
		start, err := access.ResolveLocal(text, z, access.StartEdge)
		if err != nil {
			t.Fatal(err)
		}
		end, err := access.ResolveLocal(text, z, access.EndEdge)
		if err != nil {
			t.Fatal(err)
		}
		if end.Before(start) {
			t.Fatalf("%s: the end %s is before the start %s", text, end, start)
		}
		shown := start.In(z).Format("2006-01-02T15:04")
		if shown < text {
			t.Fatalf("%s reads as %s, which is earlier", text, shown)
		}
		if shown != text && !start.Equal(end) {
			t.Fatalf("%s is skipped by the clocks, but start %s and end %s differ", text, start, end)
		}
	})
}

func TestParseInstantSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tokyo := zone(t, "Asia/Tokyo")
	at, local, err := access.ParseInstant("2026-12-01T15:00:00+01:00", tokyo, access.StartEdge)
	if err != nil || local || at.Format(time.RFC3339) != "2026-12-01T14:00:00Z" {
		t.Errorf("an instant with offset = %s, local %v, %v", at, local, err)
	}
	if _, local, err = access.ParseInstant("2026-12-01T15:00", tokyo, access.StartEdge); err != nil || !local {
		t.Errorf("a local time: local %v, %v", local, err)
	}
	for _, bad := range []string{"", "tomorrow", "2026-12-01", "2026-13-01T15:00", "2026-12-01T25:00Z", "15:00"} {
		if _, _, err := access.ParseInstant(bad, tokyo, access.StartEdge); err == nil {
			t.Errorf("%q was taken for a time", bad)
		}
	}
}
