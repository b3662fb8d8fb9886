package store

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
)

// EngineKey is the engine's own signing key, by which panels know it (P1).
type EngineKey struct {
	ID      string
	Private ed25519.PrivateKey
}

// EngineKey reads the engine's key or makes it at the first start. All processes
// of one engine have the same.
func (s *Store) EngineKey(ctx context.Context, now time.Time) (k EngineKey, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE engine_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		var sealed []byte
		err := tx.QueryRow(ctx, `SELECT id, private_key FROM engine_keys ORDER BY created_at DESC LIMIT 1`).Scan(&k.ID, &sealed)
		if err == nil {
			seed, err := s.keys.Unseal("engine-key", sealed)
			if err == nil {
				k.Private = ed25519.NewKeyFromSeed(seed)
			}
			return err
		}
		if !isNoRows(err) {
			return err
		}
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		k.ID = newID("ek")
		if sealed, err = s.keys.Seal("engine-key", k.Private.Seed()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO engine_keys (id, private_key, created_at) VALUES ($1, $2, $3)`, k.ID, sealed, instant(now))
		return err
	})
	return k, err
}
