package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// CauseKind says how a change of custody became known.
type CauseKind string

// The causes of a change of custody (K12).
const (
	CauseDeclared CauseKind = "declared" // the key was added to the directory
	CauseBox      CauseKind = "box"      // a SmartBox has reported it
	CauseHost     CauseKind = "host"     // a host has corrected it
)

// CustodyCause is how a change became known, and through whom.
type CustodyCause struct {
	Kind    CauseKind
	GrantID string // the reservation whose code or request opened the slot
	ActorID string
	NoteID  string
}

// CustodyChange is one link of the chain.
type CustodyChange struct {
	ID string
	access.Custody
	CustodyCause
	Note       string // the host's reason
	RecordedAt time.Time
}

const custodyColumns = `SELECT key_id, state, panel_id, slot, holder_id, since, revision FROM custody`

func scanCustody(row pgx.CollectableRow) (c access.Custody, err error) {
	err = row.Scan(&c.KeyID, &c.State, &c.PanelID, &c.Slot, &c.HolderID, &c.Since, &c.Revision)
	c.Since = c.Since.UTC()
	return c, err
}

// Custody reads where a key of the account is (K12).
func (s *Store) Custody(ctx context.Context, accountID, keyID string) (access.Custody, error) {
	rows, err := s.pool.Query(ctx, custodyColumns+` WHERE account_id = $1 AND key_id = $2`, accountID, keyID)
	return one(rows, err, scanCustody, "key", keyID)
}

// Custodies reads where several keys of the account are, by key.
func (s *Store) Custodies(ctx context.Context, accountID string, keyIDs []string) (map[string]access.Custody, error) {
	rows, err := s.pool.Query(ctx, custodyColumns+` WHERE account_id = $1 AND key_id = ANY($2)`, accountID, keyIDs)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanCustody)
	byKey := make(map[string]access.Custody, len(list))
	for _, c := range list {
		byKey[c.KeyID] = c
	}
	return byKey, err
}

func appendCustody(ctx context.Context, tx pgx.Tx, accountID string, c access.Custody, cause CustodyCause, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO custody_changes (id, key_id, account_id, at, recorded_at, state, panel_id, slot, holder_id, cause, grant_id, actor_id, note_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nullif($13, ''))`,
		newID("cus"), c.KeyID, accountID, c.Since, instant(now), c.State, c.PanelID, c.Slot, c.HolderID, cause.Kind, cause.GrantID, cause.ActorID, cause.NoteID)
	return err
}

// CustodyChain lists the changes of a key's custody, newest first (K12).
func (s *Store) CustodyChain(ctx context.Context, accountID, keyID string, page Page) (list []CustodyChange, next string, err error) {
	if _, err := s.Key(ctx, accountID, keyID); err != nil {
		return nil, "", err
	}
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	limit := page.limit()
	rows, err := s.pool.Query(ctx, `SELECT id, key_id, state, panel_id, slot, holder_id, at, cause, grant_id, actor_id, coalesce(note_id, ''), recorded_at
		FROM custody_changes WHERE key_id = $1 AND ($2 = '' OR (at, id) < (SELECT c.at, c.id FROM custody_changes c WHERE c.id = $2 AND c.key_id = $1))
		ORDER BY at DESC, id DESC LIMIT $3`, keyID, after, limit+1)
	if err != nil {
		return nil, "", err
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c CustodyChange, err error) {
		err = row.Scan(&c.ID, &c.KeyID, &c.State, &c.PanelID, &c.Slot, &c.HolderID, &c.Since, &c.Kind, &c.GrantID, &c.ActorID, &c.NoteID, &c.RecordedAt)
		c.Since, c.RecordedAt = c.Since.UTC(), c.RecordedAt.UTC()
		return c, err
	})
	if err != nil {
		return nil, "", err
	}
	list, next = cut(list, limit, func(c CustodyChange) string { return c.ID })
	for n := range list {
		if list[n].NoteID != "" {
			if list[n].Note, err = s.Note(ctx, list[n].NoteID); err != nil {
				return nil, "", err
			}
		}
	}
	return list, next, nil
}

// changeCustody applies a report to a key's custody under its row's lock and adds
// it to the chain, a late one at its own time (P6). What a box says of a slot is
// newer than what was known of another key there: that key is nowhere known.
func changeCustody(ctx context.Context, tx pgx.Tx, accountID, keyID string, report access.CustodyReport, cause CustodyCause, now time.Time) (before, after access.Custody, err error) {
	rows, err := tx.Query(ctx, custodyColumns+` WHERE account_id = $1 AND key_id = $2 FOR UPDATE`, accountID, keyID)
	if before, err = one(rows, err, scanCustody, "key", keyID); err != nil {
		return before, after, err
	}
	after, changed := before.Apply(report)
	reported := access.Custody{KeyID: keyID, State: report.State, PanelID: report.PanelID, Slot: report.Slot, HolderID: report.HolderID, Since: report.At}
	if err := appendCustody(ctx, tx, accountID, reported, cause, now); err != nil || !changed {
		return before, after, err
	}
	if after.State == access.CustodyInBox {
		if err := evictFrom(ctx, tx, accountID, after, cause, now); err != nil {
			return before, after, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE custody SET state = $2, panel_id = $3, slot = $4, holder_id = $5, since = $6, revision = $7 WHERE key_id = $1`,
		keyID, after.State, after.PanelID, after.Slot, after.HolderID, after.Since, after.Revision)
	return before, after, err
}

