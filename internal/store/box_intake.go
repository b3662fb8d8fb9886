package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// slotOpened takes in that a slot has opened: by the engine's command, whose event
// it completes (P4), or by a typed code.
func slotOpened(ctx context.Context, tx pgx.Tx, from reporter, e PanelEvent, now time.Time) error {
	if e.CommandID != "" {
		if err := recordSlotOpened(ctx, tx, e.CommandID, from.panelID, e.Slot, notAfter(e.At, now), now); !isNoRows(err) {
			return err
		}
	}
	return appendEvent(ctx, tx, from.event(access.EventSlotOpened, e, now))
}

// CodeUnknownKey marks the report of a key that the account does not know.
const CodeUnknownKey = "unknown_key"

// keyMoved takes in that a key was taken out of a slot or put into one (K12), at the
// box's own time. The reservations that had or have it look at it.
func keyMoved(ctx context.Context, tx pgx.Tx, from reporter, e PanelEvent, now time.Time) error {
	taken := e.Type == "key_taken"
	event := from.event(access.EventKeyReturned, e, now)
	if taken {
		event.Type = access.EventKeyPickedUp
	}
	event.Rule = "K12"
	holder, err := reservationOf(ctx, tx, from.accountID, e.GrantID)
	if err != nil {
		return err
	}
	event.ItemID = holder
	known, err := keyKnown(ctx, tx, from.accountID, e.KeyID)
	if err != nil {
		return err
	}
	if !known {
		event.Code = CodeUnknownKey
		return appendEvent(ctx, tx, event)
	}
	report := access.CustodyReport{State: access.CustodyInBox, PanelID: from.panelID, Slot: e.Slot, At: notAfter(e.At, now)}
	if taken {
		report = access.CustodyReport{State: access.CustodyOut, HolderID: holder, At: report.At}
	}
	before, after, err := changeCustody(ctx, tx, from.accountID, e.KeyID, report, CustodyCause{Kind: CauseBox, GrantID: holder}, now)
	if err != nil {
		return err
	}
	if !taken && before.HolderID != "" { // whoever brings it back: it was this visitor's to return
		event.ItemID = before.HolderID
	}
	if err := appendEvent(ctx, tx, event); err != nil {
		return err
	}
	return wakeHolders(ctx, tx, now, before.HolderID, after.HolderID, holder)
}

// reservationOf is a grant's id if it is a reservation of the account.
func reservationOf(ctx context.Context, tx pgx.Tx, accountID, grantID string) (id string, err error) {
	err = tx.QueryRow(ctx, `SELECT id FROM reservations WHERE id = $1 AND account_id = $2 AND state <> 'creating'`, grantID, accountID).Scan(&id)
	if isNoRows(err) {
		return "", nil
	}
	return id, err
}

func keyKnown(ctx context.Context, tx pgx.Tx, accountID, keyID string) (known bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM keys WHERE id = $1 AND account_id = $2)`, keyID, accountID).Scan(&known)
	return known, err
}

// boxLocked takes in that a box refuses typed codes for a time, and tells the
// property's managers (P7).
func boxLocked(ctx context.Context, tx pgx.Tx, from reporter, e PanelEvent, now time.Time) error {
	event := from.event(access.EventPanelLockout, e, now)
	event.Rule, event.Detail["until"] = "P7", e.Until.UTC().Format(time.RFC3339)
	if err := appendEvent(ctx, tx, event); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT person_id FROM members WHERE account_id = $1 AND $2 = ANY(property_ids) AND role IN ('manager', 'host') AND removed_at IS NULL`,
		from.accountID, from.propertyID)
	if err != nil {
		return err
	}
	people, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, personID := range people {
		batch.Queue(`INSERT INTO messages (id, account_id, person_id, template, item_id, params, dedup_key, not_before, created_at)
			VALUES ($1, $2, $3, $4, $5, jsonb_build_object('at', $6::text), $7, $8, $8) ON CONFLICT DO NOTHING`,
			newID("msg"), from.accountID, personID, access.TemplatePanelLockout, from.panelID, e.Until.UTC().Format(time.RFC3339Nano),
			event.DedupKey+"/"+personID, now)
		queueWake(batch, outboxWorkflowID, now)
	}
	return tx.SendBatch(ctx, batch).Close()
}
