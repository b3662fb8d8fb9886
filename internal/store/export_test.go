package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
)

// LiveDoor is what an unlock reads at this moment.
func (s *Store) LiveDoor(ctx context.Context, accountID, invitationID, entranceID string) (access.Facts, access.Entrance, error) {
	d, err := s.door(ctx, s.pool, activities.UnlockRequest{AccountID: accountID, InvitationID: invitationID, EntranceID: entranceID})
	if err != nil {
		return access.Facts{}, access.Entrance{}, err
	}
	return d.facts, d.entrance, nil
}

// LiveKey is what a pickup reads at this moment.
func (s *Store) LiveKey(ctx context.Context, accountID, reservationID string) (f access.KeyFacts, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		b, err := s.boxFor(ctx, tx, activities.SlotRequest{AccountID: accountID, ReservationID: reservationID, Purpose: activities.Pickup})
		if err == nil {
			f = b.facts
		}
		return err
	})
	return f, err
}
