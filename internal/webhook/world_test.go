package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey/api"
	"latchkey/internal/directory"
	"latchkey/internal/keyset"
	"latchkey/internal/pgtest"
	"latchkey/internal/store"
	"latchkey/internal/webhook"
)

// world is an engine that delivers webhooks: a real PostgreSQL, real HTTP.
type world struct {
	t       *testing.T
	dsn     string
	keyfile string
	store   *store.Store
	db      *pgxpool.Pool
	account string
	events  int
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dsn: pgtest.New(t, store.Migrate), keyfile: filepath.Join(t.TempDir(), "keyset.json")}
	keys, err := keyset.Create(w.keyfile)
	w.ok(err)
	w.store, err = store.Open(t.Context(), w.dsn, keys)
	w.ok(err)
	t.Cleanup(w.store.Close)
	w.db, err = pgxpool.New(t.Context(), w.dsn)
	w.ok(err)
	t.Cleanup(w.db.Close)
	w.account = w.newAccount("First")
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) newAccount(name string) string {
	w.t.Helper()
	a, err := w.store.CreateAccount(w.t.Context(), name, func(string) error { return nil }, time.Now())
	w.ok(err)
	return a.ID
}

// quick are pauses for tests: failures are many, days are short.
var quick = []time.Duration{time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond}

// serve delivers until the test ends or stop is called.
func (w *world) serve(schedule []time.Duration, allowPrivate bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- deliver(ctx, w.store, schedule, allowPrivate) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func deliver(ctx context.Context, s *store.Store, schedule []time.Duration, allowPrivate bool) error {
	log := slog.New(slog.DiscardHandler)
	return s.ServeWebhooks(ctx, func(waiting webhook.Deliveries) *webhook.Courier {
		return &webhook.Courier{Deliveries: waiting, Sender: webhook.NewSender(allowPrivate, "test"), Payload: api.WebhookPayload,
			Schedule: schedule, Clock: time.Now, Log: log}
	}, log)
}

// endpoint adds an endpoint of the first account.
func (w *world) endpoint(url string, events ...string) (directory.Webhook, string) {
	w.t.Helper()
	hook, secret, err := w.store.CreateWebhook(w.t.Context(), directory.Webhook{AccountID: w.account, URL: url, Events: events}, time.Now())
	w.ok(err)
	return hook, secret
}

// happen logs an event as every transaction of the engine does: one row.
func (w *world) happen(account, item, eventType string, n int) {
	w.t.Helper()
	w.events++
	_, err := w.db.Exec(w.t.Context(), insertEventSQL, fmt.Sprintf("evt_%d", w.events), account, eventType, time.Now(), item, n)
	w.ok(err)
}

const insertEventSQL = `INSERT INTO events (id, account_id, type, at, recorded_at, item_id, detail, dedup_key)
	VALUES ($1, $2, $3, $4, $4, nullif($5, ''), jsonb_build_object('n', $6::int), $1)`

// deliveries lists what an endpoint was or is to be sent, newest first.
func (w *world) deliveries(hook directory.Webhook, state directory.DeliveryState) []directory.Delivery {
	w.t.Helper()
	all, _, err := w.store.WebhookDeliveries(w.t.Context(), hook.AccountID, hook.ID, state, store.Page{Limit: 200}, time.Now())
	w.ok(err)
	return all
}

// await polls until what is awaited is so.
func (w *world) await(what string, within time.Duration, so func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(within); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("still not: %s", what)
		}
	}
}

// request is what reached a receiver.
type request struct {
	header http.Header
	body   []byte
	Type   string    `json:"type"`
	At     time.Time `json:"timestamp"`
	Data   struct {
		ID     string  `json:"id"`
		ItemID *string `json:"item_id"`
		Detail struct {
			N int `json:"n"`
		} `json:"detail"`
	} `json:"data"`
}

// receiver is an app. It answers as it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	status int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(answer http.ResponseWriter, q *http.Request) {
	got := request{header: q.Header.Clone()}
	var err error
	if got.body, err = io.ReadAll(q.Body); err == nil {
		err = json.Unmarshal(got.body, &got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	r.got = append(r.got, got)
	answer.WriteHeader(r.status)
}

func (r *receiver) answerWith(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) received() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}
