// Package store keeps everything in PostgreSQL: the directory, the committed facts
// about invitations that decisions read, what panels should hold and do hold, the
// append-only event log, and the rows that wait to become messages or signals.
//
// Three things hold everywhere:
//
//   - One change is one transaction: the facts, their events, the messages and
//     wake-ups they owe. A crash leaves all of it or nothing (BEHAVIOUR.md E1).
//   - Every query of a tenant names the account; another account's id is not found
//     (E8).
//   - Personal fields are encrypted under a key per person, and secrets are hashed or
//     sealed (E7). Functions take and give plain text; what is on disk is not.
//
// Instants are passed in by the caller, kept in UTC and to the microsecond, which
// is what PostgreSQL keeps.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/rs/xid"

	"latchkey/internal/directory"
	"latchkey/internal/keyset"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date. Two processes that start together do it
// once.
func Migrate(ctx context.Context, dsn string) (err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	connection, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	const migrationLock = 7_262_001 // any number that nobody else locks
	if _, err := connection.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	if err := migrateJobs(ctx, dsn); err != nil {
		return err
	}
	_, err = connection.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, migrationLock)
	return err
}

// Store is the database of the engine. It is safe for concurrent use.
type Store struct {
	authentications authentications
	keyrings        keyrings
	exchange        exchange

	pool *pgxpool.Pool
	keys *keyset.Keyset
	dsn  string
}

// poolSize is how many connections one process takes. Unlocks hold one for a few
// milliseconds at a time.
const poolSize = 20

// restConnections gives connections back soon after a burst: each holds a process of
// PostgreSQL with megabytes of its own.
func restConnections(config *pgxpool.Config) {
	config.MaxConnIdleTime, config.HealthCheckPeriod = 30*time.Second, 15*time.Second
}

// Open connects. The schema must be up to date.
func Open(ctx context.Context, dsn string, keys *keyset.Keyset) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = max(config.MaxConns, poolSize)
	config.MinConns = 2
	restConnections(config)
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, keys: keys, dsn: dsn}
	if err := s.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() {
	s.exchange.close()
	s.pool.Close()
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// transactionTries is how often a transaction is run before a conflict with others
// is an error.
const transactionTries = 5

// inTx runs fn in a transaction and commits. fn runs again if the database found
// that it collided with another, so it must start from nothing each time. What
// was deleted by somebody else while fn needed it is a conflict.
func (s *Store) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return inTx(ctx, s.pool, fn)
}

func inTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, pool, fn)
		if lostReference(err) {
			return &directory.Error{Code: directory.CodeConflict,
				Detail: "Something that this needs was deleted, or came into use, at this very moment. Read it again and repeat the request."}
		}
		if err == nil || try == transactionTries || !collided(err) {
			return err
		}
	}
}

func lostReference(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23503"
}

func collided(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

// violates reports whether err says that a constraint was violated.
func violates(err error, constraint string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.ConstraintName == constraint
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// newID makes an id: sortable by time, and never a secret.
func newID(prefix string) string { return prefix + "_" + xid.New().String() }

// instant is a time as PostgreSQL will give it back.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Page is a place in a listing and how much of it is wanted.
type Page struct {
	Limit  int    // 1 to 200; 0 is the default of 50
	Cursor string // what the page before gave; empty for the first
}

func (p Page) limit() int {
	if p.Limit <= 0 {
		return 50
	}
	return min(p.Limit, 200)
}

const cursorPrefix = "after:"

// after is the id that the page begins behind, empty for the first page.
func (p Page) after() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	id, ours := strings.CutPrefix(string(decoded), cursorPrefix)
	if err != nil || !ours {
		return "", directory.Invalid("query.cursor", "This is not a cursor of this listing. Use next_cursor of the page before, or none.")
	}
	return id, nil
}

func cursorAfter(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + id))
}

// cut takes a page of limit out of rows that were read one too many.
func cut[T any](rows []T, limit int, id func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], cursorAfter(id(rows[limit-1]))
}

// stale says that an item is no longer at the revision the caller has seen.
func stale(what string) error {
	return &directory.Error{Code: directory.CodePreconditionFailed,
		Detail: fmt.Sprintf("The %s has changed since you read it. Read it again and repeat the change.", what)}
}
