package activities

import "latchkey/internal/access"

// Removal is a removed member whose live items have yet to be revoked or moved (I17).
type Removal struct {
	ID        string
	AccountID string
	MemberID  string
}

// MovedItem is an invitation of a removed member and who takes it over; empty:
// nobody.
type MovedItem struct {
	ID string
	To string
}

// MovedReservation is a reservation of a removed host and who takes it over.
type MovedReservation struct {
	Reservation access.Reservation
	To          string
}
