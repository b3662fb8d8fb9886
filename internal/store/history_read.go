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

// InvitationHistory reads the history of one invitation of an account, with the
// entrances that will be asked about. An entrance that has been deleted is known;
// another account's is not found (E8).
func (s *Store) InvitationHistory(ctx context.Context, accountID, id string, entranceIDs ...string) (*InvitationHistory, error) {
	h := &InvitationHistory{entrances: map[string]entranceHistory{}}
	return h, s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		now, err := itemIn(ctx, tx, "invitation", `SELECT facts FROM invitations WHERE account_id = $1 AND id = $2 AND state <> 'creating'`, accountID, id, &access.Invitation{})
		if err != nil {
			return err
		}
		h.claimed = access.Invitation{ID: now.ID, AccountID: now.AccountID, PropertyID: now.PropertyID, State: access.InvitationCreating}
		if h.revisions, err = itemRevisions[access.Invitation](ctx, tx, id); err != nil {
			return err
		}
		if len(h.revisions) == 0 {
			return pastUnknown("invitation")
		}
		if h.uses, err = usesOf(ctx, tx, id, h.revisions); err != nil {
			return err
		}
		if h.property, err = propertyHistory(ctx, tx, now.PropertyID); err != nil {
			return err
		}
		if h.inviterRemoved, err = inviterRemoved(ctx, tx, h.revisions[0].value.InviterID); err != nil {
			return err
		}
		for _, entranceID := range entranceIDs {
			if h.entrances[entranceID], err = entranceHistoryIn(ctx, tx, accountID, entranceID); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeyHistory reads the history of one reservation of an account and of its key.
func (s *Store) KeyHistory(ctx context.Context, accountID, reservationID string) (*KeyHistory, error) {
	h := &KeyHistory{properties: map[string]timeline[propertyThen]{}, boxes: map[string]string{}}
	return h, s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		now, err := itemIn(ctx, tx, "reservation", `SELECT facts FROM reservations WHERE account_id = $1 AND id = $2 AND state <> 'creating'`,
			accountID, reservationID, &access.Reservation{})
		if err != nil {
			return err
		}
		h.claimed = access.Reservation{ID: now.ID, AccountID: now.AccountID, PropertyID: now.PropertyID, KeyID: now.KeyID, State: access.ReservationCreating}
		if h.revisions, err = itemRevisions[access.Reservation](ctx, tx, reservationID); err != nil {
			return err
		}
		if len(h.revisions) == 0 {
			return pastUnknown("reservation")
		}
		if h.custody, err = custodyHistory(ctx, tx, now.KeyID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT DISTINCT n.id, n.property_id FROM custody_changes c JOIN panels n ON n.id = c.panel_id WHERE c.key_id = $1`, now.KeyID)
		if err != nil {
			return err
		}
		properties := []string{now.PropertyID}
		var box, property string
		if _, err := pgx.ForEachRow(rows, []any{&box, &property}, func() error {
			h.boxes[box] = property
			properties = append(properties, property)
			return nil
		}); err != nil {
			return err
		}
		for _, id := range properties {
			if h.properties[id], err = propertyHistory(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// snapshot runs fn on the database as it is at one moment.
func (s *Store) snapshot(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func itemIn[I any](ctx context.Context, tx pgx.Tx, what, query, accountID, id string, item *I) (*I, error) {
	var facts []byte
	err := tx.QueryRow(ctx, query, accountID, id).Scan(&facts)
	if isNoRows(err) {
		return nil, directory.NotFound(what, id)
	}
	if err != nil {
		return nil, err
	}
	return item, json.Unmarshal(facts, item)
}

func itemRevisions[I any](ctx context.Context, tx pgx.Tx, id string) (timeline[I], error) {
	rows, err := tx.Query(ctx, `SELECT valid_from, valid_to, document FROM item_revisions WHERE item_id = $1 ORDER BY revision`, id)
	return heldDocuments(rows, err, decoded[I])
}

func propertyHistory(ctx context.Context, tx pgx.Tx, id string) (timeline[propertyThen], error) {
	rows, err := tx.Query(ctx, directoryRevisions, id)
	return heldDocuments(rows, err, func(encoded []byte) (then propertyThen, err error) {
		document, err := decoded[propertyDocument](encoded)
		if err != nil {
			return then, err
		}
		then.policy = document.Policy
		if then.zone, err = time.LoadLocation(document.TimeZone); err != nil {
			return then, fmt.Errorf("zone of the property: %w", err)
		}
		return then, nil
	})
}

const directoryRevisions = `SELECT valid_from, valid_to, document FROM directory_revisions WHERE subject_id = $1 ORDER BY revision`

func entranceHistoryIn(ctx context.Context, tx pgx.Tx, accountID, id string) (h entranceHistory, err error) {
	rows, err := tx.Query(ctx, directoryRevisions, id)
	if h.revisions, err = heldDocuments(rows, err, decoded[entranceDocument]); err != nil {
		return h, err
	}
	err = tx.QueryRow(ctx, `SELECT property_id, coalesce((SELECT min(revision) = 1 FROM directory_revisions WHERE subject_id = $2), false)
		FROM entrances WHERE account_id = $1 AND id = $2
		UNION ALL SELECT document ->> 'property_id', true FROM directory_revisions
		WHERE subject_id = $2 AND revision = 1 AND document ->> 'account_id' = $1 LIMIT 1`, accountID, id).Scan(&h.propertyID, &h.whole)
	if isNoRows(err) {
		return h, directory.NotFound("entrance", id)
	}
	return h, err
}

// usesOf reads the verifications and openings that decisions count (I10), in the
// order in which they became known. What a panel reports of commands that this
// engine never gave is no use.
func usesOf(ctx context.Context, tx pgx.Tx, id string, revisions timeline[access.Invitation]) (timeline[access.Use], error) {
	rows, err := tx.Query(ctx, `SELECT at, recorded_at, type = $2 FROM events
		WHERE item_id = $1 AND (type = $2 OR type = $3 AND rule <> 'P2') ORDER BY recorded_at, id`,
		id, access.EventVerificationSucceeded, access.EventEntranceOpened)
	if err != nil {
		return nil, err
	}
	uses, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u use, err error) {
		err = row.Scan(&u.at, &u.recordedAt, &u.verified)
		u.at, u.recordedAt = u.at.UTC(), u.recordedAt.UTC()
		return u, err
	})
	return newUses(uses, revisions), err
}

// inviterRemoved is when the last of those was removed who had an invitation, one
// after the other (I17): zero if that one is still a member. An invitation that was
// over was not moved, and is refused for that.
func inviterRemoved(ctx context.Context, tx pgx.Tx, inviterID string) (at time.Time, err error) {
	err = tx.QueryRow(ctx, `WITH RECURSIVE inviters AS (
			SELECT removed_at, moved_to FROM member_removals WHERE member_id = $1
			UNION ALL SELECT r.removed_at, r.moved_to FROM member_removals r JOIN inviters i ON r.member_id = i.moved_to)
		SELECT removed_at FROM inviters WHERE moved_to IS NULL LIMIT 1`, inviterID).Scan(&at)
	if isNoRows(err) {
		return time.Time{}, nil
	}
	return at.UTC(), err
}

func custodyHistory(ctx context.Context, tx pgx.Tx, keyID string) (timeline[access.Custody], error) {
	rows, err := tx.Query(ctx, `SELECT key_id, state, panel_id, slot, holder_id, at, recorded_at FROM custody_changes WHERE key_id = $1 ORDER BY serial`, keyID)
	if err != nil {
		return nil, err
	}
	chain, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c CustodyChange, err error) {
		err = row.Scan(&c.KeyID, &c.State, &c.PanelID, &c.Slot, &c.HolderID, &c.Since, &c.RecordedAt)
		c.Since, c.RecordedAt = c.Since.UTC(), c.RecordedAt.UTC()
		return c, err
	})
	return newCustody(chain), err
}

func decoded[T any](document []byte) (value T, err error) {
	return value, json.Unmarshal(document, &value)
}

// heldDocuments reads revisions with the time for which they were valid.
func heldDocuments[T any](rows pgx.Rows, err error, decode func([]byte) (T, error)) (timeline[T], error) {
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h held[T], err error) {
		var document []byte
		var to *time.Time
		if err = row.Scan(&h.from, &to, &document); err != nil {
			return h, err
		}
		h.from, h.to = h.from.UTC(), orZero(to)
		h.value, err = decode(document)
		return h, err
	})
	return newTimeline(list), err
}
