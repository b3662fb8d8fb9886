package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

const panelColumns = `SELECT id, account_id, property_id, name, kind, driver, slots, address, address_fixed, public_key, enrolled_at, disowned_at,
	boot_id, last_seen_at, created_at, updated_at, revision, clock_skew_ms, battery, locked_until, lease_until,
	(SELECT count(*) FROM grants g WHERE g.panel_id = panels.id AND g.confirmed_revision < g.desired_revision),
	(SELECT count(*) FROM panel_policies d WHERE d.panel_id = panels.id AND d.confirmed_version < d.desired_version) FROM panels`

func scanPanel(row pgx.CollectableRow) (p directory.Panel, err error) {
	var enrolled, disowned, seen, locked, lease *time.Time
	var skew *int64
	err = row.Scan(&p.ID, &p.AccountID, &p.PropertyID, &p.Name, &p.Kind, &p.Driver, &p.Slots, &p.Address, &p.AddressFixed, &p.PublicKey,
		&enrolled, &disowned, &p.BootID, &seen, &p.CreatedAt, &p.UpdatedAt, &p.Revision, &skew, &p.Battery, &locked, &lease, &p.PendingGrants, &p.PendingPolicies)
	if skew != nil {
		p.ClockSkew, p.SkewKnown = time.Duration(*skew)*time.Millisecond, true
	}
	p.LockedUntil, p.LeaseUntil = orZero(locked), orZero(lease)
	p.EnrolledAt, p.DisownedAt, p.LastSeenAt = orZero(enrolled), orZero(disowned), orZero(seen)
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return p, err
}

// CreatePanel adds a panel that can enrol with the code behind codeHash until it
// expires (P1).
func (s *Store) CreatePanel(ctx context.Context, p directory.Panel, codeHash []byte, expires, now time.Time) (directory.Panel, error) {
	p.ID, p.Revision, p.CreatedAt, p.UpdatedAt = newID("pan"), 1, instant(now), instant(now)
	p.AddressFixed = p.Address != ""
	if err := checkName(p.Name); err != nil {
		return p, err
	}
	return p, s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := propertyIn(ctx, tx, p.AccountID, p.PropertyID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO panels (id, account_id, property_id, name, kind, driver, slots, address, address_fixed,
				enrolment_hash, enrolment_expires_at, created_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)`,
			p.ID, p.AccountID, p.PropertyID, p.Name, p.Kind, p.Driver, p.Slots, p.Address, p.AddressFixed, codeHash, instant(expires), p.CreatedAt, p.Revision)
		return err
	})
}

// Panels lists an account's panels, newest first; a property narrows it.
func (s *Store) Panels(ctx context.Context, accountID, propertyID string, page Page) ([]directory.Panel, string, error) {
	return list(ctx, s, panelColumns+` WHERE account_id = $1`, accountID, propertyID, page, scanPanel, func(p directory.Panel) string { return p.ID })
}

// Panel reads one panel of the account.
func (s *Store) Panel(ctx context.Context, accountID, id string) (directory.Panel, error) {
	return panelIn(ctx, s.pool, accountID, id, "")
}

func panelIn(ctx context.Context, q querier, accountID, id, lock string) (directory.Panel, error) {
	rows, err := q.Query(ctx, panelColumns+` WHERE account_id = $1 AND id = $2`+lock, accountID, id)
	return one(rows, err, scanPanel, "panel", id)
}

// UpdatePanel changes a panel if it is still at the revision seen (0: any). An
// address that is set here stays, whatever the panel announces; an empty one is
// the panel's to announce again.
func (s *Store) UpdatePanel(ctx context.Context, accountID, id string, seen int64, change func(*directory.Panel) error, now time.Time) (p directory.Panel, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if p, err = panelIn(ctx, tx, accountID, id, " FOR UPDATE"); err != nil {
			return err
		}
		if seen != 0 && seen != p.Revision {
			return stale("panel")
		}
		before := p.Address
		if err := change(&p); err != nil {
			return err
		}
		if err := checkName(p.Name); err != nil {
			return err
		}
		if err := slotsInUse(ctx, tx, p); err != nil {
			return err
		}
		if p.Address != before {
			p.AddressFixed = p.Address != ""
			if err := wake(ctx, tx, panelWorkflow+p.ID, now); err != nil { // what waited for the panel may get through now
				return err
			}
		}
		p.Revision, p.UpdatedAt = p.Revision+1, instant(now)
		_, err = tx.Exec(ctx, `UPDATE panels SET name = $2, slots = $3, address = $4, address_fixed = $5, updated_at = $6, revision = $7 WHERE id = $1`,
			p.ID, p.Name, p.Slots, p.Address, p.AddressFixed, p.UpdatedAt, p.Revision)
		return err
	})
	return p, err
}

// slotsInUse refuses to take away slots in which keys live or are.
func slotsInUse(ctx context.Context, tx pgx.Tx, p directory.Panel) error {
	var beyond int
	err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM keys WHERE panel_id = $1 AND slot > $2)
		+ (SELECT count(*) FROM custody WHERE panel_id = $1 AND state = 'in_box' AND slot > $2)`, p.ID, p.Slots).Scan(&beyond)
	if err == nil && beyond > 0 && p.Kind == directory.PanelSmartBox {
		return directory.Invalid("body.slots", "Keys live or are in slots that would be gone. Move them first.")
	}
	return err
}

