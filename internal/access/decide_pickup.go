package access

import "time"

// KeyFacts is everything a decision about a key reads: the reservation and where
// the key is, as committed rows had it at the instant in question.
type KeyFacts struct {
	Reservation Reservation
	Custody     Custody
	LockedDown  bool // the property of the key, or that of the box it is in (I17)
}

// VisitorHasKey reports whether the key is with this reservation's visitor (K12).
func (f KeyFacts) VisitorHasKey() bool {
	return f.Custody.State == CustodyOut && f.Custody.HolderID == f.Reservation.ID
}

// DecidePickup says whether the visitor of a reservation may pick up its key at an
// instant. It is the one place where that is decided: remote pickup, the visitor's
// page and explanations all ask here (E5); boxes decide the same on their grants
// (P2).
func DecidePickup(f KeyFacts, now time.Time) Decision {
	r := &f.Reservation
	switch r.StateAt(now) {
	case ReservationCreating:
		return Decision{Code: CodeNotActive, Rule: "K1", Detail: "The reservation has not been made yet."}
	case ReservationRevoked:
		return Decision{Code: CodeReservationRevoked, Rule: "K10", Detail: "The reservation was revoked. The key can be returned, but not picked up."}
	case ReservationEnded:
		return Decision{Code: CodeReservationEnded, Rule: "K8", Detail: "The reservation has ended. The key can be returned, but not picked up."}
	case ReservationScheduled:
		return Decision{Code: CodeOutsideWindow, Rule: "K1", Detail: "The reservation has not begun yet.", From: r.Plan.Window.Start}
	case ReservationActive:
	}
	if f.LockedDown {
		return lockedDown
	}
	if !r.admittedByID() {
		return Decision{Code: CodeVisitorIDRequired, Rule: "K7", Detail: idDetail[r.Document.State()]}
	}
	switch {
	case f.Custody.State == CustodyInBox:
		return Decision{Allowed: true, Rule: "K3", Detail: "The key is in the box and may be picked up now."}
	case f.VisitorHasKey():
		return Decision{Code: CodeKeyNotAvailable, Rule: "K12", Detail: "The visitor of this reservation has the key already."}
	default:
		return Decision{Code: CodeKeyNotAvailable, Rule: "K12", Detail: "The key is not available yet: nobody has returned it."}
	}
}

var idDetail = map[IDState]string{
	IDNeeded:    "A photo ID is needed first. Upload it through the booking URL.",
	IDSubmitted: "The photo ID is waiting for the host's confirmation.",
	IDRejected:  "The photo ID was rejected. Upload another one through the booking URL.",
}

// DecideDropOff says whether a key may be returned with a reservation: always,
// before the start, after the end and after revocation (K8).
func DecideDropOff(f KeyFacts) Decision {
	if f.Reservation.State == ReservationCreating {
		return Decision{Code: CodeNotActive, Rule: "K1", Detail: "The reservation has not been made yet."}
	}
	return Decision{Allowed: true, Rule: "K8", Detail: "A key can be returned at any time, at any SmartBox that has a free slot."}
}
