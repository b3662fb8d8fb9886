package access

import "time"

// Verification says whether guests of a property prove once that they stand at
// its door (I9).
type Verification string

// The verification modes of a property.
const (
	VerificationNone   Verification = "none"
	VerificationOnSite Verification = "on_site"
)

// HistoryVisibility says whose unlocks a member sees (I8).
type HistoryVisibility string

// The history modes of a property.
const (
	HistoryAll HistoryVisibility = "all"
	HistoryOwn HistoryVisibility = "own"
)

// Policy is what a manager decides for a property (I12). Durations are exact,
// not calendar days.
type Policy struct {
	SharingEnabled      bool              `json:"sharing_enabled"`
	MaxGuestsPerInviter int               `json:"max_guests_per_inviter"` // 0: no cap
	HistoryVisibility   HistoryVisibility `json:"history_visibility"`
	Verification        Verification      `json:"verification"`
	ReverifyAfter       time.Duration     `json:"reverify_after"` // 0: never (I10)
	InvitationTTL       time.Duration     `json:"invitation_ttl"`
	ResendCooldown      time.Duration     `json:"resend_cooldown"`
	ReturnReminderAt    string            `json:"return_reminder_at"` // local wall clock, "09:00"
	LateKeyAfter        time.Duration     `json:"late_key_after"`
	OfflineLease        time.Duration     `json:"offline_lease"`

	// VerificationChangedAt is when verification or its period last changed, and
	// VerificationWas what held before: live invitations do not lapse by a change
	// alone (I10). Set by [Policy.Succeed].
	VerificationChangedAt time.Time         `json:"verification_changed_at,omitzero"`
	VerificationWas       *PastVerification `json:"verification_was,omitempty"`

	// LockedSince is when the property was locked down; zero: it is not. It is not
	// part of what a manager edits: it has a call of its own (I17).
	LockedSince time.Time `json:"locked_since,omitzero"`
}

// LockedDown reports whether all guests and visitors are refused, drop-off
// excepted, until the lock-down is lifted (I17).
func (p Policy) LockedDown() bool { return !p.LockedSince.IsZero() }

// DefaultPolicy is the policy of a property whose manager chose nothing: the
// values that BEHAVIOUR.md names (I5, I8, I10, K6, K11, K13, P2).
func DefaultPolicy() Policy {
	return Policy{
		SharingEnabled:    true,
		HistoryVisibility: HistoryAll,
		Verification:      VerificationNone,
		ReverifyAfter:     5 * 24 * time.Hour,
		InvitationTTL:     14 * 24 * time.Hour,
		ResendCooldown:    time.Hour,
		ReturnReminderAt:  "09:00",
		LateKeyAfter:      time.Hour,
		OfflineLease:      72 * time.Hour,
	}
}
