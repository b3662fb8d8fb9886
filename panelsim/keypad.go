package panelsim

import (
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"latchkey/internal/panel"
)

// Why a typed code opens nothing.
const (
	reasonWrongCode  = "wrong_code"
	reasonLockedOut  = "locked_out"
	reasonNotYet     = "not_yet"
	reasonEnded      = "reservation_ended"
	reasonKeyNotHere = "key_not_here"
	reasonNoFreeSlot = "no_free_slot"
)

// Box is what a SmartBox decides on: what it holds, and nothing from outside. It
// decides the same whether or not the engine can be reached (P2).
type Box struct {
	Grants map[string]panel.Grant
	Codes  map[string]string // by grant
	Keys   []string          // by slot, the first at 0; empty: no key in it
	Open   []bool            // by slot: it stands open

	Policy     panel.Policy // version 0: the box was given none
	LeaseUntil time.Time    // until when it lets people pick up by itself (P2)
}

// Verdict is what the box does: open a slot, or say why not and from when.
type Verdict struct {
	Slot    int // from 1; 0: nothing opens
	GrantID string
	Reason  string
	From    time.Time
}

// Typed decides about a typed code (K3, K8, P2).
func (b *Box) Typed(code string, op panel.Purpose, now time.Time) Verdict {
	g, known := b.grantOf(code)
	if !known {
		return Verdict{Reason: reasonWrongCode}
	}
	v := b.dropOff()
	if op == panel.PurposePickup {
		v = b.admitted(b.pickup(g, now), g, now)
	}
	v.GrantID = g.GrantID
	return v
}

// admitted is a pickup that the grant allows, unless the box may not let people in by
// itself now: by its policy document, or because it has been cut off too long (P2).
func (b *Box) admitted(v Verdict, g panel.Grant, now time.Time) Verdict {
	if v.Slot == 0 {
		return v
	}
	if b.Policy.Version > 0 {
		if closed := closedBy(b.Policy, g.KeyID, now); closed != "" {
			return Verdict{Reason: closed}
		}
	}
	if !now.Before(b.LeaseUntil) {
		return Verdict{Reason: panel.CodeLeaseExpired}
	}
	return v
}

// grantOf finds whose code it is. All codes are compared, each in constant time, so
// that the answer does not tell how near a wrong one is.
func (b *Box) grantOf(code string) (found panel.Grant, known bool) {
	for _, id := range sortedKeys(b.Codes) {
		g := b.Grants[id]
		if subtle.ConstantTimeCompare([]byte(b.Codes[id]), []byte(code)) == 1 && !g.Tombstone {
			found, known = g, true
		}
	}
	return found, known
}

// pickup is possible inside the window, unless the grant says why not (K1, K7, K10).
func (b *Box) pickup(g panel.Grant, now time.Time) Verdict {
	switch {
	case g.NoPickup != "":
		return Verdict{Reason: g.NoPickup}
	case g.StartsAt != nil && now.Before(*g.StartsAt):
		return Verdict{Reason: reasonNotYet, From: *g.StartsAt}
	case g.EndsAt != nil && !now.Before(*g.EndsAt):
		return Verdict{Reason: reasonEnded}
	}
	return b.slotOf(g.KeyID)
}

// slotOf is the slot that holds a key. Asked again it is the same slot: a code that
// is entered twice opens nothing else (K12).
func (b *Box) slotOf(keyID string) Verdict {
	if n := slices.Index(b.Keys, keyID); n >= 0 && keyID != "" {
		return Verdict{Slot: n + 1}
	}
	return Verdict{Reason: reasonKeyNotHere}
}

// dropOff is a free slot, whatever the time (K8). One that stands open is somebody
// else's at this moment.
func (b *Box) dropOff() Verdict {
	for n, keyID := range b.Keys {
		if keyID == "" && !b.Open[n] {
			return Verdict{Slot: n + 1}
		}
	}
	for n, keyID := range b.Keys { // all free ones stand open: better that than a refusal
		if keyID == "" {
			return Verdict{Slot: n + 1}
		}
	}
	return Verdict{Reason: reasonNoFreeSlot}
}

// The limits of typing codes (P7).
const (
	wrongCodes     = 5
	wrongWithin    = 15 * time.Minute
	firstLockout   = time.Minute
	longestLockout = time.Hour
	lockoutForgets = 24 * time.Hour
)

// Lockout counts wrong codes and how long none is taken (P7).
type Lockout struct {
	Wrong []time.Time `json:"wrong,omitempty"` // the latest wrong codes
	Until time.Time   `json:"until,omitzero"`
	Times int         `json:"times,omitempty"` // lock-outs without a quiet day between them
}

// Locked reports whether no code is taken now.
func (l Lockout) Locked(now time.Time) bool { return now.Before(l.Until) }

// WrongCode is the count after one more wrong code, and whether that locks.
func (l Lockout) WrongCode(now time.Time) (next Lockout, locks bool) {
	next = Lockout{Until: l.Until, Times: l.Times}
	for _, at := range l.Wrong {
		if now.Sub(at) < wrongWithin {
			next.Wrong = append(next.Wrong, at)
		}
	}
	next.Wrong = append(next.Wrong, now)
	if len(next.Wrong) < wrongCodes {
		return next, false
	}
	if now.Sub(l.Until) > lockoutForgets {
		next.Times = 0
	}
	next.Times++
	lasts := min(firstLockout<<min(next.Times-1, 10), longestLockout)
	next.Wrong, next.Until = nil, now.Add(lasts)
	return next, true
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
