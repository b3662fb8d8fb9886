package access

import "time"

// Operation is what a guest wants of an entrance or a visitor of a key, as
// explanations name it (E5).
type Operation string

// The operations that are decided. A tap is an unlock by a guest who verifies at
// the same moment (I9).
const (
	OpUnlock  Operation = "unlock"
	OpTap     Operation = "tap"
	OpPickup  Operation = "pickup"
	OpDropOff Operation = "dropoff"
)

// DecideAtEntrance is the decision that unlocks and taps ask for.
func DecideAtEntrance(op Operation, f Facts, e Entrance, at time.Time) Decision {
	if op == OpTap {
		return DecideWithoutVerification(f, e, at)
	}
	return Decide(f, e, at)
}

// DecideAboutKey is the decision that pickups and drop-offs ask for.
func DecideAboutKey(op Operation, f KeyFacts, at time.Time) Decision {
	if op == OpDropOff {
		return DecideDropOff(f)
	}
	return DecidePickup(f, at)
}
