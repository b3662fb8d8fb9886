// Package pgtest gives each test a PostgreSQL database of its own.
//
//	func TestStore(t *testing.T) {
//		dsn := pgtest.New(t, store.Migrate)
//		…
//	}
//
// One private server serves all packages of a `go test` run: the first test that
// needs it makes it, and it goes when the run is over, also when a test was
// killed. The migrations run once, into a template database that PostgreSQL then
// copies for each test, which takes a few hundredths of a second. The server does not wait for
// the disk, so it proves nothing about power cuts; in all else it is the one of
// `latchkey up`.
//
// With LATCHKEY_TEST_DATABASE_URL (a DSN whose role may create databases) the
// databases are made there instead.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// New gives the DSN of a new database in which migrate has run, and drops the
// database when the test ends. migrate is a plain function such as store.Migrate
// (nil: an empty database): the same function is taken to make the same database
// all through a run, so it must not be a closure over something that differs.
func New(t testing.TB, migrate func(ctx context.Context, dsn string) error) string {
	t.Helper()
	ctx := context.Background() // the clean-up outlives the test's own
	s, err := theServer()
	if err != nil {
		t.Fatalf("start PostgreSQL for tests: %v", err)
	}
	name := "test_" + randomName()
	if err := s.create(ctx, name, migrate); err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return s.dsn(name)
}

// server is where the databases are made.
type server struct {
	base     *url.URL // a DSN that may create databases
	borrowed bool     // somebody's own server, which outlives this run
}

var theServer = sync.OnceValues(func() (*server, error) {
	dsn, borrowed := os.LookupEnv("LATCHKEY_TEST_DATABASE_URL")
	if !borrowed {
		var err error
		if dsn, err = startShared(); err != nil {
			return nil, err
		}
	}
	base, err := url.Parse(dsn)
	if err != nil || base.Scheme == "" {
		return nil, errors.New("LATCHKEY_TEST_DATABASE_URL is not a URL such as postgres://user:password@host/database")
	}
	return &server{base: base, borrowed: borrowed}, nil
})

func (s *server) dsn(database string) string {
	u := *s.base
	u.Path = "/" + database
	return u.String()
}

func (s *server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.base.String())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// create makes a database. On a borrowed server no template is kept: it would
// live on into runs whose migrations are other ones.
func (s *server) create(ctx context.Context, name string, migrate func(context.Context, string) error) error {
	if migrate == nil || s.borrowed {
		if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
			return err
		}
		if migrate == nil {
			return nil
		}
		return migrate(ctx, s.dsn(name))
	}
	template, err := s.template(ctx, migrate)
	if err != nil {
		return err
	}
	return s.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
}

// template gives the name of a database in which migrate has run. The packages of
// a run are processes of their own, so an advisory lock lets one of them make it,
// and only a finished one gets its final name.
func (s *server) template(ctx context.Context, migrate func(context.Context, string) error) (name string, err error) {
	hash := sha256.Sum256([]byte(runtime.FuncForPC(reflect.ValueOf(migrate).Pointer()).Name()))
	name = "template_" + hex.EncodeToString(hash[:8])
	conn, err := pgx.Connect(ctx, s.base.String())
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }() // and with it goes the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return "", fmt.Errorf("wait for the template: %w", err)
	}
	var made bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&made); err != nil || made {
		return name, err
	}
	unfinished := name + "_unfinished"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + unfinished + " WITH (FORCE)", "CREATE DATABASE " + unfinished} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("make the template: %w", err)
		}
	}
	if err := migrate(ctx, s.dsn(unfinished)); err != nil {
		return "", fmt.Errorf("migrate: %w", err)
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+name); err != nil {
		return "", fmt.Errorf("finish the template (migrate must close its connections): %w", err)
	}
	return name, nil
}

func randomName() string {
	bits := make([]byte, 8)
	_, _ = rand.Read(bits) // never fails, says its documentation
	return hex.EncodeToString(bits)
}
