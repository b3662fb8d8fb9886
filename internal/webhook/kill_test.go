package webhook_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/keyset"
	"latchkey/internal/store"
)

// TestMain lets the test binary be a process that delivers webhooks and can be killed.
func TestMain(m *testing.M) {
	if dsn := os.Getenv("WEBHOOK_TEST_DSN"); dsn != "" {
		if err := work(dsn, os.Getenv("WEBHOOK_TEST_KEYSET")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func work(dsn, keyfile string) error {
	keys, err := keyset.Load(keyfile)
	if err != nil {
		return err
	}
	s, err := store.Open(context.Background(), dsn, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	return deliver(context.Background(), s, quick, true)
}

// worker starts a process that delivers webhooks.
func (w *world) worker() *exec.Cmd {
	w.t.Helper()
	self, err := os.Executable()
	w.ok(err)
	process := exec.Command(self)
	process.Env = append(os.Environ(), "WEBHOOK_TEST_DSN="+w.dsn, "WEBHOOK_TEST_KEYSET="+w.keyfile)
	process.Stderr = os.Stderr
	w.ok(process.Start())
	w.t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait() // killed, which is an error of its own
	})
	return process
}

// E1, E4: a process that is killed while it delivers loses nothing, and another one
// keeps the order of what it had under way. A job counts as orphaned after a minute, so
// the test makes the jobs of the dead process old.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	const items, each = 60, 5
	w := open(t)
	app := newMortal(t)
	_, secret := w.endpoint("http://"+app.addr, "*")
	app.secret = secret
	first := w.worker()
	w.write(0, 1, items, each)
	w.await("some are taken", time.Minute, func() bool { taken, _, _ := app.counts(); return taken > items })
	w.ok(first.Process.Kill())
	_ = first.Wait() // killed, which is an error of its own

	w.worker()
	if _, err := w.db.Exec(t.Context(), `UPDATE river.river_job SET attempted_at = attempted_at - interval '2 minutes' WHERE state = 'running'`); err != nil {
		t.Fatal(err)
	}
	w.await("all are delivered", 3*time.Minute, func() bool { return w.count(directory.DeliveryDelivered) == items*each })
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, fault := range app.faults {
		t.Error(fault)
	}
	for item := range items {
		if name := fmt.Sprintf("inv_%d", item); app.answered[name] != each {
			t.Errorf("%s: %d events taken, want %d", name, app.answered[name], each)
		}
	}
}
