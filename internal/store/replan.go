package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
)

const replanSQL = `INSERT INTO replans (property_id, changed_at) VALUES ($1, $2) ON CONFLICT (property_id) DO UPDATE SET changed_at = excluded.changed_at`

// Replans lists the properties that wait, the longest waiting first.
func (s *Store) Replans(ctx context.Context) ([]activities.Replan, error) {
	rows, err := s.pool.Query(ctx, `SELECT p.id, p.time_zone, p.policy, r.changed_at FROM replans r JOIN properties p ON p.id = r.property_id
		ORDER BY r.changed_at LIMIT 10`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r activities.Replan, err error) {
		var zone string
		var policy []byte
		if err = row.Scan(&r.PropertyID, &zone, &policy, &r.ChangedAt); err != nil {
			return r, err
		}
		r.ChangedAt = r.ChangedAt.UTC()
		if r.Zone, err = time.LoadLocation(zone); err != nil {
			return r, err
		}
		return r, json.Unmarshal(policy, &r.Policy)
	})
}

// EndReplan notes that all items of a property are worked out, unless it has
// changed once more, or some of them were still being made under the old policy.
func (s *Store) EndReplan(ctx context.Context, r activities.Replan) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM replans WHERE property_id = $1 AND changed_at = $2
		AND NOT EXISTS (SELECT 1 FROM invitations i WHERE i.property_id = $1 AND i.state = 'creating' AND i.created_at <= $2)`, r.PropertyID, r.ChangedAt)
	return err
}

// LiveReservations lists a property's reservations that are not over, in the order
// of their ids, after one.
func (s *Store) LiveReservations(ctx context.Context, propertyID, after string, limit int, now time.Time) ([]access.Reservation, error) {
	rows, err := s.pool.Query(ctx, `SELECT facts FROM reservations WHERE property_id = $1 AND id > $2 AND state = 'scheduled' AND (ends_at IS NULL OR ends_at > $3)
		ORDER BY id LIMIT $4`, propertyID, after, instant(now), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r access.Reservation, err error) { return r, scanJSON(row, &r) })
}

// LocalInvitations lists a property's live invitations whose windows were given in
// local time, in the order of their ids, after one.
func (s *Store) LocalInvitations(ctx context.Context, propertyID, after string, limit int, now time.Time) ([]access.Invitation, error) {
	rows, err := s.pool.Query(ctx, `SELECT facts FROM invitations WHERE property_id = $1 AND id > $2 AND state IN ('invited', 'accepted')
			AND (ends_at IS NULL OR ends_at > $3) AND (facts -> 'window' ? 'start_wall' OR facts -> 'window' ? 'end_wall')
		ORDER BY id LIMIT $4`, propertyID, after, instant(now), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (i access.Invitation, err error) { return i, scanJSON(row, &i) })
}

// MistimedInvitations implements worker.Plans.
func (s *Store) MistimedInvitations(ctx context.Context, r activities.Replan, after string, limit int, now time.Time) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT i.id FROM invitations i WHERE i.property_id = $1 AND i.id > $3 AND i.state = 'invited' AND `+liveInvitation+`
			AND ((i.facts ->> 'ttl')::bigint <> $4 OR (i.facts ->> 'cooldown')::bigint <> $5)
		ORDER BY i.id LIMIT $6`, r.PropertyID, instant(now), after, int64(r.Policy.InvitationTTL), int64(r.Policy.ResendCooldown), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// MoveWindows claims the new windows of one key's reservations in place of the old
// ones, all at once: they move together and would stand in each other's way one by
// one. It fails with a constraint's violation where two of them, or one that does
// not move, would overlap (K14).
func (s *Store) MoveWindows(ctx context.Context, moved []activities.MovedWindow) (taken bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET CONSTRAINTS key_windows_exclusive DEFERRED`); err != nil {
			return err
		}
		for _, m := range moved {
			if _, err := tx.Exec(ctx, `DELETE FROM key_windows WHERE reservation_id = $1 AND claimed_until IS NULL`, m.Reservation.ID); err != nil {
				return err
			}
			if err := claimWindow(ctx, tx, &m.Reservation, m.Window, time.Time{}); err != nil {
				return err
			}
		}
		return nil
	})
	if violates(err, "key_windows_exclusive") {
		return true, nil
	}
	return false, err
}

// RetireReservations turns the grants of reservations that were over 30 days ago,
// with the key back, into tombstones (P3): their codes are free again. It returns
// how many there were, at most limit.
func (s *Store) RetireReservations(ctx context.Context, limit int, now time.Time) (retired int, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE reservations SET retired_at = $1 WHERE id IN (
				SELECT r.id FROM reservations r JOIN custody c ON c.key_id = r.key_id
				WHERE r.retired_at IS NULL AND r.over_at < $2 AND NOT (c.state = 'out' AND c.holder_id = r.id) ORDER BY r.over_at LIMIT $3)
			RETURNING facts`, now, now.Add(-retireAfter), limit)
		if err != nil {
			return err
		}
		over, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r access.Reservation, err error) { return r, scanJSON(row, &r) })
		if err != nil {
			return err
		}
		retired = len(over)
		for _, r := range over {
			tombstone := access.Grant{ID: r.ID, Revision: r.Revision + 1, Kind: access.GrantReservation, Tombstone: true}
			if err := desireAtBoxes(ctx, tx, r.AccountID, tombstone, now); err != nil {
				return err
			}
		}
		return nil
	})
	return retired, err
}

// retireAfter is how long a code goes on returning the key after all is over (P3).
const retireAfter = 30 * 24 * time.Hour
