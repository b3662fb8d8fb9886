package access

import "time"

// Code names a refusal for machines. Codes are part of the public contract:
// they appear in problem documents, in the event log and in explanations.
type Code string

// Codes that rules answer with. The HTTP status of each is decided by the API.
const (
	CodeNotActive            Code = "not_active"
	CodeNotShared            Code = "not_shared"
	CodeOutsideWindow        Code = "outside_window"
	CodeOutsideSchedule      Code = "outside_schedule"
	CodeVerificationRequired Code = "verification_required"
	CodeLockedDown           Code = "locked_down"

	CodeAlreadyAccepted    Code = "already_accepted"
	CodeAlreadyDeclined    Code = "already_declined"
	CodeInvitationExpired  Code = "invitation_expired"
	CodeInvitationRevoked  Code = "invitation_revoked"
	CodeInvitationEnded    Code = "invitation_ended"
	CodeResendCooldown     Code = "resend_cooldown"
	CodeInvalidWindow      Code = "invalid_window"
	CodeVerificationUnused Code = "verification_not_required"

	CodeInvalidCodeFormat  Code = "invalid_booking_code"
	CodeWeakCode           Code = "weak_booking_code"
	CodeReservationRevoked Code = "reservation_revoked"
	CodeReservationEnded   Code = "reservation_ended"
	CodeVisitorIDRequired  Code = "visitor_id_required"
	CodeVisitorIDUnused    Code = "visitor_id_not_required"
	CodeVisitorIDMissing   Code = "visitor_id_not_submitted"
	CodeVisitorIDDecided   Code = "visitor_id_already_confirmed"
	CodeKeyNotAvailable    Code = "key_not_available"
	CodeNoReminder         Code = "no_return_reminder"
	CodeRequestTooLate     Code = "request_expired"

	CodePreconditionFailed Code = "precondition_failed"
)

// Refusal is a rule's "no": a stable code and a sentence that tells the caller
// what to do. NextAllowedAt is set where waiting helps (K11).
type Refusal struct {
	Code          Code
	Detail        string
	NextAllowedAt time.Time
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Detail }
