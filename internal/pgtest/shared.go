package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/postgres"
)

// startShared gives the DSN of the run's server, and starts the server if this
// process is the first of the run that needs it.
func startShared() (dsn string, err error) {
	ctx := context.Background()
	run := runPID()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("latchkey-pgtest-%d-%d", os.Geteuid(), run))
	turn, err := takeTurn(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, turn.Close()) }()
	_, statErr := os.Stat(dir)
	cluster, err := postgres.Start(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	if statErr == nil {
		return cluster.DSN(postgres.Database), nil
	}
	if err := hurry(ctx, cluster.AdminDSN("postgres")); err != nil {
		return "", err
	}
	if err := watch(run, dir); err != nil {
		return "", errors.Join(err, cluster.Stop(ctx))
	}
	return cluster.DSN(postgres.Database), nil
}

// runPID is the process whose end is the end of the run: the go command that
// started this test, or the test itself when something else did.
func runPID() int {
	parent := os.Getppid()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil { // not Linux
		name, err = exec.CommandContext(context.Background(), "ps", "-o", "comm=", "-p", strconv.Itoa(parent)).Output()
	}
	if err != nil || filepath.Base(strings.TrimSpace(string(name))) != "go" {
		return os.Getpid()
	}
	return parent
}

// takeTurn waits until no other process of the run is starting the server.
func takeTurn(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// hurry lets the server skip its waits for the disk: what a test wrote is gone
// with the run in any case.
func hurry(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect as the superuser: %w", err)
	}
	for _, sql := range []string{
		"ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET synchronous_commit = off",
		"ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(fmt.Errorf("set the server up for tests: %w", err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// watch leaves a process behind that outlives this one, waits for the end of the
// run and then removes the server. Nothing in the run itself could do that: its
// processes do not know which of them is the last, and each may be killed.
func watch(run int, dir string) error {
	const script = `
while kill -0 "$1" 2>/dev/null; do sleep 0.5; done
server=$(head -n 1 "$2/postgres/postmaster.pid")
if [ "${server:-0}" -gt 1 ] && kill -QUIT "$server"; then
	while [ -e "$2/postgres/postmaster.pid" ] && kill -0 "$server"; do sleep 0.1; done
fi
if [ -L "$2/postgres" ]; then rm -rf "$(readlink "$2/postgres")"; fi
rm -rf "$2" "$2.lock"
`
	watcher := exec.CommandContext(context.Background(), "/bin/sh", "-c", script, "pgtest", strconv.Itoa(run), dir)
	watcher.Dir = "/"
	// A session of its own, and none of our streams, for which `go test` would wait.
	watcher.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := watcher.Start(); err != nil {
		return fmt.Errorf("start the watcher of the server: %w", err)
	}
	return watcher.Process.Release()
}
