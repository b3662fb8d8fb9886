package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// correctionHeld is how long the place of a corrected guest is kept for the change
// that the workflow makes (I5, I12).
const correctionHeld = 30 * time.Second

// withinGuestLimit holds the cap on distinct guests per inviter and property under
// concurrency: guests of one inviter at one property are added one at a time (I12).
// guest is the address that an invitation is for from now on. What adds nobody is
// allowed even above the cap, since lowering it removes nobody.
func withinGuestLimit(ctx context.Context, tx pgx.Tx, inv *access.Invitation, guest []byte, limit int, now time.Time) error {
	if limit == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, inv.InviterID+inv.PropertyID); err != nil {
		return err
	}
	var before, after int
	err := tx.QueryRow(ctx, `WITH live AS (
			SELECT i.id, i.guest_index, CASE WHEN i.corrected_until > $2 THEN i.corrected_index END AS corrected_index FROM invitations i
			WHERE i.inviter_id = $1 AND i.property_id = $3 AND `+liveInvitation+`),
		others AS (
			SELECT guest_index AS guest FROM live WHERE id <> $4
			UNION SELECT corrected_index FROM live WHERE id <> $4 AND corrected_index IS NOT NULL)
		SELECT (SELECT count(*) FROM (SELECT guest FROM others UNION SELECT guest_index FROM live WHERE id = $4 AND guest_index <> $5) known),
			(SELECT count(*) FROM (SELECT guest FROM others UNION SELECT $5::bytea) wanted)`,
		inv.InviterID, instant(now), inv.PropertyID, inv.ID, guest).Scan(&before, &after)
	if err == nil && after > limit && after > before {
		return &directory.Error{Code: CodeGuestLimitReached, Count: before,
			Detail: "The inviter has as many guests at this property as its manager allows. Remove a guest first."}
	}
	return err
}

// AddCorrectedGuest adds the person to whom a mistyped invitation should have gone
// and keeps a place for them under the cap until an instant (I5, I12). The workflow
// then makes them its guest.
func (s *Store) AddCorrectedGuest(ctx context.Context, inv access.Invitation, guest directory.Person, now time.Time) (personID string, until time.Time, err error) {
	now = instant(now)
	until = now.Add(correctionHeld)
	index, err := s.emailIndexOf(guest.Email)
	if err != nil {
		return "", until, directory.Invalid("body.guest.email", "Give the guest's email address, such as ana@example.com.")
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		property, err := propertyIn(ctx, tx, inv.AccountID, inv.PropertyID)
		if err != nil {
			return err
		}
		// The inviter may have been moved since the caller looked.
		if err := tx.QueryRow(ctx, `SELECT inviter_id FROM invitations WHERE id = $1`, inv.ID).Scan(&inv.InviterID); err != nil {
			return err
		}
		if err := withinGuestLimit(ctx, tx, &inv, index, property.Policy.MaxGuestsPerInviter, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE invitations SET corrected_index = $2, corrected_until = $3 WHERE id = $1`, inv.ID, index, until); err != nil {
			return err
		}
		personID, err = s.ensureGuest(ctx, tx, inv.AccountID, guest, now)
		return err
	})
	return personID, until, err
}
