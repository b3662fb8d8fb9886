package simulation_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/testsuite"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/directory"
	"latchkey/internal/keyset"
	"latchkey/internal/panel"
	"latchkey/internal/pgtest"
	"latchkey/internal/store"
	"latchkey/internal/story"
	"latchkey/workflows"
)

// clock is the time of the simulation.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is a property as the simulation set it up and changed it.
type place struct {
	id        string
	manager   string // a member
	host      string // a member
	onSite    bool   // verification is needed
	locked    ledger[bool]
	sharing   ledger[bool]
	entrances []*door
	keys      []string
}

// door is an entrance, with what was true of it when.
type door struct {
	id    string
	at    *place
	panel *sim
	night ledger[bool] // open to guests from 22:00 to 06:00 only
}

// ledger is what was true from when on.
type ledger[T any] []entry[T]

type entry[T any] struct {
	from  time.Time
	value T
}

func (l *ledger[T]) set(from time.Time, value T) { *l = append(*l, entry[T]{from, value}) }

// at is what was true at an instant.
func (l ledger[T]) at(t time.Time) (value T) {
	for _, e := range l {
		if !e.from.After(t) {
			value = e.value
		}
	}
	return value
}

// world is the account, its panels and everybody in it.
type world struct {
	*testing.T
	ctx        context.Context
	clock      *clock
	rnd        *rand.Rand
	store      *store.Store
	db         *pgxpool.Pool
	account    string
	engine     panel.Engine
	server     *httptest.Server
	activities *activities.Activities
	run        *testsuite.TestActivityEnvironment
	opener     *activities.Opener

	places []*place
	sims   []*sim
	guests []*guest
	visits []*visit
	passes []*held
	tally  map[string]int

	phone   ed25519.PrivateKey
	session string
}

func must[V any](value V, err error) func(t testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// begin makes an engine without Temporal: a store, the API for panels, and the
// activities that workflows would run.
func begin(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		T: t, ctx: t.Context(), clock: &clock{now: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)},
		rnd: rand.New(rand.NewPCG(seed, seed)), tally: map[string]int{}, //nolint:gosec // a simulation is to be repeatable
	}
	dsn := pgtest.New(t, store.Migrate)
	keys := must(keyset.Create(filepath.Join(t.TempDir(), "keyset.json")))(t)
	w.store = must(store.Open(w.ctx, dsn, keys))(t)
	t.Cleanup(w.store.Close)
	w.db = must(pgxpool.New(w.ctx, dsn))(t)
	t.Cleanup(w.db.Close)
	w.account = must(w.store.CreateAccount(w.ctx, "Simulation", func(string) error { return nil }, w.clock.Now()))(t).ID
	key := must(w.store.EngineKey(w.ctx, w.clock.Now()))(t)
	w.engine = panel.Engine{KeyID: key.ID, Key: key.Private}
	client := panel.NewClient(w.engine)
	client.Now = w.clock.Now
	driver := &api.PanelDriver{Client: client, Reach: api.Reach{Store: w.store, Keys: w.engine, Clock: w.clock.Now}}
	w.opener = activities.NewOpener(w.store, driver, w.clock.Now, slog.New(slog.DiscardHandler))
	handler := must(api.New(api.Config{
		Store: w.store, Logger: slog.New(slog.DiscardHandler), Engine: w.engine, Clock: w.clock.Now,
		Items: &workflows.Client{}, Reservations: &workflows.Client{}, Doors: w.opener,
	}))(t)
	w.server = httptest.NewServer(handler)
	t.Cleanup(w.server.Close)
	w.activities = &activities.Activities{Records: w.store, Grants: w.store, Panels: driver, Clock: w.clock.Now}
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(quiet{})
	w.run = suite.NewTestActivityEnvironment()
	w.run.RegisterActivity(w.activities)
	return w
}

// quiet is a logger of the SDK that says nothing: a panel that does not answer is no
// news here.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func (w *world) member(p *place, name string, role directory.Role) string {
	w.Helper()
	m := must(w.store.CreateMember(w.ctx, directory.Member{
		AccountID: w.account, Role: role, PropertyIDs: []string{p.id},
		Person:      directory.Person{AccountID: w.account, Name: name, Email: fmt.Sprintf("%s-%s@example.com", name, p.id), Locale: "en"},
		Preferences: directory.Preferences{Unlocks: directory.NotifyMuted},
	}, w.clock.Now()))(w)
	return m.ID
}

// sim is a simulated panel and its control interface.
type sim struct {
	id      string
	box     bool
	at      *place
	doors   []*door
	control *story.Client
	fault   string
}
