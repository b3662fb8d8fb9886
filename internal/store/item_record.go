package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// item is an invitation or a reservation as far as its events are concerned.
type item struct{ id, accountID, propertyID string }

// unlessSame is what Postgres holds of an item, or nil if it is the very state that a
// run wants to record: the activity runs a second time.
func unlessSame[S any](held, wanted *S) (*S, error) {
	a, err := json.Marshal(held)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(wanted)
	if err != nil || bytes.Equal(a, b) {
		return nil, err
	}
	return held, nil
}

// queueItemRevision ends the validity of an item's last revision and begins that
// of the next, so that "why?" can answer for the past (E5).
func queueItemRevision(batch *pgx.Batch, itemID string, known, revision int64, facts []byte, now time.Time) {
	batch.Queue(`UPDATE item_revisions SET valid_to = $3 WHERE item_id = $1 AND revision = $2`, itemID, known, now)
	batch.Queue(`INSERT INTO item_revisions (item_id, revision, valid_from, document) VALUES ($1, $2, $3, $4)`, itemID, revision, now, facts)
}

// recordChanges writes the event of each change after a known revision, and the
// messages it owes.
func recordChanges(ctx context.Context, tx pgx.Tx, it item, changes []access.Change, known int64, now time.Time) error {
	batch := &pgx.Batch{}
	for _, c := range changes {
		if c.Revision <= known {
			continue
		}
		key := fmt.Sprintf("%s/%d/%s", it.id, c.Revision, c.Type)
		event := directory.Event{
			AccountID: it.accountID, Type: c.Type, At: c.At, RecordedAt: now, PropertyID: it.propertyID, ItemID: it.id,
			ActorID: c.ActorID, NoteID: c.NoteID, DedupKey: key, Detail: map[string]any{"revision": c.Revision},
		}
		if late := now.Sub(c.At); late > time.Minute {
			event.Detail["late"] = late.Round(time.Second).String() // T2
		}
		queueEvent(batch, event)
		if !c.Silent {
			queueOwed(batch, it.id, c.Type, key, messageParams{At: c.At, NoteID: c.NoteID, Changes: c.Differences}, now)
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}
