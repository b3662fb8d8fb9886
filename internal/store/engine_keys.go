package store

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

// EngineKey is a signing key of the engine, by which panels know it (P1).
type EngineKey struct {
	ID        string
	Private   ed25519.PrivateKey
	CreatedAt time.Time
}

// keyringFor is how long a process goes on with the engine's keys that it has read:
// a new one is noticed within this time.
const keyringFor = 2 * time.Second

// keyrings is the engine's keys as read last.
type keyrings struct {
	mu     sync.Mutex
	keys   []EngineKey
	readAt time.Time // by this process's clock
}

// EngineKey reads the engine's newest key or makes it at the first start. All
// processes of one engine have the same.
func (s *Store) EngineKey(ctx context.Context, now time.Time) (EngineKey, error) {
	ring, err := s.EngineKeyring(ctx, now)
	if err != nil {
		return EngineKey{}, err
	}
	return ring[len(ring)-1], nil
}

// EngineKeyring is the engine's keys in use, oldest first; the first start makes one.
func (s *Store) EngineKeyring(ctx context.Context, now time.Time) ([]EngineKey, error) {
	s.keyrings.mu.Lock()
	defer s.keyrings.mu.Unlock()
	if s.keyrings.keys != nil && time.Since(s.keyrings.readAt) < keyringFor {
		return s.keyrings.keys, nil
	}
	readAt := time.Now()
	ring, err := s.engineKeys(ctx, s.pool)
	if err == nil && len(ring) == 0 {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `LOCK TABLE engine_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
				return err
			}
			if ring, err = s.engineKeys(ctx, tx); err != nil || len(ring) > 0 {
				return err
			}
			key, err := s.addEngineKey(ctx, tx, now)
			ring = []EngineKey{key}
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	s.keyrings.keys, s.keyrings.readAt = ring, readAt
	return ring, nil
}

func (s *Store) engineKeys(ctx context.Context, db querier) ([]EngineKey, error) {
	rows, err := db.Query(ctx, `SELECT id, private_key, created_at FROM engine_keys WHERE retired_at IS NULL ORDER BY created_at, id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k EngineKey, err error) {
		var sealed []byte
		if err := row.Scan(&k.ID, &sealed, &k.CreatedAt); err != nil {
			return k, err
		}
		seed, err := s.keys.Unseal("engine-key", sealed)
		if err == nil {
			k.Private = ed25519.NewKeyFromSeed(seed)
		}
		k.CreatedAt = k.CreatedAt.UTC()
		return k, err
	})
}

func (s *Store) addEngineKey(ctx context.Context, tx pgx.Tx, now time.Time) (k EngineKey, err error) {
	if _, k.Private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return k, err
	}
	k.ID, k.CreatedAt = newID("ek"), instant(now)
	sealed, err := s.keys.Seal("engine-key", k.Private.Seed())
	if err != nil {
		return k, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO engine_keys (id, private_key, created_at) VALUES ($1, $2, $3)`, k.ID, sealed, k.CreatedAt)
	return k, err
}

// mostEngineKeys bounds how many keys panels have to trust at a time.
const mostEngineKeys = 4

// RotateEngineKey makes a new key beside the ones in use (P1). Panels learn it as
// they report; the older ones are retired when all have.
func (s *Store) RotateEngineKey(ctx context.Context, now time.Time) (k EngineKey, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE engine_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		ring, err := s.engineKeys(ctx, tx)
		if err != nil {
			return err
		}
		if len(ring) >= mostEngineKeys {
			return &directory.Error{Code: directory.CodeConflict,
				Detail: "Earlier changes of the key have not reached all panels yet. Wait for the panels that are away, or disown them, then try again."}
		}
		k, err = s.addEngineKey(ctx, tx, now)
		return err
	})
	if err == nil {
		s.keyrings.mu.Lock()
		s.keyrings.keys = nil
		s.keyrings.mu.Unlock()
	}
	return k, err
}

// PanelsBehind counts the panels that do not trust the newest key yet.
func (s *Store) PanelsBehind(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM panels WHERE public_key IS NOT NULL AND disowned_at IS NULL AND NOT engine_key_ids @>
		ARRAY(SELECT id FROM engine_keys WHERE retired_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1)`).Scan(&n)
	return n, err
}

// retireSQL retires all keys but the newest once nothing needs them any more: every
// panel trusts the newest, no enrolment code from before it can still be used, and
// no pass by an older one is still good. A code is younger than a key only if it
// was made after all processes had noticed the key.
const retireSQL = `WITH newest AS (
		SELECT id, created_at FROM engine_keys WHERE retired_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1)
	UPDATE engine_keys k SET retired_at = $1 FROM newest
	WHERE k.retired_at IS NULL AND k.id <> newest.id AND newest.created_at + $2::interval < $1
		AND NOT EXISTS (SELECT FROM panels n WHERE n.public_key IS NOT NULL AND n.disowned_at IS NULL AND NOT newest.id = ANY(n.engine_key_ids))
		AND NOT EXISTS (SELECT FROM panels n WHERE n.public_key IS NULL AND n.disowned_at IS NULL AND n.enrolment_expires_at > $1
			AND n.enrolment_expires_at < newest.created_at + $2::interval + $3::interval)
		AND NOT EXISTS (SELECT FROM passes p WHERE p.engine_key_id = k.id AND p.expires_at > $1)`

// enrolmentCodeTTL is how long an enrolment code is good for (P1).
const enrolmentCodeTTL = 24 * time.Hour

// RetireEngineKeys implements worker.Claims: it ends the trust in engine keys that
// no panel needs any more. Panels drop them with their next report.
func (s *Store) RetireEngineKeys(ctx context.Context, now time.Time) (retired int, err error) {
	tag, err := s.pool.Exec(ctx, retireSQL, instant(now), 5*keyringFor, enrolmentCodeTTL)
	return int(tag.RowsAffected()), err
}

// PanelTrusts notes which of the engine's keys a panel says it trusts. What it does
// not say stays as it was, for panels that know of one key only.
func (s *Store) PanelTrusts(ctx context.Context, panelID string, known, reported []string) error {
	reported = slices.Compact(slices.Sorted(slices.Values(reported)))
	if len(reported) == 0 || len(reported) > 2*mostEngineKeys || slices.Equal(reported, known) {
		return nil
	}
	_, err := s.pool.Exec(ctx, `UPDATE panels SET engine_key_ids = $2 WHERE id = $1`, panelID, reported)
	return err
}
