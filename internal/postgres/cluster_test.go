package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/postgres"
)

// newDataDir gives a data directory that the server's account can reach, which
// testing's own is not for root.
func newDataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "latchkey-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func start(t *testing.T, dir string) *postgres.Cluster {
	t.Helper()
	c, err := postgres.Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *postgres.Cluster) {
	t.Helper()
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func ask(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(values, ",")
}

func wantCode(t *testing.T, err error, code postgres.Code, words ...string) {
	t.Helper()
	var trouble *postgres.Error
	if !errors.As(err, &trouble) || trouble.Code != code {
		t.Fatalf("got %v, want an error with code %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(trouble.Sentence, word) {
			t.Errorf("the sentence does not say %q: %s", word, trouble.Sentence)
		}
	}
}

func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// A second start goes on where the first one stopped, with its data and promises.
func TestStartsAgainOnItsData(t *testing.T) {
	dir := newDataDir(t)
	first := start(t, dir)
	ask(t, first.DSN(postgres.Database), "CREATE TABLE doors AS SELECT 'front' AS name")
	stop(t, first)

	second := start(t, dir)
	dsn := second.DSN(postgres.Database)
	if got := ask(t, dsn, "SELECT name FROM doors"); got != "front" {
		t.Errorf("after the second start the table holds %q", got)
	}
	for setting, want := range map[string]string{
		"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "data_checksums": "on",
		"log_error_verbosity": "terse", "log_min_error_statement": "panic", "server_encoding": "UTF8", "TimeZone": "UTC",
	} {
		if got := ask(t, dsn, "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := ask(t, dsn, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user"); got != "false" {
		t.Errorf("the application's role is a superuser: %s", got)
	}
	info, err := os.Stat(filepath.Join(dir, "postgres-password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file: %v, %v", info.Mode(), err)
	}
	if _, err := pgx.Connect(t.Context(), strings.Replace(dsn, "latchkey:", "latchkey:x", 1)); err == nil {
		t.Error("a wrong password was let in")
	}
}

// E1: a killed `latchkey up` leaves its server running, and the next one goes on
// with it, even if the file with the password was lost meanwhile.
func TestGoesOnWithALeftoverServer(t *testing.T) {
	dir := newDataDir(t)
	start(t, dir)
	pid := postmasterPID(t, dir)
	if err := os.Remove(filepath.Join(dir, "postgres-password")); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if now := postmasterPID(t, dir); now != pid {
		t.Errorf("a new server was started: %d, then %d", pid, now)
	}
	ask(t, again.DSN(postgres.Database), "SELECT 'connected'")
}

// E1: the server itself was killed, and its number belongs to another process now.
func TestRecoversFromAKilledServer(t *testing.T) {
	dir := newDataDir(t)
	c := start(t, dir)
	ask(t, c.DSN(postgres.Database), "CREATE TABLE doors AS SELECT 'front' AS name")
	pid := postmasterPID(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postgres", "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.Replace(string(text), strconv.Itoa(pid), strconv.Itoa(os.Getpid()), 1)
	if err := os.WriteFile(path, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if got := ask(t, again.DSN(postgres.Database), "SELECT name FROM doors"); got != "front" {
		t.Errorf("after the crash the table holds %q", got)
	}
}

func TestLeavesAForeignDirectoryAlone(t *testing.T) {
	dir := newDataDir(t)
	theirs := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(theirs, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	wantCode(t, err, postgres.CodeForeignDirectory, dir, "left alone", "--data")
	_, err = postgres.LockDataDir(dir)
	wantCode(t, err, postgres.CodeForeignDirectory, dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory was touched: %v, %v", entries, err)
	}
}

func TestLeavesAForeignClusterAlone(t *testing.T) {
	dir := newDataDir(t)
	lock, err := postgres.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = postgres.Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	wantCode(t, err, postgres.CodeForeignDirectory, "left alone")
}

func TestNamesTheUpgradeOfAForeignVersion(t *testing.T) {
	dir := newDataDir(t)
	stop(t, start(t, dir))
	version := filepath.Join(dir, "postgres", "PG_VERSION")
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	wantCode(t, err, postgres.CodeForeignVersion, "PostgreSQL 9", "pg_upgrade", "postgresql-9")
}

func TestSecondUpIsToldWhoHoldsTheDirectory(t *testing.T) {
	dir := filepath.Join(newDataDir(t), "made", "by", "us")
	lock, err := postgres.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC() // a lock that nobody looks at is held all the same
	runtime.GC()
	_, err = postgres.LockDataDir(dir)
	wantCode(t, err, postgres.CodeInUse, dir, "pid "+strconv.Itoa(os.Getpid()))
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	lock, err = postgres.LockDataDir(dir)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// A start that was killed inside initdb leaves a half made cluster, which the
// next one replaces. The directory's long name does not fit a socket's.
func TestRecoversFromAKilledFirstStart(t *testing.T) {
	dir := filepath.Join(newDataDir(t), strings.Repeat("a long name with spaces, ", 6))
	lock, err := postgres.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "postgres.new-1")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // the way to it is open to the server's account
		if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	c := start(t, dir)
	ask(t, c.DSN(postgres.Database), "SELECT 'connected'")
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half made cluster is still there: %v", err)
	}
}
