package postgres_test

import (
	"testing"

	"latchkey/internal/postgres"
)

// A command beside the engine finds its database, and says what to do where there
// is none or it does not run.
func TestJoin(t *testing.T) {
	_, err := postgres.Join(t.Context(), t.TempDir())
	wantCode(t, err, postgres.CodeNotRunning, "--data", "DATABASE_URL")

	dir := newDataDir(t)
	c := start(t, dir)
	joined, err := postgres.Join(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, joined.DSN(postgres.Database), "SELECT 'connected'")
	stop(t, c)
	_, err = postgres.Join(t.Context(), dir)
	wantCode(t, err, postgres.CodeNotRunning, "latchkey up", dir)
}
