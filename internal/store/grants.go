package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
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
		if p.told.desired == nil && grant.Tombstone {
			continue
		}
		if err := queueDesire(batch, panelID, inv.AccountID, p.told, grant, now); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// desireAtBoxes brings what every SmartBox of the account should hold about a
// reservation in line with it (P3).
func desireAtBoxes(ctx context.Context, tx pgx.Tx, accountID string, grant access.Grant, now time.Time) error {
	rows, err := tx.Query(ctx, `SELECT p.id, g.desired, g.confirmed FROM panels p LEFT JOIN grants g ON g.panel_id = p.id AND g.grant_id = $1
		WHERE p.account_id = $2 AND p.kind = 'smartbox' ORDER BY p.id`, grant.ID, accountID)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	var id string
	var desired, confirmed []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &desired, &confirmed}, func() error {
		var known told
		if err := decodeAll(desired, &known.desired, confirmed, &known.confirmed); err != nil {
			return err
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
		if err := queueDesire(batch, panelID, accountID, told{}, r.GrantFor(), now); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// told is what a panel was to hold so far about an item, and what it has confirmed;
// nil: nothing.
type told struct{ desired, confirmed *access.Grant }

// queueDesire notes what a panel should hold, unless it is what was desired already.
// A grant that gives less than what the panel has confirmed, or may have heard since,
// stays urgent until it is confirmed, also when a newer one takes its place (P5).
func queueDesire(batch *pgx.Batch, panelID, accountID string, known told, grant access.Grant, now time.Time) error {
	if known.desired != nil && sameAccess(*known.desired, grant) {
		return nil
	}
	document, err := json.Marshal(grant)
	if err != nil {
		return err
	}
	narrowing := narrows(known.desired, grant) || narrows(known.confirmed, grant)
	batch.Queue(`INSERT INTO grants (panel_id, grant_id, account_id, desired_revision, desired, narrowing, pending_since)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (panel_id, grant_id) DO UPDATE SET desired_revision = excluded.desired_revision, desired = excluded.desired,
			narrowing = excluded.narrowing, attempts = 0, last_error = '', reach = greatest(grants.reach, $8),
			pending_since = CASE WHEN grants.confirmed_revision < grants.desired_revision THEN grants.pending_since ELSE excluded.pending_since END
		WHERE grants.desired_revision < excluded.desired_revision`,
		panelID, grant.ID, accountID, grant.Revision, document, narrowing, now, admitsUntil(known.desired))
	queueWake(batch, panelWorkflow+panelID, now)
	return nil
}

// withoutEnd stands for no end where instants are compared.
var withoutEnd = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// admitsUntil is until when a panel that holds a grant lets somebody in by it; nil:
// not at all.
func admitsUntil(g *access.Grant) *time.Time {
	if g == nil || g.Tombstone || g.NoPickup != "" {
		return nil
	}
	if g.End.IsZero() {
		return &withoutEnd
	}
	return &g.End
}

type panelOfItem struct {
	entrances []string
	told      told
}

// panelsOf finds the panels that an invitation concerns: those of its entrances
// and those that have been told about it before.
func panelsOf(ctx context.Context, tx pgx.Tx, inv *access.Invitation) (map[string]panelOfItem, error) {
	rows, err := tx.Query(ctx, `SELECT p.id, g.desired, g.confirmed,
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
	var desired, confirmed []byte
	var entrances []string
	_, err = pgx.ForEachRow(rows, []any{&id, &desired, &confirmed, &entrances}, func() error {
		p := panelOfItem{entrances: slices.Clone(entrances)}
		if err := decodeAll(desired, &p.told.desired, confirmed, &p.told.confirmed); err != nil {
			return err
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
