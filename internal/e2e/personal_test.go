package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/postgres"
	"latchkey/internal/story"
)

// checkNothingPersonal searches Temporal's tables, the engine's and its log for
// the names, addresses and secrets of the story (E7).
func (s *stage) checkNothingPersonal(play *story.Story) {
	s.t.Helper()
	secrets := []string{"Ana Lind", "Rosa Marques", play.GuestMail, play.HostMail, "bob@example.net"}
	for _, template := range []string{"invitation", "sign_in_code"} {
		for _, m := range must(play.Messages(s.t.Context(), play.GuestMail, template))(s.t) {
			if links, ok := m["links"].([]any); ok {
				for _, link := range links {
					if text, ok := link.(string); ok {
						secrets = append(secrets, text[len(text)-20:])
					}
				}
			}
		}
	}
	log, err := os.ReadFile(s.engine.log)
	if err != nil {
		s.t.Fatal(err)
	}
	search(s.t, "the log", log, secrets)
	cluster, err := postgres.Start(s.t.Context(), s.data, slog.New(slog.DiscardHandler)) // joins the running one
	if err != nil {
		s.t.Fatal(err)
	}
	for _, database := range []string{"temporal", "temporal_visibility", "latchkey"} {
		search(s.t, "database "+database, dump(s.t, cluster.AdminDSN(database)), secrets)
	}
}

func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// search looks for each secret as it is, in base64 and in hex.
func search(t *testing.T, where string, in []byte, secrets []string) {
	t.Helper()
	if len(in) < 1000 {
		t.Errorf("%s has only %d bytes: that cannot be all", where, len(in))
	}
	for _, secret := range secrets {
		encoded := base64.StdEncoding.EncodeToString([]byte(secret))
		for _, form := range []string{secret, encoded[:len(encoded)/4*4-4], hex.EncodeToString([]byte(secret))} {
			if bytes.Contains(in, []byte(form)) {
				t.Errorf("%s holds %q", where, form)
			}
		}
	}
}

// dump is every row of every table as text, with binary columns as they are.
func dump(t *testing.T, dsn string) []byte {
	t.Helper()
	ctx := t.Context()
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	rows, err := db.Query(ctx, `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, table := range tables {
		rows, err := db.Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			for _, value := range rows.RawValues() {
				all.Write(value)
				all.WriteByte(' ')
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.Bytes()
}
