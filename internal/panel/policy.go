package panel

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// The types of the messages about policy documents.
const (
	TypePolicy    Type = "policy"
	TypePolicyAck Type = "policy_ack"
)

// What a panel answers to a command that was decided by an older policy document
// than it holds. Typed codes are refused in the same words.
const (
	ResultClosed     Result = "closed_by_policy" // not open to guests now, by its document
	ResultLockedDown Result = "locked_down"      // by its document
)

// CodeLeaseExpired is why a panel that is cut off admits nobody by itself any more
// (P2).
const CodeLeaseExpired = "lease_expired"

// The types of events that any panel can report besides opened and denied.
const (
	EventTamper  = "tamper"  // its housing was opened, or it was torn from the wall
	EventBattery = "battery" // level is how full it is
)

// Policy is what holds at one entrance for everybody (P2): a newer version replaces
// an older one. A SmartBox has one, under its own panel id as entrance_id.
type Policy struct {
	EntranceID   string     `json:"entrance_id"`
	Version      int64      `json:"version"`
	OpenToGuests bool       `json:"open_to_guests"`
	Schedules    []Schedule `json:"schedules"` // none: at any time
	TimeZone     string     `json:"time_zone"` // IANA name; the schedules are in it
	LockedDown   bool       `json:"locked_down"`
	LockedKeys   []string   `json:"locked_keys,omitempty"` // of a SmartBox: keys that are not given out though the box is not locked down
}

// Schedule is a weekly period in which guests may come in. To before or equal to From
// runs over midnight and belongs to the day on which it begins; "24:00" is the end of
// the day.
type Schedule struct {
	Days []string `json:"days"` // mon, tue, wed, thu, fri, sat, sun
	From string   `json:"from"` // 08:00
	To   string   `json:"to"`
}

// PolicyAck says which version of a policy document the panel holds now.
type PolicyAck struct {
	EntranceID string `json:"entrance_id"`
	Version    int64  `json:"version"`
}

// PutPolicy delivers a policy document. The answer names the version that the panel
// holds, which is newer than the document's where that came late.
func (c *Client) PutPolicy(ctx context.Context, t Target, p Policy) (PolicyAck, error) {
	var ack PolicyAck
	err := c.ask(ctx, t, http.MethodPut, "/entrances/"+url.PathEscape(p.EntranceID)+"/policy", TypePolicy, p, TypePolicyAck, &ack)
	if err == nil && ack.EntranceID != p.EntranceID {
		err = fmt.Errorf("%w: the acknowledgement is of another entrance", ErrOutcomeUnknown)
	}
	return ack, err
}

// Leases are carried by these messages: each sets the one lease of the panel.

// Lease is the lease that the message gives; nil: it gives none.
func (g Grant) Lease() *time.Time { return g.LeaseUntil }

// Lease is the lease that the message gives; nil: it gives none.
func (a EventsAck) Lease() *time.Time { return a.LeaseUntil }

// Lease is the lease that the message gives; nil: it gives none.
func (a SyncAnswer) Lease() *time.Time { return a.LeaseUntil }

// Lease is the lease that the message gives; nil: it gives none.
func (a EnrolAnswer) Lease() *time.Time { return a.LeaseUntil }
