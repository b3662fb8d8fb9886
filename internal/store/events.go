package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// appendEventSQL adds an event once: a second record with the same key is the
// same event.
const appendEventSQL = `INSERT INTO events (id, account_id, type, at, recorded_at, property_id, item_id, entrance_id, panel_id, actor_id,
		code, rule, note_id, detail, dedup_key)
	VALUES ($1, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), nullif($8, ''), nullif($9, ''), nullif($10, ''), $11, $12, nullif($13, ''), $14, $15)
	ON CONFLICT (account_id, dedup_key) DO NOTHING`

func eventArguments(e directory.Event) []any {
	if e.ID == "" {
		e.ID = newID("evt")
	}
	detail, err := json.Marshal(e.Detail)
	if err != nil || e.Detail == nil { // details are ids, instants and numbers, which always marshal
		detail = []byte("{}")
	}
	return []any{e.ID, e.AccountID, e.Type, instant(e.At), instant(e.RecordedAt), e.PropertyID, e.ItemID, e.EntranceID, e.PanelID, e.ActorID,
		e.Code, e.Rule, e.NoteID, detail, e.DedupKey}
}

// appendEvent adds an entry to the log in the transaction of what it reports (E3).
func appendEvent(ctx context.Context, q querier, e directory.Event) error {
	_, err := q.Exec(ctx, appendEventSQL, eventArguments(e)...)
	return err
}

// queueEvent is [appendEvent] as part of a batch.
func queueEvent(batch *pgx.Batch, e directory.Event) {
	batch.Queue(appendEventSQL, eventArguments(e)...)
}

// EventFilter narrows the log. Empty fields do not.
type EventFilter struct {
	PropertyID string
	EntranceID string
	ItemID     string
	Type       access.EventType
	Since      time.Time
}

// Events lists an account's log, newest first, with people's own words in it
// decrypted (E3, I8).
func (s *Store) Events(ctx context.Context, accountID string, f EventFilter, page Page) ([]directory.Event, string, error) {
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	limit := page.limit()
	rows, err := s.pool.Query(ctx, `SELECT id, account_id, type, at, recorded_at, coalesce(property_id, ''), coalesce(item_id, ''),
			coalesce(entrance_id, ''), coalesce(panel_id, ''), coalesce(actor_id, ''), code, rule, coalesce(note_id, ''), detail, dedup_key
		FROM events WHERE account_id = $1 AND ($2 = '' OR property_id = $2) AND ($3 = '' OR entrance_id = $3) AND ($4 = '' OR item_id = $4)
			AND ($5 = '' OR type = $5) AND ($6::timestamptz IS NULL OR at >= $6) AND ($7 = '' OR id < $7)
		ORDER BY id DESC LIMIT $8`,
		accountID, f.PropertyID, f.EntranceID, f.ItemID, string(f.Type), orNull(f.Since), after, limit+1)
	if err != nil {
		return nil, "", err
	}
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, "", err
	}
	events, next := cut(events, limit, func(e directory.Event) string { return e.ID })
	for n := range events {
		if events[n].NoteID == "" {
			continue
		}
		if events[n].Note, err = s.Note(ctx, events[n].NoteID); err != nil {
			return nil, "", err
		}
	}
	return events, next, nil
}

func scanEvent(row pgx.CollectableRow) (e directory.Event, err error) {
	var detail []byte
	err = row.Scan(&e.ID, &e.AccountID, &e.Type, &e.At, &e.RecordedAt, &e.PropertyID, &e.ItemID, &e.EntranceID, &e.PanelID, &e.ActorID,
		&e.Code, &e.Rule, &e.NoteID, &detail, &e.DedupKey)
	if err == nil {
		err = json.Unmarshal(detail, &e.Detail)
	}
	e.At, e.RecordedAt = e.At.UTC(), e.RecordedAt.UTC()
	return e, err
}
