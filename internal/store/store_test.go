package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/keyset"
	"latchkey/internal/pgtest"
	"latchkey/internal/store"
)

// noon is when the tests' stories begin.
var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// world is a store with a database of its own, and a second way into it by which
// a test sees what an intruder would.
type world struct {
	*store.Store
	t    *testing.T
	db   *pgx.Conn
	dsn  string
	keys *keyset.Keyset
}

func open(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, dsn: pgtest.New(t, store.Migrate)}
	var err error
	w.keys, err = keyset.Create(filepath.Join(t.TempDir(), "keyset.json"))
	w.ok(err)
	w.Store, err = store.Open(t.Context(), w.dsn, w.keys)
	w.ok(err)
	t.Cleanup(w.Close)
	w.db, err = pgx.Connect(t.Context(), w.dsn)
	w.ok(err)
	t.Cleanup(func() {
		if err := w.db.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused checks that err is an error with this code and gives it.
func (w *world) refused(err error, code string) *directory.Error {
	w.t.Helper()
	var e *directory.Error
	if !errors.As(err, &e) || e.Code != code {
		w.t.Fatalf("got %v, want the error %s", err, code)
	}
	return e
}

// number asks the database itself.
func (w *world) number(sql string, arguments ...any) (n int) {
	w.t.Helper()
	w.ok(w.db.QueryRow(w.t.Context(), sql, arguments...).Scan(&n))
	return n
}

func (w *world) account(name string) string {
	w.t.Helper()
	a, err := w.CreateAccount(w.t.Context(), name, func(string) error { return nil }, noon)
	w.ok(err)
	return a.ID
}

func (w *world) property(accountID string) directory.Property {
	w.t.Helper()
	p, err := w.CreateProperty(w.t.Context(), directory.Property{
		AccountID: accountID, Name: "Harbour House", TimeZone: "Europe/Lisbon", Policy: access.DefaultPolicy(),
	}, noon)
	w.ok(err)
	return p
}

func (w *world) member(accountID, name, address string, propertyIDs ...string) directory.Member {
	w.t.Helper()
	m, err := w.CreateMember(w.t.Context(), directory.Member{
		AccountID: accountID, Role: directory.RoleResident, PropertyIDs: propertyIDs,
		Person:      directory.Person{Name: name, Email: address, Locale: "en"},
		Preferences: directory.Preferences{Unlocks: directory.NotifyEmail},
	}, noon)
	w.ok(err)
	return m
}

func (w *world) panel(p directory.Property, kind directory.PanelKind) directory.Panel {
	w.t.Helper()
	slots := 0
	if kind == directory.PanelSmartBox {
		slots = 12
	}
	panel, err := w.CreatePanel(w.t.Context(), directory.Panel{
		AccountID: p.AccountID, PropertyID: p.ID, Name: "Gate", Kind: kind, Driver: "native", Slots: slots,
	}, []byte("hash"), noon.Add(24*time.Hour), noon)
	w.ok(err)
	return panel
}

func (w *world) entrance(panel directory.Panel) directory.Entrance {
	w.t.Helper()
	e, err := w.CreateEntrance(w.t.Context(), directory.Entrance{
		AccountID: panel.AccountID, PropertyID: panel.PropertyID, PanelID: panel.ID, Name: "Front door", Shareable: true,
	}, noon)
	w.ok(err)
	return e
}

// site is an account with one of everything.
type site struct {
	accountID string
	property  directory.Property
	panel     directory.Panel
	entrance  directory.Entrance
	member    directory.Member
}

func (w *world) site() site {
	w.t.Helper()
	s := site{accountID: w.account("Harbour")}
	s.property = w.property(s.accountID)
	s.panel = w.panel(s.property, directory.PanelDoor)
	s.entrance = w.entrance(s.panel)
	s.member = w.member(s.accountID, "Rita", "rita@example.com", s.property.ID)
	return s
}

// claim claims an invitation of the site's member that ends at an instant.
func (w *world) claim(s site, guest directory.Person, ends time.Time) access.Invitation {
	w.t.Helper()
	inv, err := w.ClaimInvitation(w.t.Context(), store.NewInvitation{
		AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, Guest: guest,
		EntranceIDs: []string{s.entrance.ID}, Window: access.Window{Start: noon, End: ends},
	}, nil, noon)
	w.ok(err)
	return inv
}

// invite is a claim that has been sent.
func (w *world) invite(s site, guest directory.Person, ends time.Time) access.Invitation {
	w.t.Helper()
	inv := w.claim(s, guest, ends)
	inv.Send(noon)
	_, err := w.RecordInvitation(w.t.Context(), inv, noon)
	w.ok(err)
	return inv
}

var ana = directory.Person{Name: "Ana", Email: "ana@example.com", Locale: "en"}

// Two processes that start together on an empty database both find it ready (E1).
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.New(t, nil)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := store.Migrate(t.Context(), dsn); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestOpenSaysWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	keys, err := keyset.Create(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none", keys)
	if err == nil {
		s.Close()
		t.Fatal("Open succeeded without a database")
	}
}

// The same lists after a restart, with the keyset that was there before.
func TestStoreOutlivesItsProcess(t *testing.T) {
	w := open(t)
	s := w.site()
	w.Close()
	again, err := store.Open(t.Context(), w.dsn, w.keys)
	w.ok(err)
	defer again.Close()
	m, err := again.Member(t.Context(), s.accountID, s.member.ID)
	w.ok(err)
	if m.Person.Name != "Rita" || m.Person.Email != "rita@example.com" || !m.CreatedAt.Equal(noon) {
		t.Errorf("read %+v", m)
	}
}

func TestListsAreNewestFirstAndComeInPages(t *testing.T) {
	w := open(t)
	accountID, otherID := w.account("Harbour"), w.account("Other")
	var want []string // newest first
	for range 7 {
		want = append([]string{w.property(accountID).ID}, want...)
		w.property(otherID)
	}
	var got []string
	page := store.Page{Limit: 3}
	for pages := 1; ; pages++ {
		list, next, err := w.Properties(t.Context(), accountID, page)
		w.ok(err)
		for _, p := range list {
			got = append(got, p.ID)
		}
		w.property(accountID) // what comes meanwhile does not push anything onto the next page
		if next == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		page.Cursor = next
	}
	if len(got) != len(want) {
		t.Fatalf("%d properties, want %d", len(got), len(want))
	}
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("place %d is %s, want %s", n, got[n], want[n])
		}
	}
}

