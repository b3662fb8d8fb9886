package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// LockDown refuses all guests and visitors of a property at once, drop-off
// excepted, or lifts that (I17). It holds for every decision from the commit on. What
// is as asked already stays as it is.
func (s *Store) LockDown(ctx context.Context, accountID, id string, on bool, now time.Time) (p directory.Property, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, propertyColumns+` WHERE account_id = $1 AND id = $2 FOR UPDATE`, accountID, id)
		if p, err = one(rows, err, scanProperty, "property", id); err != nil || p.Policy.LockedDown() == on {
			return err
		}
		before := p.Policy
		p.Policy.LockedSince = time.Time{}
		if on {
			p.Policy.LockedSince = now
		}
		p.Revision, p.UpdatedAt = p.Revision+1, now
		policy, err := json.Marshal(p.Policy)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE properties SET policy = $2, updated_at = $3, revision = $4 WHERE id = $1`, p.ID, policy, now, p.Revision); err != nil {
			return err
		}
		if err := keepRevision(ctx, tx, p.ID, p.Revision, propertyRevision(p), now); err != nil {
			return err
		}
		if err := desirePolicies(ctx, tx, p.ID, now); err != nil {
			return err
		}
		if err := policyToTell(ctx, tx, p, before, now); err != nil {
			return err
		}
		return appendEvent(ctx, tx, lockDownEvent(p, on, now))
	})
	return p, err
}

func lockDownEvent(p directory.Property, on bool, now time.Time) directory.Event {
	event := policyChanged(p.AccountID, p.ID, "", p.Revision, now)
	event.Rule = "I17"
	event.Detail["lockdown"] = "off"
	if on {
		event.Detail["lockdown"] = "on"
	}
	return event
}

// lockedKeySQL says of a key (as k) and its custody (as c) whether it is locked
// down: by its own property, or by that of the box which holds it (I17).
const lockedKeySQL = `(EXISTS (SELECT 1 FROM properties own WHERE own.id = k.property_id AND own.policy ? 'locked_since')
	OR c.state = 'in_box' AND EXISTS (SELECT 1 FROM panels at JOIN properties held ON held.id = at.property_id
		WHERE at.id = c.panel_id AND held.policy ? 'locked_since'))`

// policyToTell leaves word of a change of a property's policy for those whom it may
// concern, if it is one that concerns anybody's access (I12).
func policyToTell(ctx context.Context, tx pgx.Tx, p directory.Property, before access.Policy, now time.Time) error {
	everybody := access.Facts{Policy: p.Policy, Invitation: access.Invitation{State: access.InvitationAccepted}}
	if len(access.PolicyDifferences(everybody, before, now)) == 0 {
		return nil
	}
	return changeToTell(ctx, tx, p.AccountID, p.ID, "", before, p.Policy, now)
}

// entranceToTell is policyToTell for an entrance.
func entranceToTell(ctx context.Context, tx pgx.Tx, e directory.Entrance, before access.Entrance, now time.Time) error {
	after := access.Entrance{ID: e.ID, PropertyID: e.PropertyID, Shareable: e.Shareable, Schedules: e.Schedules}
	if len(access.EntranceDifferences(before, after)) == 0 {
		return nil
	}
	return changeToTell(ctx, tx, e.AccountID, e.PropertyID, e.ID, before, after, now)
}

func changeToTell(ctx context.Context, tx pgx.Tx, accountID, propertyID, entranceID string, before, after any, now time.Time) error {
	old, err := json.Marshal(before)
	if err != nil {
		return fmt.Errorf("before the change: %w", err)
	}
	changed, err := json.Marshal(after)
	if err != nil {
		return fmt.Errorf("after the change: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO policy_changes (id, account_id, property_id, entrance_id, before, after, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		newID("chg"), accountID, propertyID, entranceID, old, changed, instant(now))
	return err
}
