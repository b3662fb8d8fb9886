package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// desireGrants brings what panels should hold about an invitation in line with
// it, and wakes the panels for which that changed (P3, P5).
func desireGrants(ctx context.Context, tx pgx.Tx, inv *access.Invitation, now time.Time) error {
	panels, err := panelsOf(ctx, tx, inv)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, panelID := range slices.Sorted(maps.Keys(panels)) { // in one order, so that two items do not wait for each other
		p := panels[panelID]
		grant := inv.GrantFor(p.entrances)
		if p.known == nil && grant.Tombstone {
			continue
		}
		if err := queueDesire(batch, panelID, inv.AccountID, p.known, grant, now); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// desireAtBoxes brings what every SmartBox of the account should hold about a
// reservation in line with it (P3).
func desireAtBoxes(ctx context.Context, tx pgx.Tx, accountID string, grant access.Grant, now time.Time) error {
	rows, err := tx.Query(ctx, `SELECT p.id, g.desired FROM panels p LEFT JOIN grants g ON g.panel_id = p.id AND g.grant_id = $1
		WHERE p.account_id = $2 AND p.kind = 'smartbox' ORDER BY p.id`, grant.ID, accountID)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	var id string
	var document []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &document}, func() error {
		var known *access.Grant
		if document != nil {
			known = new(access.Grant)
			if err := json.Unmarshal(document, known); err != nil {
				return err
			}
		}
		return queueDesire(batch, id, accountID, known, grant, now)
	})
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, batch).Close()
}

