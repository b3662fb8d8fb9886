package access

import "time"

// VerificationState says how a guest stands with on-site verification.
type VerificationState string

// The verification states of an invitation, named as on the wire.
const (
	VerificationNotNeeded VerificationState = "not_required"
	VerificationMissing   VerificationState = "required"
	VerificationDone      VerificationState = "verified"
)

// VerificationStatus is the state and, where it will lapse by itself, when.
type VerificationStatus struct {
	State      VerificationState
	ValidUntil time.Time
}

// TapTokenTTL is how long a tap token is good for (I9).
const TapTokenTTL = time.Minute

// VerificationAt says whether the guest counts as verified at an instant: once
// verified on site, and every use restarts the period of inactivity (I9, I10). A
// demand of the manager voids what came before it.
func VerificationAt(f Facts, now time.Time) VerificationStatus {
	if f.Policy.Verification != VerificationOnSite {
		return VerificationStatus{State: VerificationNotNeeded}
	}
	verified := f.Use.VerifiedAt
	if verified.IsZero() || !verified.After(f.Invitation.RequiredAt) {
		return VerificationStatus{State: VerificationMissing}
	}
	if f.Policy.ReverifyAfter == 0 {
		return VerificationStatus{State: VerificationDone}
	}
	last := verified
	if f.Use.LastUsedAt.After(last) {
		last = f.Use.LastUsedAt
	}
	until := last.Add(f.Policy.ReverifyAfter)
	if !now.Before(until) {
		return VerificationStatus{State: VerificationMissing, ValidUntil: until}
	}
	return VerificationStatus{State: VerificationDone, ValidUntil: until}
}
