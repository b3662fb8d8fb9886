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

// VerificationStatus is the state and, where it will lapse by itself, when, and
// when the guest is warned of it (I11; zero: there is nothing to warn of, or the
// guest has just been told).
type VerificationStatus struct {
	State      VerificationState
	ValidUntil time.Time
	WarnAt     time.Time
}

// TapTokenTTL is how long a tap token is good for (I9).
const TapTokenTTL = time.Minute

const (
	// changeGrace is how long at least a change of the policy leaves those in who
	// could open before it (I10).
	changeGrace = time.Hour
	// warnLead is how long before a lapse the guest is warned at the earliest (I11).
	warnLead = 24 * time.Hour
	// pastKept is how many changes of verification a policy remembers.
	pastKept = 16
)

// PastVerification is how a property asked for verification up to a change: in
// force from ChangedAt on (zero: from the beginning), after Was.
type PastVerification struct {
	Verification  Verification      `json:"verification"`
	ReverifyAfter time.Duration     `json:"reverify_after"`
	ChangedAt     time.Time         `json:"changed_at,omitzero"`
	Was           *PastVerification `json:"was,omitempty"`
}

// verification is what the policy says of verification at present.
func (p Policy) verification() PastVerification {
	return PastVerification{p.Verification, p.ReverifyAfter, p.VerificationChangedAt, p.VerificationWas}
}

// Succeed makes p the policy that follows another at an instant. If it asks for
// verification otherwise, it remembers what held before, and all that held before
// that: who could open must not lapse by the change alone, and who had lapsed is
// not verified by it (I10). A lock-down stays: it has a call of its own (I17).
func (p *Policy) Succeed(before Policy, now time.Time) {
	p.LockedSince = before.LockedSince
	p.VerificationChangedAt, p.VerificationWas = before.VerificationChangedAt, before.VerificationWas
	if p.Verification == before.Verification && p.ReverifyAfter == before.ReverifyAfter {
		return
	}
	was := before.verification()
	p.VerificationChangedAt, p.VerificationWas = now, was.last(pastKept)
}

// last is a copy that goes back a number of changes at most.
func (v PastVerification) last(changes int) *PastVerification {
	if changes <= 1 || v.Was == nil {
		v.Was = nil
	} else {
		v.Was = v.Was.last(changes - 1)
	}
	return &v
}

// VerificationAt says whether the guest counts as verified at an instant: once
// verified on site, and every use restarts the period of inactivity (I9, I10). A
// demand of the manager voids what came before it. A change of the policy leaves
// those in for an hour at least who could open before it.
func VerificationAt(f Facts, now time.Time) VerificationStatus {
	rule := f.Policy.verification()
	return rule.at(f, now)
}

func (v *PastVerification) at(f Facts, now time.Time) VerificationStatus {
	status := v.computed(f, now)
	if status.State == VerificationNotNeeded || v.Was == nil || !f.acceptedBefore(v.ChangedAt) || !f.Invitation.RequiredAt.Before(v.ChangedAt) {
		return status
	}
	usedSince := f.Use.VerifiedAt.After(v.ChangedAt) || f.Use.LastUsedAt.After(v.ChangedAt)
	if !usedSince {
		if before := v.Was.at(f, v.ChangedAt.Add(-1)); before.State == VerificationMissing {
			return VerificationStatus{State: VerificationMissing, ValidUntil: before.ValidUntil}
		}
	}
	if status.State == VerificationDone && status.ValidUntil.IsZero() {
		return status
	}
	if grace := v.ChangedAt.Add(changeGrace); status.ValidUntil.Before(grace) {
		return lapsing(v.ChangedAt, grace, now)
	}
	if !status.WarnAt.After(v.ChangedAt) {
		status.WarnAt = time.Time{} // the message about the change says until when
	}
	return status
}

// computed is what a rule says as if it had always held.
func (v *PastVerification) computed(f Facts, now time.Time) VerificationStatus {
	if v.Verification != VerificationOnSite {
		return VerificationStatus{State: VerificationNotNeeded}
	}
	verified := f.Use.VerifiedAt
	if verified.IsZero() || !verified.After(f.Invitation.RequiredAt) {
		return VerificationStatus{State: VerificationMissing}
	}
	if v.ReverifyAfter == 0 {
		return VerificationStatus{State: VerificationDone}
	}
	last := latest(verified, f.Use.LastUsedAt)
	return lapsing(last, last.Add(v.ReverifyAfter), now)
}

// lapsing is the status of a validity: the warning comes a day before its end, or
// half its length if that is less (I11).
func lapsing(since, until, now time.Time) VerificationStatus {
	status := VerificationStatus{State: VerificationDone, ValidUntil: until, WarnAt: until.Add(-min(warnLead, until.Sub(since)/2))}
	if !now.Before(until) {
		status.State = VerificationMissing
	}
	return status
}

// acceptedBefore reports whether the guest had the access at an instant. Those
// whose acceptance bears no instant had it before there were any.
func (f Facts) acceptedBefore(at time.Time) bool {
	switch f.Invitation.State {
	case InvitationCreating, InvitationInvited:
		return false
	case InvitationAccepted, InvitationDeclined, InvitationExpired, InvitationRevoked, InvitationEnded:
	}
	return f.Invitation.AcceptedAt.Before(at)
}
