package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"latchkey/internal/keyset"
	"latchkey/internal/postgres"
	"latchkey/internal/store"
)

// RotateKey makes a new engine key, by which panels will know the engine (P1).
type RotateKey struct {
	Outside
	Data   string `help:"Where a running latchkey up keeps everything." type:"path" default:".latchkey"`
	Keyset string `help:"The keyset file, with DATABASE_URL; the one in --data if not given." type:"path"`
}

// Run makes the key and stops. The processes of the engine notice it within
// seconds, panels as they report; nobody enrols anew.
func (c *RotateKey) Run(ctx context.Context) error {
	dsn, file := c.DatabaseURL, c.Keyset
	if file == "" {
		file = filepath.Join(c.Data, "keyset.json")
	}
	if dsn == "" {
		cluster, err := postgres.Join(ctx, c.Data)
		if err != nil {
			return err
		}
		dsn = cluster.DSN(postgres.Database)
	}
	keys, err := keyset.Load(file)
	if err != nil {
		return fmt.Errorf("the keyset (--keyset or --data): %w", err)
	}
	s, err := store.Open(ctx, dsn, keys)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer s.Close()
	key, err := s.RotateEngineKey(ctx, time.Now())
	if err != nil {
		return err
	}
	behind, err := s.PanelsBehind(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("The engine has a new key, %s. %d panels learn it as they report; then the older keys retire by themselves.\n", key.ID, behind)
	fmt.Println("A panel that stays away holds that up: bring it back, or disown it with POST /v1/panels/{id}/disown.")
	return nil
}
