package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// desirePolicies brings the policy documents that panels should hold in line with
// a property, its entrances and its keys, and wakes the panels for which that
// changed (P2). It is called after the rows of the directory were changed: it takes a
// lock of the account, so that of two changes at once the later one sees both.
func desirePolicies(ctx context.Context, tx pgx.Tx, propertyID string, now time.Time) error {
	var accountID string
	if err := tx.QueryRow(ctx, `SELECT account_id FROM properties WHERE id = $1`, propertyID).Scan(&accountID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('panel_policies/' || $1, 0))`, accountID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM panel_policies d WHERE d.account_id = $1 AND d.entrance_id <> d.panel_id
		AND NOT EXISTS (SELECT FROM entrances e WHERE e.id = d.entrance_id AND e.panel_id = d.panel_id)`, accountID); err != nil {
		return err
	}
	entrances, err := entrancePolicies(ctx, tx, propertyID)
	if err != nil {
		return err
	}
	boxes, err := boxPolicies(ctx, tx, accountID)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, d := range append(entrances, boxes...) {
		if d.known != nil && d.known.Same(d.policy) {
			continue
		}
		if err := queuePolicy(batch, accountID, d, instant(now)); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// policyOfPanel is what a panel should hold of an entrance, and what was desired of
// it so far.
type policyOfPanel struct {
	panelID string
	policy  access.PanelPolicy
	known   *access.PanelPolicy
}

func entrancePolicies(ctx context.Context, tx pgx.Tx, propertyID string) ([]policyOfPanel, error) {
	rows, err := tx.Query(ctx, `SELECT e.panel_id, e.id, e.shareable, e.schedules, p.policy, p.time_zone, d.desired
		FROM entrances e JOIN properties p ON p.id = e.property_id
		LEFT JOIN panel_policies d ON d.panel_id = e.panel_id AND d.entrance_id = e.id
		WHERE e.property_id = $1 ORDER BY e.panel_id, e.id`, propertyID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d policyOfPanel, err error) {
		var e access.Entrance
		var schedules, policy, known []byte
		var zone string
		if err := row.Scan(&d.panelID, &e.ID, &e.Shareable, &schedules, &policy, &zone, &known); err != nil {
			return d, err
		}
		var p access.Policy
		if err := decodeAll(schedules, &e.Schedules, policy, &p, known, &d.known); err != nil {
			return d, err
		}
		d.policy = access.PolicyForEntrance(e, p, zone)
		return d, nil
	})
}

// boxPolicies is about every SmartBox of an account: a key of a property under
// lock-down may have been returned at any of them (I17).
func boxPolicies(ctx context.Context, tx pgx.Tx, accountID string) ([]policyOfPanel, error) {
	rows, err := tx.Query(ctx, `SELECT n.id, p.policy, p.time_zone, d.desired, coalesce((SELECT array_agg(k.id ORDER BY k.id)
			FROM keys k JOIN properties q ON q.id = k.property_id WHERE k.account_id = $1 AND q.id <> p.id AND q.policy ? 'locked_since'), '{}')
		FROM panels n JOIN properties p ON p.id = n.property_id LEFT JOIN panel_policies d ON d.panel_id = n.id AND d.entrance_id = n.id
		WHERE n.account_id = $1 AND n.kind = 'smartbox' ORDER BY n.id`, accountID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d policyOfPanel, err error) {
		var policy, known []byte
		var zone string
		var locked []string
		if err := row.Scan(&d.panelID, &policy, &zone, &known, &locked); err != nil {
			return d, err
		}
		var p access.Policy
		if err := decodeAll(policy, &p, known, &d.known); err != nil {
			return d, err
		}
		d.policy = access.PolicyForBox(d.panelID, p, zone, locked)
		return d, nil
	})
}

// decodeAll reads documents into what follows each of them. None (NULL) changes
// nothing.
func decodeAll(pairs ...any) error {
	for n := 0; n+1 < len(pairs); n += 2 {
		document, _ := pairs[n].([]byte)
		if document == nil {
			continue
		}
		if err := json.Unmarshal(document, pairs[n+1]); err != nil {
			return err
		}
	}
	return nil
}

// queuePolicy notes what a panel should hold from now on, under a version that is
// newer than any it was given before.
func queuePolicy(batch *pgx.Batch, accountID string, d policyOfPanel, now time.Time) error {
	document, err := json.Marshal(d.policy)
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO panel_policies AS d (panel_id, entrance_id, account_id, desired_version, desired, pending_since)
		VALUES ($1, $2, $3, nextval('panel_policy_versions'), $4, $5)
		ON CONFLICT (panel_id, entrance_id) DO UPDATE SET desired_version = greatest(excluded.desired_version, d.desired_version + 1),
			desired = excluded.desired, attempts = 0, last_error = '',
			pending_since = CASE WHEN d.confirmed_version < d.desired_version THEN d.pending_since ELSE excluded.pending_since END`,
		d.panelID, d.policy.EntranceID, accountID, document, now)
	// A panel that has not enrolled hears of it then.
	batch.Queue(`INSERT INTO wakeups (workflow_id, due_at) SELECT $1, $3 FROM panels WHERE id = $2 AND enrolled_at IS NOT NULL`,
		panelWorkflow+d.panelID, d.panelID, now)
	batch.Queue(`SELECT pg_notify('`+wakeupChannel+`', $1)`, panelWorkflow+d.panelID)
	return nil
}

// PendingPolicies implements [activities.Grants].
func (s *Store) PendingPolicies(ctx context.Context, panelID string) ([]access.PanelPolicy, error) {
	return s.policies(ctx, `SELECT d.desired, d.desired_version FROM panel_policies d JOIN panels p ON p.id = d.panel_id
		WHERE d.panel_id = $1 AND d.confirmed_version < d.desired_version AND p.enrolled_at IS NOT NULL AND p.disowned_at IS NULL
		ORDER BY d.entrance_id`, panelID)
}

// PanelPolicies lists the policy documents that a panel should hold, for a panel
// that asks (P2).
func (s *Store) PanelPolicies(ctx context.Context, panelID string) ([]access.PanelPolicy, error) {
	return s.policies(ctx, `SELECT desired, desired_version FROM panel_policies WHERE panel_id = $1 ORDER BY entrance_id`, panelID)
}

func (s *Store) policies(ctx context.Context, sql, panelID string) ([]access.PanelPolicy, error) {
	rows, err := s.pool.Query(ctx, sql, panelID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p access.PanelPolicy, err error) {
		var document []byte
		var version int64
		if err := row.Scan(&document, &version); err != nil {
			return p, err
		}
		err = json.Unmarshal(document, &p)
		p.Version = version
		return p, err
	})
}

// ConfirmPolicy implements [activities.Grants]. A panel that holds a newer version
// than was ever desired, because this database is an older one than the panel knew,
// is given what is desired under a newer version still.
func (s *Store) ConfirmPolicy(ctx context.Context, panelID string, sent access.PanelPolicy, version int64, now time.Time) error {
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `UPDATE panel_policies SET confirmed_version = $3, attempts = 0, last_error = '', confirmed_at = $5,
			confirmed = CASE WHEN $3 = $6 THEN $4::jsonb ELSE confirmed END,
			desired_version = CASE WHEN $3 > desired_version THEN $3 + 1 ELSE desired_version END,
			pending_since = CASE WHEN $3 <> desired_version THEN coalesce(pending_since, $5) END
		WHERE panel_id = $1 AND entrance_id = $2 AND confirmed_version < $3`,
		panelID, sent.EntranceID, version, document, instant(now), sent.Version)
	return err
}
