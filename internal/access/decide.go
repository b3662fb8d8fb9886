package access

import (
	"slices"
	"time"
)

// Use is what a guest has done with an invitation: the facts behind verification
// (I9, I10).
type Use struct {
	VerifiedAt time.Time // the last successful verification on site
	LastUsedAt time.Time // the last successful unlock
}

// Entrance is what a decision needs to know about a door.
type Entrance struct {
	ID         string
	PropertyID string
	Shareable  bool
	Schedules  []Schedule
}

// Facts is everything a decision about an invitation reads: committed rows, as
// they were at the instant in question.
type Facts struct {
	Invitation Invitation
	Use        Use
	Policy     Policy
	Zone       *time.Location

	// InviterRemoved says that the member who gave the access is none any more, and
	// that nobody has taken their invitations over (I17).
	InviterRemoved bool
}

// Decision is an answer and its reason. From is the earliest instant at which the
// same question may get another answer by itself (zero if time alone will not
// help); Rule is the ID in BEHAVIOUR.md that decided.
type Decision struct {
	Allowed bool
	Code    Code
	Rule    string
	Detail  string
	From    time.Time
}

// Decide says whether the guest of an invitation may open an entrance at an
// instant. It is the one place where that is decided: unlock, tap, guest keys and
// explanations all ask here (E5). Rules are checked from the broadest to the most
// particular, so that the answer names what the guest has to settle first.
func Decide(f Facts, e Entrance, now time.Time) Decision {
	if d := DecideWithoutVerification(f, e, now); !d.Allowed {
		return d
	}
	switch v := VerificationAt(f, now); v.State {
	case VerificationMissing:
		return verificationMissing(f)
	case VerificationNotNeeded, VerificationDone:
	}
	return Decision{Allowed: true, Rule: "I7", Detail: "The entrance is shared with the guest and open to them now."}
}

// DecideWithoutVerification is [Decide] for a guest who is verifying at this very
// moment: everything but I9 and I10 must hold.
func DecideWithoutVerification(f Facts, e Entrance, now time.Time) Decision {
	inv := &f.Invitation
	if d := decideState(inv, now); !d.Allowed {
		return d
	}
	if f.InviterRemoved {
		return inviterRemoved
	}
	if f.Policy.LockedDown() {
		return lockedDown
	}
	if !slices.Contains(inv.Entrances, e.ID) || e.PropertyID != inv.PropertyID {
		return Decision{Code: CodeNotShared, Rule: "I1", Detail: "This entrance is not part of the invitation. See the guest keys for the ones that are."}
	}
	if !f.Policy.SharingEnabled || !e.Shareable {
		return Decision{Code: CodeNotShared, Rule: "I12", Detail: "The property's manager does not share this entrance at present."}
	}
	if inv.Window.NotYet(now) {
		return Decision{Code: CodeOutsideWindow, Rule: "I1", Detail: "The access has not begun yet.", From: inv.Window.Start}
	}
	if open, from := ScheduleOpen(e.Schedules, f.Zone, now); !open {
		return Decision{Code: CodeOutsideSchedule, Rule: "I12", Detail: "The entrance is closed to guests at this time of the week.", From: from}
	}
	return Decision{Allowed: true, Rule: "I1", Detail: "The entrance is shared with the guest."}
}

// verificationMissing is the answer to a guest who has to verify first.
func verificationMissing(f Facts) Decision {
	rule, detail := "I9", "Hold your phone to the panel of the entrance once to verify that you are there."
	if !f.Use.VerifiedAt.IsZero() {
		rule, detail = "I10", "Verification has lapsed. Hold your phone to the panel of the entrance to verify again."
	}
	return Decision{Code: CodeVerificationRequired, Rule: rule, Detail: detail}
}

// inviterRemoved is the answer to guests of a member who is none any more (I17).
var inviterRemoved = Decision{Code: CodeNotActive, Rule: "I17", Detail: "The member who gave this access has been removed. Ask the property for a new invitation."}

// lockedDown is the answer to every guest and visitor of a property under lock-down.
var lockedDown = Decision{Code: CodeLockedDown, Rule: "I17", Detail: "The property is locked down. Nobody is let in until its manager lifts that; keys can be returned."}

func decideState(inv *Invitation, now time.Time) Decision {
	switch inv.StateAt(now) {
	case InvitationAccepted:
		return Decision{Allowed: true}
	case InvitationCreating:
		return Decision{Code: CodeNotActive, Rule: "I1", Detail: "The invitation has not been made yet."}
	case InvitationInvited:
		return Decision{Code: CodeNotActive, Rule: "I4", Detail: "The invitation has not been accepted yet. Accept it first."}
	case InvitationEnded:
		if !inv.LeftAt.IsZero() {
			return Decision{Code: CodeNotActive, Rule: "I17", Detail: "The guest has given up this access."}
		}
		return Decision{Code: CodeOutsideWindow, Rule: "I1", Detail: "The time of this invitation is over. Ask the inviter for a new one."}
	case InvitationRevoked:
		return Decision{Code: CodeNotActive, Rule: "I13", Detail: "The inviter has removed this access."}
	case InvitationDeclined:
		return Decision{Code: CodeNotActive, Rule: "I4", Detail: "The invitation was declined."}
	case InvitationExpired:
		return Decision{Code: CodeNotActive, Rule: "I5", Detail: "The invitation was not answered in time."}
	}
	return Decision{Code: CodeNotActive, Rule: "I4", Detail: "The invitation is not active."}
}
