package activities

import (
	"time"

	"latchkey/internal/access"
)

// Replan is a property whose zone or policy has changed: the windows and deadlines
// of its live items are to be worked out anew (T4).
type Replan struct {
	PropertyID string
	Zone       *time.Location
	Policy     access.Policy
	ChangedAt  time.Time
}

// MovedWindow is a reservation whose window moves with the zone.
type MovedWindow struct {
	Reservation access.Reservation
	Window      access.Window
}