// desireAtNewBox tells a SmartBox that has just enrolled of every reservation of
// its account, since keys can be returned at it (P3).
func desireAtNewBox(ctx context.Context, tx pgx.Tx, accountID, panelID string, now time.Time) error {
	rows, err := tx.Query(ctx, `SELECT r.facts FROM reservations r JOIN panels p ON p.id = $2 AND p.kind = 'smartbox'
		WHERE r.account_id = $1 AND r.state <> 'creating' AND r.retired_at IS NULL
			AND NOT EXISTS (SELECT FROM grants g WHERE g.panel_id = p.id AND g.grant_id = r.id)`, accountID, panelID)
	if err != nil {
		return err
	}
	live, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r access.Reservation, err error) { return r, scanJSON(row, &r) })
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, r := range live {
		if err := queueDesire(batch, panelID, accountID, nil, r.GrantFor(), now); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// queueDesire notes what a panel should hold, unless it is what it knows.
func queueDesire(batch *pgx.Batch, panelID, accountID string, known *access.Grant, grant access.Grant, now time.Time) error {
	if known != nil && sameAccess(*known, grant) {
		return nil
	}
	document, err := json.Marshal(grant)
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO grants (panel_id, grant_id, account_id, desired_revision, desired, narrowing, pending_since)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (panel_id, grant_id) DO UPDATE SET desired_revision = excluded.desired_revision, desired = excluded.desired,
			narrowing = excluded.narrowing, attempts = 0, last_error = '',
			pending_since = CASE WHEN grants.confirmed_revision < grants.desired_revision THEN grants.pending_since ELSE excluded.pending_since END
		WHERE grants.desired_revision < excluded.desired_revision`,
		panelID, grant.ID, accountID, grant.Revision, document, narrows(known, grant), now)
	queueWake(batch, panelWorkflow+panelID, now)
	return nil
}

type panelOfItem struct {
	entrances []string
	known     *access.Grant
}

// panelsOf finds the panels that an invitation concerns: those of its entrances
// and those that have been told about it before.
func panelsOf(ctx context.Context, tx pgx.Tx, inv *access.Invitation) (map[string]panelOfItem, error) {
	rows, err := tx.Query(ctx, `SELECT p.id, g.desired,
			coalesce((SELECT array_agg(e.id ORDER BY e.id) FROM entrances e WHERE e.panel_id = p.id), '{}')
		FROM panels p LEFT JOIN grants g ON g.panel_id = p.id AND g.grant_id = $1
		WHERE p.account_id = $2 AND (g.grant_id IS NOT NULL OR EXISTS (
			SELECT 1 FROM entrances e WHERE e.panel_id = p.id AND e.id = ANY($3)))`,
		inv.ID, inv.AccountID, inv.Entrances)
	if err != nil {
		return nil, err
	}
	found := map[string]panelOfItem{}
	var id string
	var document []byte
	var entrances []string
	_, err = pgx.ForEachRow(rows, []any{&id, &document, &entrances}, func() error {
		p := panelOfItem{entrances: slices.Clone(entrances)}
		if document != nil {
			p.known = new(access.Grant)
			if err := json.Unmarshal(document, p.known); err != nil {
				return err
			}
		}
		found[id] = p
		return nil
	})
	return found, err
}

func sameAccess(a, b access.Grant) bool {
	return a.Tombstone == b.Tombstone && a.Start.Equal(b.Start) && a.End.Equal(b.End) && slices.Equal(a.Entrances, b.Entrances) &&
		a.KeyID == b.KeyID && a.NoPickup == b.NoPickup && a.PassesSince.Equal(b.PassesSince)
}

// narrows reports whether a new grant gives less than the one before it in any
// way: such a grant is delivered before all others.
func narrows(known *access.Grant, grant access.Grant) bool {
	if known == nil || known.Tombstone {
		return false
	}
	lostEntrance := slices.ContainsFunc(known.Entrances, func(id string) bool { return !slices.Contains(grant.Entrances, id) })
	endsSooner := !grant.End.IsZero() && (known.End.IsZero() || grant.End.Before(known.End))
	// A box that is told of an end it holds already admits nobody either way.
	lostPickup := grant.NoPickup != "" && known.NoPickup == "" && grant.NoPickup != access.CodeReservationEnded
	return grant.Tombstone || lostEntrance || endsSooner || lostPickup || grant.Start.After(known.Start) || grant.PassesSince.After(known.PassesSince)
}

// PendingGrants implements [activities.Grants].
func (s *Store) PendingGrants(ctx context.Context, panelID string, limit int) ([]activities.PendingGrant, error) {
	rows, err := s.pool.Query(ctx, `SELECT g.desired FROM grants g JOIN panels p ON p.id = g.panel_id
		WHERE g.panel_id = $1 AND g.confirmed_revision < g.desired_revision AND p.enrolled_at IS NOT NULL AND p.disowned_at IS NULL
		ORDER BY g.narrowing DESC, g.pending_since LIMIT $2`, panelID, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (activities.PendingGrant, error) {
		p := activities.PendingGrant{PanelID: panelID}
		return p, scanJSON(row, &p.Grant)
	})
}

// ConfirmGrant implements [activities.Grants]. A panel that says it holds less
// than was desired confirms nothing.
func (s *Store) ConfirmGrant(ctx context.Context, panelID, grantID string, revision int64, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var accountID, propertyID string
		err := tx.QueryRow(ctx, `UPDATE grants g SET confirmed_revision = $3, confirmed_at = $4, attempts = 0, last_error = '',
				pending_since = CASE WHEN g.desired_revision > $3 THEN g.pending_since END
			FROM panels p WHERE p.id = g.panel_id AND g.panel_id = $1 AND g.grant_id = $2 AND g.confirmed_revision < $3
			RETURNING g.account_id, p.property_id`, panelID, grantID, revision, now).Scan(&accountID, &propertyID)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return appendEvent(ctx, tx, directory.Event{
			AccountID: accountID, Type: access.EventGrantConfirmed, At: now, RecordedAt: now, PropertyID: propertyID, ItemID: grantID, PanelID: panelID,
			DedupKey: fmt.Sprintf("%s/%s/%d/confirmed", panelID, grantID, revision), Detail: map[string]any{"revision": revision},
		})
	})
}

// FailGrants implements [activities.Grants]. The first failure of each revision
// enters the log; the count of attempts is what items show (P5).
func (s *Store) FailGrants(ctx context.Context, panelID, reason string, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE grants g SET attempts = g.attempts + 1, last_error = $2 FROM panels p
			WHERE p.id = g.panel_id AND g.panel_id = $1 AND g.confirmed_revision < g.desired_revision
			RETURNING g.account_id, g.grant_id, p.property_id, g.desired_revision, g.attempts`, panelID, reason)
		if err != nil {
			return err
		}
		var failing []directory.Event
		var accountID, grantID, propertyID string
		var revision int64
		var attempts int
		_, err = pgx.ForEachRow(rows, []any{&accountID, &grantID, &propertyID, &revision, &attempts}, func() error {
			if attempts == 1 {
				failing = append(failing, directory.Event{
					AccountID: accountID, Type: access.EventGrantFailing, At: now, RecordedAt: now, PropertyID: propertyID, ItemID: grantID, PanelID: panelID,
					Code: access.Code(reason), DedupKey: fmt.Sprintf("%s/%s/%d/failing", panelID, grantID, revision), Detail: map[string]any{"revision": revision},
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, e := range failing {
			if err := appendEvent(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}
