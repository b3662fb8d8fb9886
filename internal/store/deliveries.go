package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// What became of bringing a panel up to date (P3, P5).

// PendingGrants implements [activities.Grants].
func (s *Store) PendingGrants(ctx context.Context, panelID string, limit int) ([]activities.PendingGrant, error) {
	rows, err := s.pool.Query(ctx, `SELECT g.desired FROM grants g JOIN panels p ON p.id = g.panel_id
		WHERE g.panel_id = $1 AND g.confirmed_revision < g.desired_revision AND p.enrolled_at IS NOT NULL AND p.disowned_at IS NULL
		ORDER BY g.narrowing DESC, (g.desired ->> 'tombstone')::boolean DESC, g.pending_since LIMIT $2`, panelID, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (activities.PendingGrant, error) {
		p := activities.PendingGrant{PanelID: panelID}
		return p, scanJSON(row, &p.Grant)
	})
}

// ConfirmGrant implements [activities.Grants]. What the panel holds is kept, because
// until the next confirmation it is what a panel that is cut off admits by.
func (s *Store) ConfirmGrant(ctx context.Context, panelID string, sent access.Grant, revision int64, now time.Time) error {
	now = instant(now)
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var accountID, propertyID string
		err := tx.QueryRow(ctx, `UPDATE grants g SET confirmed_revision = $3, confirmed_at = $4, attempts = 0, last_error = '',
				confirmed = CASE WHEN $3 = $5 THEN $6::jsonb ELSE g.confirmed END,
				reach = CASE WHEN g.desired_revision = $3 AND $3 = $5 THEN $7 ELSE g.reach END,
				narrowing = g.narrowing AND g.desired_revision > $3,
				pending_since = CASE WHEN g.desired_revision > $3 THEN g.pending_since END
			FROM panels p WHERE p.id = g.panel_id AND g.panel_id = $1 AND g.grant_id = $2 AND g.confirmed_revision < $3
			RETURNING g.account_id, p.property_id`, panelID, sent.ID, revision, now, sent.Revision, document, admitsUntil(&sent)).Scan(&accountID, &propertyID)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return appendEvent(ctx, tx, directory.Event{
			AccountID: accountID, Type: access.EventGrantConfirmed, At: now, RecordedAt: now, PropertyID: propertyID, ItemID: sent.ID, PanelID: panelID,
			DedupKey: fmt.Sprintf("%s/%s/%d/confirmed", panelID, sent.ID, revision), Detail: map[string]any{"revision": revision},
		})
	})
}

// Delivered implements [activities.Grants].
func (s *Store) Delivered(ctx context.Context, panelID string) error {
	_, err := s.pool.Exec(ctx, `UPDATE panels SET sync_error = '' WHERE id = $1 AND sync_error <> ''`, panelID)
	return err
}

// FailGrants implements [activities.Grants]. Why the panel is not up to date is kept
// once, with the panel; only what fails for the first time is touched and enters the
// log, so that asking a dead panel again costs the same however much waits for it.
func (s *Store) FailGrants(ctx context.Context, panelID, reason string, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE grants g SET attempts = 1, last_error = $2 FROM panels p
			WHERE p.id = g.panel_id AND g.panel_id = $1 AND g.confirmed_revision < g.desired_revision AND g.attempts = 0
			RETURNING g.account_id, g.grant_id, p.property_id, g.desired_revision`, panelID, reason)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		var accountID, grantID, propertyID string
		var revision int64
		_, err = pgx.ForEachRow(rows, []any{&accountID, &grantID, &propertyID, &revision}, func() error {
			queueEvent(batch, directory.Event{
				AccountID: accountID, Type: access.EventGrantFailing, At: now, RecordedAt: now, PropertyID: propertyID, ItemID: grantID, PanelID: panelID,
				Code: access.Code(reason), DedupKey: fmt.Sprintf("%s/%s/%d/failing", panelID, grantID, revision), Detail: map[string]any{"revision": revision},
			})
			return nil
		})
		if err != nil {
			return err
		}
		batch.Queue(`UPDATE panel_policies SET attempts = 1, last_error = $2 WHERE panel_id = $1 AND confirmed_version < desired_version AND attempts = 0`, panelID, reason)
		batch.Queue(`UPDATE panels SET sync_error = $2 WHERE id = $1 AND sync_error <> $2`, panelID, reason)
		return tx.SendBatch(ctx, batch).Close()
	})
}
