package store

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
	"latchkey/internal/notify"
)

// KeepPhone lets a signed-in member be notified of unlocks on the phone of this
// session (I7), in the place of what the session gave before. A browser that was
// signed in as somebody else is taken from them.
func (s *Store) KeepPhone(ctx context.Context, personID string, p notify.Phone, now time.Time) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	endpoint := s.keys.Index("push-endpoint", p.Endpoint)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var member bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM people i JOIN members m ON m.email_index = i.email_index WHERE i.id = $1)`, personID).Scan(&member)
		if err != nil {
			return err
		}
		if !member {
			return &directory.Error{Code: directory.CodeForbidden, Detail: "Only members of an account are notified of unlocks, and the address that you are signed in with is no member's."}
		}
		sealed, err := s.sealFor(ctx, tx, personID, "phone", string(body))
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM push_subscriptions WHERE endpoint_hash = $1 AND session_id <> $2`, endpoint, p.SessionID)
		batch.Queue(`INSERT INTO push_subscriptions (session_id, person_id, endpoint_hash, body, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (session_id) DO UPDATE SET endpoint_hash = excluded.endpoint_hash, body = excluded.body, created_at = excluded.created_at`,
			p.SessionID, personID, endpoint, sealed, instant(now))
		return tx.SendBatch(ctx, batch).Close()
	})
}

// ForgetPhone ends the notifications of a session.
func (s *Store) ForgetPhone(ctx context.Context, sessionID string) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM push_subscriptions WHERE session_id = $1`, sessionID)
	return err
}

// HasPhone says whether a session has given where its phone can be notified.
func (s *Store) HasPhone(ctx context.Context, sessionID string) (has bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM push_subscriptions WHERE session_id = $1)`, sessionID).Scan(&has)
	return has, err
}

// PhonesOf implements [notify.Phones]. The person of an account and whoever signs in
// with their address are one.
func (s *Store) PhonesOf(ctx context.Context, personID string, now time.Time) ([]notify.Phone, error) {
	rows, err := s.pool.Query(ctx, `SELECT h.person_id, h.body FROM people p
		JOIN people i ON i.email_index = p.email_index AND i.account_id IS NULL
		JOIN push_subscriptions h ON h.person_id = i.id
		JOIN sessions e ON e.id = h.session_id AND e.ended_at IS NULL AND e.expires_at > $2
		WHERE p.id = $1 ORDER BY h.created_at DESC`, personID, instant(now))
	if err != nil {
		return nil, err
	}
	type kept struct {
		OwnerID string
		Body    []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[kept])
	if err != nil {
		return nil, err
	}
	phones := make([]notify.Phone, 0, len(all))
	for _, k := range all {
		body, err := s.unsealFor(ctx, s.pool, k.OwnerID, "phone", k.Body)
		if err != nil {
			return nil, err
		}
		if body == "" { // its owner has been erased
			continue
		}
		var phone notify.Phone
		if err := json.Unmarshal([]byte(body), &phone); err != nil {
			return nil, err
		}
		phones = append(phones, phone)
	}
	return phones, nil
}

// DropPhone implements [notify.Phones]. What the session has given since stays.
func (s *Store) DropPhone(ctx context.Context, p notify.Phone) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM push_subscriptions WHERE session_id = $1 AND endpoint_hash = $2`,
		p.SessionID, s.keys.Index("push-endpoint", p.Endpoint))
	return err
}

// PushKeys reads by what push services know the engine, or makes it at the first
// start: phones subscribe for one key and would be lost with it.
func (s *Store) PushKeys(ctx context.Context, now time.Time) (k notify.PushKeys, err error) {
	made, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return k, err
	}
	sealed, err := s.keys.Seal("push-key", made.Bytes())
	if err != nil {
		return k, err
	}
	encoding := base64.RawURLEncoding
	// The update changes nothing, but waits for whoever makes the keys at this moment and gives theirs.
	err = s.pool.QueryRow(ctx, `INSERT INTO push_keys (public_key, private_key, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (one) DO UPDATE SET one = true RETURNING public_key, private_key`,
		encoding.EncodeToString(made.PublicKey().Bytes()), sealed, instant(now)).Scan(&k.Public, &sealed)
	if err != nil {
		return k, err
	}
	private, err := s.keys.Unseal("push-key", sealed)
	k.Private = encoding.EncodeToString(private)
	return k, err
}
