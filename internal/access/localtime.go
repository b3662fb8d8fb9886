package access

import (
	"fmt"
	"time"
)

// Edge says which end of a window a wall-clock time is, because an ambiguous
// hour is read so that the window becomes longer, never shorter (T1).
type Edge int

// The two ends of a window.
const (
	StartEdge Edge = iota
	EndEdge
)

// wallLayouts are the accepted forms of a wall-clock time without an offset.
var wallLayouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04"}

// ResolveLocal turns a wall-clock time without offset, such as
// "2026-12-01T15:00", into the UTC instant it means in zone (T1). A time that
// the clocks skip moves forward by the gap; one that the clocks show twice is
// the earlier instant for a start and the later for an end.
func ResolveLocal(wall string, zone *time.Location, edge Edge) (time.Time, error) {
	for _, layout := range wallLayouts {
		if t, err := time.Parse(layout, wall); err == nil {
			return resolveWall(t, zone, edge), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a local time like 2026-12-01T15:00", wall)
}

// resolveWall reads the clock fields of wall (given as if they were UTC) in zone.
func resolveWall(wall time.Time, zone *time.Location, edge Edge) time.Time {
	guess := wall.Add(-offset(wall, zone))
	before := offset(guess.Add(-24*time.Hour), zone)
	after := offset(guess.Add(24*time.Hour), zone)
	byBefore, byAfter := wall.Add(-before), wall.Add(-after)
	beforeFits := offset(byBefore, zone) == before
	afterFits := offset(byAfter, zone) == after
	switch {
	case beforeFits && afterFits:
		if (edge == StartEdge) == byBefore.Before(byAfter) {
			return byBefore
		}
		return byAfter
	case afterFits:
		return byAfter
	default: // either only the older offset fits, or the clocks skip this time
		return byBefore
	}
}

func offset(at time.Time, zone *time.Location) time.Duration {
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

// ParseInstant reads an input named starts_at or ends_at: RFC 3339 with an
// offset, or a wall-clock time of zone without one (T1). Local reports which it
// was, since a wall-clock window moves with its zone (T4) and an instant never does.
func ParseInstant(input string, zone *time.Location, edge Edge) (at time.Time, local bool, err error) {
	if t, err := time.Parse(time.RFC3339, input); err == nil {
		return t.UTC(), false, nil
	}
	t, err := ResolveLocal(input, zone, edge)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("%q is neither an RFC 3339 instant nor a local time like 2026-12-01T15:00", input)
	}
	return t.UTC(), true, nil
}
