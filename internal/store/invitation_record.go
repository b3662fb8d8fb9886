package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
)

// Ids of workflows that are woken; package workflows, which the store does not
// know, names them alike, and a test holds the two together.
const (
	outboxWorkflowID    = "outbox/messages"
	panelWorkflow       = "panel/"
	invitationWorkflow  = "invitation/"
	reservationWorkflow = "reservation/"
)

// RecordInvitation implements [activities.Records].
func (s *Store) RecordInvitation(ctx context.Context, inv access.Invitation, now time.Time) (recorded activities.Recorded[access.Invitation], err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		known, err := lockInvitation(ctx, tx, inv.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return activities.ErrReleased
		}
		if err != nil {
			return err
		}
		stored := inv
		stored.Confirm(inv.Revision)
		if known.Revision != inv.Recorded {
			recorded.Held, err = unlessSame(&known, &stored)
			return err
		}
		if inv.Revision == known.Revision {
			return nil
		}
		if err := s.updateInvitation(ctx, tx, &known, &stored, now); err != nil {
			return err
		}
		if err := desireGrants(ctx, tx, &stored, now); err != nil {
			return err
		}
		if err := s.voidLink(ctx, tx, &known, &stored); err != nil {
			return err
		}
		return recordChanges(ctx, tx, item{inv.ID, inv.AccountID, inv.PropertyID}, inv.Pending, known.Revision, now)
	})
	return recorded, err
}

func lockInvitation(ctx context.Context, tx pgx.Tx, id string) (inv access.Invitation, err error) {
	var facts []byte
	if err = tx.QueryRow(ctx, `SELECT facts FROM invitations WHERE id = $1 FOR UPDATE`, id).Scan(&facts); err == nil {
		err = json.Unmarshal(facts, &inv)
	}
	return inv, err
}

func (s *Store) updateInvitation(ctx context.Context, tx pgx.Tx, known, inv *access.Invitation, now time.Time) error {
	facts, err := json.Marshal(inv)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE invitations SET state = $2, revision = $3, facts = $4, guest_id = $5, expires_at = $6, ends_at = $7, updated_at = $8,
			guest_index = (SELECT email_index FROM people WHERE id = $5) WHERE id = $1`,
		inv.ID, inv.State, inv.Revision, facts, inv.GuestID, orNull(inv.ExpiresAt), orNull(inv.Window.End), inv.UpdatedAt)
	queueItemRevision(batch, inv.ID, known.Revision, inv.Revision, facts, now)
	return tx.SendBatch(ctx, batch).Close()
}

// voidLink gives a corrected guest a link of their own; the one that went to the
// wrong address finds nothing any more (I5).
func (s *Store) voidLink(ctx context.Context, tx pgx.Tx, known, inv *access.Invitation) error {
	if known.GuestID == inv.GuestID {
		return nil
	}
	_, sealed, hash, err := s.newInvitationToken()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE invitations SET token = $2, token_hash = $3, verified_at = NULL, last_used_at = NULL,
		corrected_index = NULL, corrected_until = NULL WHERE id = $1`, inv.ID, sealed, hash)
	return err
}
