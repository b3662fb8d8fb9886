package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

const keyColumns = `SELECT id, account_id, property_id, name, panel_id, slot, notes, created_at, updated_at, revision FROM keys`

func scanKey(row pgx.CollectableRow) (k directory.Key, err error) {
	err = row.Scan(&k.ID, &k.AccountID, &k.PropertyID, &k.Name, &k.PanelID, &k.Slot, &k.Notes, &k.CreatedAt, &k.UpdatedAt, &k.Revision)
	k.CreatedAt, k.UpdatedAt = k.CreatedAt.UTC(), k.UpdatedAt.UTC()
	return k, err
}

// checkKey refuses a place that is no slot of a SmartBox of the same property.
func checkKey(ctx context.Context, tx pgx.Tx, k directory.Key) error {
	if err := checkName(k.Name); err != nil {
		return err
	}
	box, err := panelIn(ctx, tx, k.AccountID, k.PanelID, "")
	if err != nil {
		return err
	}
	switch {
	case box.PropertyID != k.PropertyID || box.Kind != directory.PanelSmartBox:
		return directory.Invalid("body.panel_id", "panel_id must name a SmartBox of the same property.")
	case k.Slot < 1 || k.Slot > box.Slots:
		return directory.Invalid("body.slot", fmt.Sprintf("The SmartBox has the slots 1 to %d.", box.Slots))
	}
	return nil
}

// slotTaken says that two keys cannot share a place.
func slotTaken(err error) error {
	if violates(err, "keys_panel_id_slot_key") || violates(err, "custody_slots") {
		return directory.Invalid("body.slot", "Another key is in this slot, or lives there. Choose a free one.")
	}
	return err
}

// CreateKey adds a key. It is taken to be in its slot: who declares it puts it there (K12).
func (s *Store) CreateKey(ctx context.Context, k directory.Key, now time.Time) (directory.Key, error) {
	k.ID, k.Revision, k.CreatedAt, k.UpdatedAt = newID("key"), 1, instant(now), instant(now)
	return k, s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := propertyIn(ctx, tx, k.AccountID, k.PropertyID); err != nil {
			return err
		}
		if err := checkKey(ctx, tx, k); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO keys (id, account_id, property_id, name, panel_id, slot, notes, created_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
			k.ID, k.AccountID, k.PropertyID, k.Name, k.PanelID, k.Slot, k.Notes, k.CreatedAt, k.Revision); err != nil {
			return slotTaken(err)
		}
		_, err := tx.Exec(ctx, `INSERT INTO custody (key_id, account_id, state, panel_id, slot, since) VALUES ($1, $2, $3, $4, $5, $6)`,
			k.ID, k.AccountID, access.CustodyInBox, k.PanelID, k.Slot, k.CreatedAt)
		if err != nil {
			return slotTaken(err)
		}
		if err := appendCustody(ctx, tx, k.AccountID, access.Custody{
			KeyID: k.ID, State: access.CustodyInBox, PanelID: k.PanelID, Slot: k.Slot, Since: k.CreatedAt,
		}, CustodyCause{Kind: CauseDeclared}, now); err != nil {
			return err
		}
		return desirePolicies(ctx, tx, k.PropertyID, now)
	})
}

// Keys lists an account's keys, newest first; a property narrows it (K4).
func (s *Store) Keys(ctx context.Context, accountID, propertyID string, page Page) ([]directory.Key, string, error) {
	return list(ctx, s, keyColumns+` WHERE account_id = $1`, accountID, propertyID, page, scanKey, func(k directory.Key) string { return k.ID })
}

// Key reads one key of the account.
func (s *Store) Key(ctx context.Context, accountID, id string) (directory.Key, error) {
	return keyIn(ctx, s.pool, accountID, id, "")
}

func keyIn(ctx context.Context, q querier, accountID, id, lock string) (directory.Key, error) {
	rows, err := q.Query(ctx, keyColumns+` WHERE account_id = $1 AND id = $2`+lock, accountID, id)
	return one(rows, err, scanKey, "key", id)
}

// UpdateKey changes a key if it is still at the revision seen (0: any). Another
// place is where it is to live from now on; where it is, boxes and hosts say.
func (s *Store) UpdateKey(ctx context.Context, accountID, id string, seen int64, change func(*directory.Key) error, now time.Time) (k directory.Key, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if k, err = keyIn(ctx, tx, accountID, id, " FOR UPDATE"); err != nil {
			return err
		}
		if seen != 0 && seen != k.Revision {
			return stale("key")
		}
		if err := change(&k); err != nil {
			return err
		}
		if err := checkKey(ctx, tx, k); err != nil {
			return err
		}
		k.Revision, k.UpdatedAt = k.Revision+1, instant(now)
		_, err = tx.Exec(ctx, `UPDATE keys SET name = $2, panel_id = $3, slot = $4, notes = $5, updated_at = $6, revision = $7 WHERE id = $1`,
			k.ID, k.Name, k.PanelID, k.Slot, k.Notes, k.UpdatedAt, k.Revision)
		return slotTaken(err)
	})
	return k, err
}

// DeleteKey removes a key that was never reserved and that nobody has.
func (s *Store) DeleteKey(ctx context.Context, accountID, id string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := keyIn(ctx, tx, accountID, id, " FOR UPDATE"); err != nil {
			return err
		}
		var reservations int
		var out bool
		err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM reservations WHERE key_id = $1), (SELECT state = 'out' FROM custody WHERE key_id = $1)`, id).
			Scan(&reservations, &out)
		switch {
		case err != nil:
			return err
		case reservations > 0:
			return inUse("key", reservations, "Its reservations, past ones included, belong to it. Rename it if it is no longer used.")
		case out:
			return inUse("key", 1, "Somebody has it. Wait until it is back, or correct its custody first.")
		}
		_, err = tx.Exec(ctx, `DELETE FROM keys WHERE account_id = $1 AND id = $2`, accountID, id)
		return err
	})
}