// SetEnrolmentCode gives a panel a new code. The key it enrolled with is forgotten,
// so that whoever has the panel now enrols anew (P1).
func (s *Store) SetEnrolmentCode(ctx context.Context, accountID, id string, codeHash []byte, expires, now time.Time) error {
	tag, err := s.pool.Exec(ctx, `UPDATE panels SET enrolment_hash = $3, enrolment_expires_at = $4, public_key = NULL, enrolled_at = NULL,
			disowned_at = NULL, boot_id = '', engine_key_ids = '{}', polled_at = NULL, updated_at = $5, revision = revision + 1 WHERE account_id = $1 AND id = $2`,
		accountID, id, codeHash, instant(expires), instant(now))
	if err == nil && tag.RowsAffected() == 0 {
		return directory.NotFound("panel", id)
	}
	return err
}

// DisownPanel stops trusting a panel: nothing it signs counts and nothing is sent
// to it (P1).
func (s *Store) DisownPanel(ctx context.Context, accountID, id string, now time.Time) (p directory.Panel, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE panels SET disowned_at = coalesce(disowned_at, $3), enrolment_hash = NULL, enrolment_expires_at = NULL,
			updated_at = $3, revision = revision + 1 WHERE account_id = $1 AND id = $2`, accountID, id, instant(now))
	if err == nil && tag.RowsAffected() == 0 {
		return p, directory.NotFound("panel", id)
	}
	if err != nil {
		return p, err
	}
	return s.Panel(ctx, accountID, id)
}

// DeletePanel removes a panel that no entrance stands behind.
func (s *Store) DeletePanel(ctx context.Context, accountID, id string, _ time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := panelIn(ctx, tx, accountID, id, " FOR UPDATE"); err != nil {
			return err
		}
		var entrances, keys, commands int
		err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM entrances WHERE panel_id = $1), (SELECT count(*) FROM commands WHERE panel_id = $1),
				(SELECT count(*) FROM keys k JOIN custody c ON c.key_id = k.id WHERE k.panel_id = $1 OR c.panel_id = $1)`, id).
			Scan(&entrances, &commands, &keys)
		switch {
		case err != nil:
			return err
		case entrances > 0:
			return inUse("panel", entrances, "Move its entrances to another panel or delete them first.")
		case keys > 0:
			return inUse("panel", keys, "Keys live or are in it. Move them to another SmartBox or delete them first.")
		case commands > 0:
			return inUse("panel", commands, "Its openings are part of the history; disown it instead.")
		}
		if _, err := tx.Exec(ctx, `DELETE FROM panel_policies WHERE panel_id = $1`, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM panels WHERE account_id = $1 AND id = $2`, accountID, id)
		return err
	})
}
