package access

import "time"

// CustodyState says where a key is (K12).
type CustodyState string

// The states of custody.
const (
	CustodyInBox   CustodyState = "in_box"
	CustodyOut     CustodyState = "out"
	CustodyUnknown CustodyState = "unknown"
)

// Custody is where a key is, with whom, and since when (K12). It belongs to the
// key, not to a reservation.
type Custody struct {
	KeyID    string
	State    CustodyState
	PanelID  string // the box, while the key is in one
	Slot     int
	HolderID string // the reservation whose visitor has it
	Since    time.Time
	Revision int64
}

// CustodyReport says that a key was taken out of a slot, was put into one, or that
// a host knows better.
type CustodyReport struct {
	State    CustodyState
	PanelID  string
	Slot     int
	HolderID string // for out: whose code or request opened the slot
	At       time.Time
}

// Apply is the custody after a report. A report of what happened before the present
// custody began changes nothing, whenever it arrives: a box that was cut off
// reports late (P6). Neither does one that says what is known.
func (c Custody) Apply(r CustodyReport) (next Custody, changed bool) {
	if r.At.Before(c.Since) {
		return c, false
	}
	next = Custody{KeyID: c.KeyID, State: r.State, Since: r.At, Revision: c.Revision + 1}
	switch r.State {
	case CustodyInBox:
		next.PanelID, next.Slot = r.PanelID, r.Slot
	case CustodyOut:
		next.HolderID = r.HolderID
	case CustodyUnknown:
	}
	if next.State == c.State && next.PanelID == c.PanelID && next.Slot == c.Slot && next.HolderID == c.HolderID {
		return c, false
	}
	return next, true
}
