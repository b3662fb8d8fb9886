package access

import "time"

// Window is the period in which access is given: from Start, inclusive, to End,
// exclusive. A zero Start means "from the beginning", a zero End "until revoked".
//
// The wall-clock inputs are kept where the window was given in local time, so
// that it can be recomputed when the zone of the property changes (T4).
type Window struct {
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	StartWall string    `json:"start_wall,omitempty"`
	EndWall   string    `json:"end_wall,omitempty"`
}

// Check refuses a window that ends before or when it starts (I1, K1).
func (w Window) Check() error {
	if !w.End.IsZero() && !w.Start.Before(w.End) {
		return &Refusal{Code: CodeInvalidWindow, Detail: "ends_at must be after starts_at. Move the end or the start."}
	}
	return nil
}

// Contains reports whether at lies in the window.
func (w Window) Contains(at time.Time) bool { return !w.NotYet(at) && !w.Over(at) }

// NotYet reports whether the window has still to begin at the given instant.
func (w Window) NotYet(at time.Time) bool { return at.Before(w.Start) }

// Over reports whether the window has ended at the given instant.
func (w Window) Over(at time.Time) bool { return !w.End.IsZero() && !at.Before(w.End) }

// Same reports whether two windows give access at the same instants.
func (w Window) Same(o Window) bool { return w.Start.Equal(o.Start) && w.End.Equal(o.End) }

// In is the window with its wall-clock ends read in a zone (T1, T4). Ends that
// were given as instants do not move.
func (w Window) In(zone *time.Location) (Window, error) {
	var err error
	if w.StartWall != "" {
		if w.Start, _, err = ParseInstant(w.StartWall, zone, StartEdge); err != nil {
			return w, err
		}
	}
	if w.EndWall != "" {
		w.End, _, err = ParseInstant(w.EndWall, zone, EndEdge)
	}
	return w, err
}
