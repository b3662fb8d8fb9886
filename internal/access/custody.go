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

// Custody is where a key is, with whom, and since when (K12).
type Custody struct {
	KeyID    string
	State    CustodyState
	PanelID  string
	Slot     int
	HolderID string // the reservation whose visitor has it
	Since    time.Time
	Revision int64
}