// A full last page has no next one.
func TestNoCursorAfterTheLastPage(t *testing.T) {
	w := open(t)
	accountID := w.account("Harbour")
	for range 4 {
		w.property(accountID)
	}
	for limit, more := range map[int]bool{3: true, 4: false, 5: false, 0: false, 1000: false} {
		if _, next, err := w.Properties(t.Context(), accountID, store.Page{Limit: limit}); err != nil || (next != "") != more {
			t.Errorf("limit %d: cursor %q, %v", limit, next, err)
		}
	}
}

func TestForeignCursorsAreRefused(t *testing.T) {
	w := open(t)
	accountID := w.account("Harbour")
	for _, cursor := range []string{"x", "!!", "prop_1", "YWZ0ZXI"} {
		_, _, err := w.Properties(t.Context(), accountID, store.Page{Cursor: cursor})
		if e := w.refused(err, directory.CodeInvalid); e.Fields[0].Location != "query.cursor" {
			t.Errorf("%q: blames %s", cursor, e.Fields[0].Location)
		}
		_, _, err = w.Events(t.Context(), accountID, store.EventFilter{}, store.Page{Cursor: cursor})
		w.refused(err, directory.CodeInvalid)
	}
}

// E3: nothing in the log is ever changed or removed, not even by whoever has the
// engine's own role in the database.
func TestEventsAreAppendOnly(t *testing.T) {
	w := open(t)
	s := w.site()
	_, err := w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.SharingEnabled = false
		return nil
	}, noon)
	w.ok(err)
	before := w.number(`SELECT count(*) FROM events`)
	if before == 0 {
		t.Fatal("the story left no event")
	}
	for _, sql := range []string{
		`UPDATE events SET code = 'forged'`, `DELETE FROM events`, `TRUNCATE events`,
	} {
		if _, err := w.db.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s succeeded", sql)
		}
	}
	if after := w.number(`SELECT count(*) FROM events WHERE code <> 'forged'`); after != before {
		t.Errorf("%d events are left of %d", after, before)
	}
}

func TestEventsCanBeNarrowed(t *testing.T) {
	w := open(t)
	s := w.site()
	for n, at := range []time.Time{noon, noon.Add(time.Hour)} {
		_, err := w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
			p.Policy.MaxGuestsPerInviter = n + 1
			return nil
		}, at)
		w.ok(err)
	}
	inv := w.invite(s, ana, noon.Add(time.Hour))
	_, err := w.UpdateEntrance(t.Context(), s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error {
		e.Shareable = false
		return nil
	}, noon.Add(2*time.Hour))
	w.ok(err)
	for name, c := range map[string]struct {
		filter store.EventFilter
		want   int
	}{
		"all":              {store.EventFilter{}, 4},
		"property":         {store.EventFilter{PropertyID: s.property.ID}, 4},
		"another property": {store.EventFilter{PropertyID: "prop_other"}, 0},
		"entrance":         {store.EventFilter{EntranceID: s.entrance.ID}, 1},
		"item":             {store.EventFilter{ItemID: inv.ID}, 1},
		"type":             {store.EventFilter{Type: access.EventPolicyChanged}, 3},
		"since":            {store.EventFilter{Since: noon.Add(time.Hour)}, 2},
		"both":             {store.EventFilter{Type: access.EventPolicyChanged, Since: noon.Add(2 * time.Hour)}, 1},
	} {
		events, _, err := w.Events(t.Context(), s.accountID, c.filter, store.Page{})
		w.ok(err)
		if len(events) != c.want {
			t.Errorf("%s: %d events, want %d", name, len(events), c.want)
		}
		for n := 1; n < len(events); n++ {
			if events[n].ID > events[n-1].ID {
				t.Errorf("%s: not newest first", name)
			}
		}
	}
}

// A page of the log continues where the one before ended.
func TestEventsComeInPages(t *testing.T) {
	w := open(t)
	s := w.site()
	const changes = 5
	for n := range changes {
		_, err := w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
			p.Policy.MaxGuestsPerInviter = n + 1
			return nil
		}, noon)
		w.ok(err)
	}
	seen := map[string]bool{}
	page := store.Page{Limit: 2}
	for {
		events, next, err := w.Events(t.Context(), s.accountID, store.EventFilter{Type: access.EventPolicyChanged}, page)
		w.ok(err)
		for _, e := range events {
			seen[e.ID] = true
		}
		if next == "" {
			break
		}
		page.Cursor = next
	}
	if len(seen) != changes {
		t.Errorf("%d events were listed, want %d", len(seen), changes)
	}
}
