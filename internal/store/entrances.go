package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

const entranceColumns = `SELECT id, account_id, property_id, panel_id, name, directions, shareable, schedules, created_at, updated_at, revision FROM entrances`

func scanEntrance(row pgx.CollectableRow) (e directory.Entrance, err error) {
	var schedules []byte
	if err = row.Scan(&e.ID, &e.AccountID, &e.PropertyID, &e.PanelID, &e.Name, &e.Directions, &e.Shareable, &schedules, &e.CreatedAt, &e.UpdatedAt, &e.Revision); err == nil {
		err = json.Unmarshal(schedules, &e.Schedules)
	}
	e.CreatedAt, e.UpdatedAt = e.CreatedAt.UTC(), e.UpdatedAt.UTC()
	return e, err
}

// checkEntrance refuses schedules that mean nothing and a panel that is no door
// panel of the same property.
func checkEntrance(ctx context.Context, tx pgx.Tx, e directory.Entrance) error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	if err := access.CheckSchedules(e.Schedules); err != nil {
		return directory.Invalid("body.schedules", err.Error()+".")
	}
	panel, err := panelIn(ctx, tx, e.AccountID, e.PanelID, "")
	if err != nil {
		return err
	}
	if panel.PropertyID != e.PropertyID || panel.Kind != directory.PanelDoor {
		return directory.Invalid("body.panel_id", "panel_id must name a door panel of the same property.")
	}
	return nil
}

// CreateEntrance adds a door behind a door panel.
func (s *Store) CreateEntrance(ctx context.Context, e directory.Entrance, now time.Time) (directory.Entrance, error) {
	e.ID, e.Revision, e.CreatedAt, e.UpdatedAt = newID("ent"), 1, instant(now), instant(now)
	return e, s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := propertyIn(ctx, tx, e.AccountID, e.PropertyID); err != nil {
			return err
		}
		if err := checkEntrance(ctx, tx, e); err != nil {
			return err
		}
		schedules, err := encodeSchedules(e.Schedules)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO entrances (id, account_id, property_id, panel_id, name, directions, shareable, schedules, created_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)`,
			e.ID, e.AccountID, e.PropertyID, e.PanelID, e.Name, e.Directions, e.Shareable, schedules, e.CreatedAt, e.Revision); err != nil {
			return err
		}
		if err := keepRevision(ctx, tx, e.ID, e.Revision, entranceRevision(e), now); err != nil {
			return err
		}
		return desirePolicies(ctx, tx, e.PropertyID, now)
	})
}

func encodeSchedules(schedules []access.Schedule) ([]byte, error) {
	if schedules == nil {
		schedules = []access.Schedule{}
	}
	return json.Marshal(schedules)
}

// entranceDocument is what an explanation of the past needs of an entrance (E5). It
// says whose it is, because it outlives the entrance.
type entranceDocument struct {
	AccountID  string            `json:"account_id"`
	PropertyID string            `json:"property_id"`
	Shareable  bool              `json:"shareable"`
	Schedules  []access.Schedule `json:"schedules"`
}

func entranceRevision(e directory.Entrance) any {
	return entranceDocument{AccountID: e.AccountID, PropertyID: e.PropertyID, Shareable: e.Shareable, Schedules: e.Schedules}
}

// Entrances lists an account's entrances, newest first; a property narrows it.
func (s *Store) Entrances(ctx context.Context, accountID, propertyID string, page Page) ([]directory.Entrance, string, error) {
	return list(ctx, s, entranceColumns+` WHERE account_id = $1`, accountID, propertyID, page, scanEntrance, func(e directory.Entrance) string { return e.ID })
}

// Entrance reads one entrance of the account.
func (s *Store) Entrance(ctx context.Context, accountID, id string) (directory.Entrance, error) {
	rows, err := s.pool.Query(ctx, entranceColumns+` WHERE account_id = $1 AND id = $2`, accountID, id)
	return one(rows, err, scanEntrance, "entrance", id)
}

// EntranceName is the name of an entrance, for the engine's own use.
func (s *Store) EntranceName(ctx context.Context, id string) (name string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT name FROM entrances WHERE id = $1`, id).Scan(&name)
	return name, err
}

