package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/notify"
)

// Keep implements notify.Outbox: it keeps what would have been sent, encrypted
// under the reader's key. The same message twice is kept once.
func (s *Store) Keep(ctx context.Context, m notify.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var personID string
	var wrapped []byte
	err = s.pool.QueryRow(ctx, `SELECT p.id, p.data_key FROM messages m JOIN people p ON p.id = m.person_id WHERE m.id = $1`, m.ID).Scan(&personID, &wrapped)
	if err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	if wrapped == nil {
		return fmt.Errorf("message %s: its reader has been erased", m.ID)
	}
	cipher, err := s.keys.PersonCipher(personID, wrapped)
	if err != nil {
		return err
	}
	sealed, err := cipher.Seal("outbox", string(body))
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `INSERT INTO outbox (message_id, person_id, channel, template, locale, body, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (message_id) DO NOTHING`, m.ID, personID, string(m.Channel), string(m.Template), m.Locale, sealed, instant(m.At))
	return err
}

// OutboxMessages lists the newest messages of the development outbox. Those of
// people who were erased have no text any more.
func (s *Store) OutboxMessages(ctx context.Context, limit int) ([]notify.Message, error) {
	rows, err := s.pool.Query(ctx, `SELECT message_id, person_id, channel, template, locale, body, at FROM outbox ORDER BY at DESC, message_id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	type kept struct {
		personID string
		sealed   []byte
	}
	var bodies []kept
	messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m notify.Message, err error) {
		var k kept
		var channel, template string
		err = row.Scan(&m.ID, &k.personID, &channel, &template, &m.Locale, &k.sealed, &m.At)
		m.Channel, m.Template = notify.Channel(channel), access.Template(template)
		bodies = append(bodies, k)
		return m, err
	})
	if err != nil {
		return nil, err
	}
	for n, k := range bodies {
		body, err := s.unsealFor(ctx, s.pool, k.personID, "outbox", k.sealed)
		if err != nil {
			return nil, fmt.Errorf("message %s: %w", messages[n].ID, err)
		}
		if body == "" {
			continue
		}
		if err := json.Unmarshal([]byte(body), &messages[n]); err != nil {
			return nil, fmt.Errorf("message %s: %w", messages[n].ID, err)
		}
	}
	return messages, nil
}
