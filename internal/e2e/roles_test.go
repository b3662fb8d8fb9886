package e2e

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/postgres"
)

// TestRoles runs the roles each in a process of its own, on a PostgreSQL and a
// Temporal that are somebody else's, and plays the story through them up to the
// unlock and its message. Then the worker is killed: doors go on opening, and a new
// worker does what had to wait (E1, E9).
func TestRoles(t *testing.T) {
	t.Parallel()
	host := newStage(t) // whose Temporal is used
	listen := freeAddress(t)
	s := bareStage(t, "http://"+listen)
	database := s.outsideDatabase()
	if err := os.Mkdir(s.data, 0o755); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(s.data, "keyset.json")
	outside := []string{"DATABASE_URL=" + database, "TEMPORAL_ADDRESS=" + host.temporal, "TEMPORAL_NAMESPACE=" + host.addNamespace("roles"), "LATCHKEY_KEYSET=" + keys}

	for range 2 { // the second time there is nothing to do
		if code, output := s.run(outside, "migrate", "--api-key-file", filepath.Join(s.data, "api-key")); code != 0 {
			t.Fatalf("migrate ended with %d: %s", code, output)
		}
	}
	worker := &process{t: t, log: filepath.Join(s.dir, "worker.log"), ready: "ready", env: outside, args: []string{"worker", "--base-url", s.url}}
	worker.start()
	t.Cleanup(worker.stop)
	s.engine = &process{t: t, log: filepath.Join(s.dir, "api.log"), ready: "ready", env: outside, args: []string{"api", "--listen", listen}}
	s.engine.start()
	t.Cleanup(s.engine.stop)

	play := s.newStory(10*time.Minute, 5*time.Minute)
	s.playSteps(play.Steps()[:11])
	if link := must(play.Messages(t.Context(), play.GuestMail, "invitation"))(t)[0].Text("text"); !strings.Contains(link, s.url+"/i/") {
		t.Errorf("I2: the link does not lead to --base-url: %s", link)
	}

	worker.kill()
	if result := s.taps(play, play.Invitation); result != "verified" {
		t.Errorf("E9: without a worker a tap is answered with %s", result)
	}
	worker.start()
	if err := await(t.Context(), func() bool {
		found, err := play.Messages(t.Context(), play.HostMail, "entrance_unlocked")
		return err == nil && len(found) == 3
	}); err != nil {
		t.Error("the new worker does not send what waited")
	}

	for _, c := range []struct {
		name, says string
		env, args  []string
	}{
		{"no database", "DATABASE_URL", []string{"LATCHKEY_KEYSET=" + keys}, []string{"api", "--listen", freeAddress(t)}},
		{"no keyset", "--keyset", []string{"DATABASE_URL=" + database}, []string{"worker", "--base-url", s.url}},
		{"no base URL", "--base-url", outside, []string{"worker"}},
		{"port taken", "--listen", outside, []string{"api", "--listen", listen}},
	} {
		code, output := s.run(c.env, c.args...)
		if code != 1 || !strings.Contains(output, "latchkey: ") || !strings.Contains(output, c.says) {
			t.Errorf("%s: ended with %d and said %q", c.name, code, output)
		}
	}
}

// outsideDatabase is an empty database of a PostgreSQL that no engine has started.
func (s *stage) outsideDatabase() (dsn string) {
	s.t.Helper()
	dir := filepath.Join(s.dir, "outside")
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	cluster := must(postgres.Start(s.t.Context(), dir, slog.New(slog.DiscardHandler)))(s.t)
	s.t.Cleanup(func() {
		if err := cluster.Stop(context.WithoutCancel(s.t.Context())); err != nil { // the test's own has ended
			s.t.Error(err)
		}
	})
	if err := cluster.EnsureDatabase(s.t.Context(), "engine"); err != nil {
		s.t.Fatal(err)
	}
	return cluster.DSN("engine")
}