// EntranceNames are the names of those of the entrances that there are, for the
// engine's own use.
func (s *Store) EntranceNames(ctx context.Context, ids []string) (map[string]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, name FROM entrances WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	var id, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil })
	return names, err
}

// UpdateEntrance changes an entrance if it is still at the revision seen (0: any).
// What is shareable and when holds for every decision from the commit on (I12). It
// cannot move to another panel while live invitations name it.
func (s *Store) UpdateEntrance(ctx context.Context, accountID, id string, seen int64, change func(*directory.Entrance) error, now time.Time) (e directory.Entrance, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, entranceColumns+` WHERE account_id = $1 AND id = $2 FOR UPDATE`, accountID, id)
		if e, err = one(rows, err, scanEntrance, "entrance", id); err != nil {
			return err
		}
		if seen != 0 && seen != e.Revision {
			return stale("entrance")
		}
		before, errBefore := encodeSchedules(e.Schedules)
		known, panelID := access.Entrance{ID: e.ID, PropertyID: e.PropertyID, Shareable: e.Shareable, Schedules: e.Schedules}, e.PanelID
		if err := change(&e); err != nil {
			return err
		}
		if err := checkEntrance(ctx, tx, e); err != nil {
			return err
		}
		if e.PanelID != panelID {
			if err := noLiveInvitations(ctx, tx, e, "To replace a broken panel, give it a new enrolment code instead.", now); err != nil {
				return err
			}
		}
		schedules, errAfter := encodeSchedules(e.Schedules)
		if err := errors.Join(errBefore, errAfter); err != nil {
			return err
		}
		e.Revision, e.UpdatedAt = e.Revision+1, instant(now)
		if _, err := tx.Exec(ctx, `UPDATE entrances SET panel_id = $2, name = $3, directions = $4, shareable = $5, schedules = $6, updated_at = $7, revision = $8 WHERE id = $1`,
			e.ID, e.PanelID, e.Name, e.Directions, e.Shareable, schedules, e.UpdatedAt, e.Revision); err != nil {
			return err
		}
		if err := keepRevision(ctx, tx, e.ID, e.Revision, entranceRevision(e), now); err != nil {
			return err
		}
		if known.Shareable != e.Shareable || string(before) != string(schedules) {
			if err := entranceToTell(ctx, tx, e, known, now); err != nil { // I12
				return err
			}
			if err := appendEvent(ctx, tx, policyChanged(e.AccountID, e.PropertyID, e.ID, e.Revision, now)); err != nil {
				return err
			}
		}
		return desirePolicies(ctx, tx, e.PropertyID, now)
	})
	return e, err
}

// DeleteEntrance removes an entrance that no live invitation names.
func (s *Store) DeleteEntrance(ctx context.Context, accountID, id string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, entranceColumns+` WHERE account_id = $1 AND id = $2 FOR UPDATE`, accountID, id)
		e, err := one(rows, err, scanEntrance, "entrance", id)
		if err != nil {
			return err
		}
		if err := noLiveInvitations(ctx, tx, e, "Revoke the live invitations to it, or take it out of them, first.", now); err != nil {
			return err
		}
		if err := endRevision(ctx, tx, id, now); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `DELETE FROM entrances WHERE account_id = $1 AND id = $2`, accountID, id); err != nil {
			return err
		}
		return desirePolicies(ctx, tx, e.PropertyID, now)
	})
}

// noLiveInvitations refuses what would take a locked entrance away from invitations
// that can still open it.
func noLiveInvitations(ctx context.Context, tx pgx.Tx, e directory.Entrance, instead string, now time.Time) error {
	var live int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM invitations i WHERE i.account_id = $1 AND i.property_id = $4 AND i.facts -> 'entrances' ? $3 AND `+liveInvitation,
		e.AccountID, instant(now), e.ID, e.PropertyID).Scan(&live)
	if err == nil && live > 0 {
		return inUse("entrance", live, instead)
	}
	return err
}

// CheckShareable refuses entrances that are not the property's or that its manager
// has not made shareable (I1).
func (s *Store) CheckShareable(ctx context.Context, accountID, propertyID string, ids []string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error { return entrancesShareable(ctx, tx, accountID, propertyID, ids) })
}
