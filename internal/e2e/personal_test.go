package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/postgres"
	"latchkey/internal/story"
)

// checkNothingPersonal searches Temporal's tables, the engine's own and all logs
// for the names, addresses, tokens and codes of the story (E7).
func (s *stage) checkNothingPersonal(play *story.Story) {
	s.t.Helper()
	personal := []string{"Ana Lind", "Rosa Marques", play.GuestMail, play.HostMail, "bob@example.net", "ana.lind", "rosa.marques"}
	personal = append(personal, s.witness.known()...)
	for _, m := range must(play.Engine.Get(s.t.Context(), "/dev/outbox"))(s.t).Body.List("items") {
		links, _ := m["links"].([]any) // none is no link
		for _, link := range links {
			if text, ok := link.(string); ok && strings.Contains(text, "/i/") {
				personal = append(personal, path.Base(text))
			}
		}
	}
	places := []string{"Harbour House", "Lobby", "Garage", "quay side"} // nobody's, but no business of Temporal and logs
	s.t.Logf("searching for %d names and secrets", len(personal))

	everything := append(personal, places...)
	for _, log := range []string{s.engine.log, filepath.Join(s.data, "postgres.log")} {
		text, err := os.ReadFile(log)
		if err != nil {
			s.t.Fatal(err)
		}
		search(s.t, filepath.Base(log), text, everything)
	}
	cluster := s.cluster()
	for _, database := range []string{"temporal", "temporal_visibility"} {
		search(s.t, "database "+database, dump(s.t, cluster.AdminDSN(database)), everything)
	}
	search(s.t, "database latchkey", dump(s.t, cluster.AdminDSN("latchkey")), personal)
}

// cluster joins the PostgreSQL of the running engine.
func (s *stage) cluster() *postgres.Cluster {
	s.t.Helper()
	return must(postgres.Start(s.t.Context(), s.data, slog.New(slog.DiscardHandler)))(s.t)
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

// search looks for each secret in every form that find knows.
func search(t *testing.T, where string, in []byte, secrets []string) {
	t.Helper()
	if len(in) < 300 {
		t.Errorf("%s has only %d bytes: that cannot be all", where, len(in))
	}
	for _, secret := range secrets {
		if form := find(in, secret); form != "" {
			t.Errorf("E7: %s holds %q as %q", where, secret, form)
		}
	}
}

// find looks for a secret as it is, in hex, and in base64 at each of its three
// alignments. It returns the form that is there. A short one or a number, such as a
// code, only counts as a word of its own.
func find(in []byte, secret string) string {
	if len(secret) < 8 || strings.Trim(secret, "0123456789") == "" {
		word := regexp.MustCompile(`(?i)(^|[^0-9a-z.+/_-])` + regexp.QuoteMeta(secret) + `($|[^0-9a-z.+/_-])`)
		return string(word.Find(in))
	}
	lower := bytes.ToLower(in)
	for _, form := range []string{strings.ToLower(secret), hex.EncodeToString([]byte(secret))} {
		if bytes.Contains(lower, []byte(form)) {
			return form
		}
	}
	for shift := range 3 {
		// The characters that do not depend on what is before and after the secret.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		core := encoded[(shift*8+5)/6 : (shift+len(secret))*8/6]
		for _, form := range []string{core, strings.NewReplacer("+", "-", "/", "_").Replace(core)} {
			if bytes.Contains(in, []byte(form)) {
				return form
			}
		}
	}
	return ""
}

// TestSearchFinds makes sure that the search could find what it is to find.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	secret := "ana.lind@example.com"
	for _, text := range []string{
		"to " + strings.ToUpper(secret), hex.EncodeToString([]byte("x" + secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte("a" + secret + "bc")),
		base64.StdEncoding.EncodeToString([]byte("ab" + secret + "d")),
	} {
		if find([]byte("{"+text+"}"), secret) == "" {
			t.Errorf("%q is not found in %q", secret, text)
		}
	}
	if find([]byte(`"code 123456."`), "123456") != "" || find([]byte(`{"code": "123456"}`), "123456") == "" {
		t.Error("codes are not told from parts of numbers")
	}
}

// dump is every row of every table, text as it is and binary columns as their bytes.
func dump(t *testing.T, dsn string) []byte {
	t.Helper()
	ctx := t.Context()
	db := must(pgx.Connect(ctx, dsn))(t)
	defer func() {
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	rows := must(db.Query(ctx, `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`))(t)
	tables := must(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
	var all bytes.Buffer
	for _, table := range tables {
		rows := must(db.Query(ctx, "SELECT * FROM "+table))(t)
		for rows.Next() {
			for _, value := range rows.RawValues() {
				all.Write(value)
				all.WriteByte(' ')
			}
			all.WriteByte('\n')
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.Bytes()
}

// ask is the one value that a query gives.
func ask[T any](t *testing.T, dsn, query string) T {
	t.Helper()
	ctx := t.Context()
	db := must(pgx.Connect(ctx, dsn))(t)
	defer func() {
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	rows := must(db.Query(ctx, query))(t)
	return must(pgx.CollectExactlyOneRow(rows, pgx.RowTo[T]))(t)
}