// evictFrom notes that a key which was thought to be in a slot cannot be there,
// because another one is.
func evictFrom(ctx context.Context, tx pgx.Tx, accountID string, in access.Custody, cause CustodyCause, now time.Time) error {
	var other string
	err := tx.QueryRow(ctx, `UPDATE custody SET state = 'unknown', panel_id = '', slot = 0, since = $4, revision = revision + 1
		WHERE panel_id = $1 AND slot = $2 AND state = 'in_box' AND key_id <> $3 RETURNING key_id`, in.PanelID, in.Slot, in.KeyID, in.Since).Scan(&other)
	if isNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return appendCustody(ctx, tx, accountID, access.Custody{KeyID: other, State: access.CustodyUnknown, Since: in.Since}, cause, now)
}

// CorrectCustody is a host's word on where a key is, with a reason (K12).
func (s *Store) CorrectCustody(ctx context.Context, accountID, keyID string, report access.CustodyReport, reason, actorID string, now time.Time) (c access.Custody, err error) {
	now = instant(now)
	report.At = now
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		key, err := keyIn(ctx, tx, accountID, keyID, "")
		if err != nil {
			return err
		}
		if report.State == access.CustodyInBox {
			if err := checkKey(ctx, tx, directory.Key{Name: key.Name, AccountID: accountID, PropertyID: key.PropertyID, PanelID: report.PanelID, Slot: report.Slot}); err != nil {
				return err
			}
		}
		if err := slotIsFree(ctx, tx, keyID, report); err != nil {
			return err
		}
		noteID, err := s.hostNote(ctx, tx, accountID, key.PropertyID, reason, now)
		if err != nil {
			return err
		}
		cause := CustodyCause{Kind: CauseHost, ActorID: actorID, NoteID: noteID}
		before, after, err := changeCustody(ctx, tx, accountID, keyID, report, cause, now)
		if err != nil {
			return slotTaken(err)
		}
		c = after
		if err := wakeHolders(ctx, tx, now, before.HolderID, after.HolderID); err != nil {
			return err
		}
		id := newID("evt")
		return appendEvent(ctx, tx, directory.Event{
			ID: id, AccountID: accountID, Type: access.EventKeyCorrected, At: now, RecordedAt: now, PropertyID: key.PropertyID, ItemID: before.HolderID,
			PanelID: after.PanelID, ActorID: actorID, NoteID: noteID, Rule: "K12", DedupKey: id,
			Detail: map[string]any{"key_id": keyID, "state": string(after.State), "slot": after.Slot},
		})
	})
	return c, err
}

// slotIsFree refuses to put a key where another one is thought to be. A box's own
// report evicts that one; a host may have mistaken the slot.
func slotIsFree(ctx context.Context, tx pgx.Tx, keyID string, report access.CustodyReport) error {
	var name string
	err := tx.QueryRow(ctx, `SELECT k.name FROM custody c JOIN keys k ON k.id = c.key_id
		WHERE c.state = 'in_box' AND c.panel_id = $1 AND c.slot = $2 AND c.key_id <> $3`, report.PanelID, report.Slot, keyID).Scan(&name)
	if isNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return &directory.Error{Code: directory.CodeConflict, Detail: fmt.Sprintf("The key %q is known to be in this slot. Correct where that one is first.", name)}
}

// hostNote keeps the reason under the key of the member who gives the property's
// keys: there is no better person for it to be about.
func (s *Store) hostNote(ctx context.Context, tx pgx.Tx, accountID, propertyID, reason string, now time.Time) (noteID string, err error) {
	hostID, err := hostFor(ctx, tx, accountID, "", propertyID)
	if err != nil {
		return "", &directory.Error{Code: directory.CodeConflict, Detail: "The property has no manager and no host yet, in whose name a reason could be kept. Add one first."}
	}
	var personID string
	if err := tx.QueryRow(ctx, `SELECT person_id FROM members WHERE id = $1`, hostID).Scan(&personID); err != nil {
		return "", err
	}
	return s.addNote(ctx, tx, accountID, personID, reason, now)
}

// wakeHolders tells the reservations that had or have a key.
func wakeHolders(ctx context.Context, tx pgx.Tx, now time.Time, holders ...string) error {
	told := map[string]bool{"": true}
	for _, id := range holders {
		if told[id] {
			continue
		}
		told[id] = true
		if err := wake(ctx, tx, reservationWorkflow+id, now); err != nil {
			return err
		}
	}
	return nil
}
