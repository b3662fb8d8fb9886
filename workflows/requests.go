package workflows

import (
	"time"

	"latchkey/internal/access"
)

// The arguments of updates. They travel through Temporal, so they hold ids and
// instants only (E7).
type (
	// None is the argument of an update that needs none.
	None struct{}

	// ActorRequest names the member or guest who asks.
	ActorRequest struct {
		ActorID string `json:"actor_id,omitzero"`
	}

	// EditRequest asks for a change of window, entrances or guest (I5, I14).
	EditRequest struct {
		access.Edit
		ActorID string `json:"actor_id,omitzero"`
	}

	// RetimeRequest hands on the periods of a changed policy (I5, K11).
	RetimeRequest struct {
		ChangedAt time.Time     `json:"changed_at"`
		TTL       time.Duration `json:"ttl"`
		Cooldown  time.Duration `json:"cooldown"`
	}

	// MoveRequest makes another member the inviter or host (I17).
	MoveRequest struct {
		To      string `json:"to"`
		ActorID string `json:"actor_id,omitzero"`
	}

	// EditReservationRequest asks for a change of a reservation (K5).
	EditReservationRequest struct {
		access.ReservationEdit
		ActorID string `json:"actor_id,omitzero"`
	}

	// DecideIDRequest confirms or rejects a visitor's photo ID; the reason is a row
	// that NoteID names (K7).
	DecideIDRequest struct {
		Confirm bool   `json:"confirm"`
		ActorID string `json:"actor_id,omitzero"`
		NoteID  string `json:"note_id,omitzero"`
	}

	// ResendRequest asks to send the link again, now or as soon as allowed (K11).
	ResendRequest struct {
		WhenAllowed bool   `json:"when_allowed"`
		ActorID     string `json:"actor_id,omitzero"`
	}

	// RevokeRequest takes the access away; the reason is a row that NoteID names (I13).
	RevokeRequest struct {
		ActorID string `json:"actor_id,omitzero"`
		NoteID  string `json:"note_id,omitzero"`
	}
)
