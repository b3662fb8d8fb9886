package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// facts reads everything that a decision about an invitation needs but the
// entrance, in one query.
func (s *Store) facts(ctx context.Context, tx pgx.Tx, invitationID string) (access.Facts, error) {
	var f access.Facts
	var facts, policy []byte
	var zone string
	var verified, used *time.Time
	err := tx.QueryRow(ctx, `SELECT i.facts, i.verified_at, i.last_used_at, p.policy, p.time_zone, m.removed_at IS NOT NULL
		FROM invitations i JOIN properties p ON p.id = i.property_id JOIN members m ON m.id = i.inviter_id WHERE i.id = $1`, invitationID).
		Scan(&facts, &verified, &used, &policy, &zone, &f.InviterRemoved)
	if err != nil {
		return f, err
	}
	return f, fillFacts(&f, facts, policy, zone, verified, used)
}

func fillFacts(f *access.Facts, facts, policy []byte, zone string, verified, used *time.Time) error {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return fmt.Errorf("zone of the property: %w", err)
	}
	f.Zone = location
	f.Use = access.Use{VerifiedAt: orZero(verified), LastUsedAt: orZero(used)}
	return errors.Join(json.Unmarshal(facts, &f.Invitation), json.Unmarshal(policy, &f.Policy))
}

// orNull and orZero carry "none" between Go's zero instant and SQL's NULL.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = instant(t)
	return &t
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

func scanJSON(row pgx.CollectableRow, target any) error {
	var document []byte
	if err := row.Scan(&document); err != nil {
		return err
	}
	return json.Unmarshal(document, target)
}
