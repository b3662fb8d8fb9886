package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/keyset"
	"latchkey/internal/postgres"
	"latchkey/internal/store"
	"latchkey/workflows"
)

// baseline is the least that an unlock could be: the same HTTP route, behind which
// there are only two one-row commits in the same PostgreSQL with one loopback POST
// between them.
type baseline struct {
	store  *store.Store
	pool   *pgxpool.Pool
	server *httptest.Server
	panel  *httptest.Server
}

// startBaseline serves the real API with other doors behind it.
func startBaseline(ctx context.Context, dataDir string) (*baseline, error) {
	cluster, err := postgres.Start(ctx, dataDir, slog.New(slog.DiscardHandler)) // finds the engine's own and joins it
	if err != nil {
		return nil, err
	}
	keys, err := keyset.Load(filepath.Join(dataDir, "keyset.json"))
	if err != nil {
		return nil, err
	}
	b := &baseline{}
	if b.store, err = store.Open(ctx, cluster.DSN("latchkey"), keys); err != nil {
		return nil, err
	}
	if b.pool, err = pgxpool.New(ctx, cluster.DSN("latchkey")); err != nil {
		return nil, err
	}
	if _, err := b.pool.Exec(ctx, `CREATE TABLE bench (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, result text)`); err != nil {
		return nil, err
	}
	handler, err := api.New(api.Config{
		Store: b.store, Logger: slog.New(slog.DiscardHandler), Doors: b, Items: &workflows.Client{}, Reservations: &workflows.Client{},
		Engine: api.StoredKeys{Store: b.store},
	})
	if err != nil {
		return nil, err
	}
	b.panel = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	b.server = httptest.NewServer(handler)
	return b, nil
}

func (b *baseline) stop() error {
	b.server.Close()
	b.panel.Close()
	_, err := b.pool.Exec(context.Background(), `DROP TABLE bench`)
	b.pool.Close()
	b.store.Close()
	return err
}

// Unlock implements api.Doors.
func (b *baseline) Unlock(ctx context.Context, _ activities.UnlockRequest) (activities.Outcome, error) {
	var id int64
	if err := b.pool.QueryRow(ctx, `INSERT INTO bench (result) VALUES ('') RETURNING id`).Scan(&id); err != nil {
		return activities.Outcome{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.panel.URL, strings.NewReader("{}"))
	if err != nil {
		return activities.Outcome{}, err
	}
	response, err := b.panel.Client().Do(request)
	if err != nil {
		return activities.Outcome{}, err
	}
	if err := response.Body.Close(); err != nil {
		return activities.Outcome{}, err
	}
	_, err = b.pool.Exec(ctx, `UPDATE bench SET result = 'opened' WHERE id = $1`, id)
	return activities.Outcome{Result: activities.ResultOpened, EventID: "evt_baseline"}, err
}

// OpenSlot implements api.Doors; nothing here asks for it.
func (b *baseline) OpenSlot(context.Context, activities.SlotRequest) (activities.Outcome, error) {
	return activities.Outcome{Result: activities.ResultUnreachable}, nil
}

// noOp is a workflow that answers an update with nothing: what Temporal alone costs.
type noOp struct {
	client client.Client
	worker worker.Worker
}

const noOpName = "bench"

func noOpWorkflow(ctx workflow.Context) error {
	err := workflow.SetUpdateHandler(ctx, noOpName, func(workflow.Context) error { return nil })
	if err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	return nil
}

func startNoOp(ctx context.Context, address string) (*noOp, error) {
	c, err := client.Dial(client.Options{HostPort: address, Namespace: "latchkey", Logger: discard{}})
	if err != nil {
		return nil, err
	}
	w := worker.New(c, noOpName, worker.Options{})
	w.RegisterWorkflow(noOpWorkflow)
	if err := w.Start(); err != nil {
		return nil, err
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: noOpName, TaskQueue: noOpName}, noOpWorkflow)
	return &noOp{client: c, worker: w}, err
}

func (n *noOp) stop() {
	n.worker.Stop()
	n.client.Close()
}

func (n *noOp) update(ctx context.Context) error {
	handle, err := n.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: noOpName, UpdateName: noOpName, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// discard is a logger of the SDK that says nothing.
type discard struct{}

func (discard) Debug(string, ...any) {}
func (discard) Info(string, ...any)  {}
func (discard) Warn(string, ...any)  {}
func (discard) Error(string, ...any) {}

// timings are how long one thing took, each time.
type timings []time.Duration

// at is a percentile.
func (t timings) at(percent int) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

// samples are timings by what was timed.
type samples map[string]timings

func (s samples) print(order ...string) {
	fmt.Printf("  %-14s %8s %8s %8s %8s %8s\n", "ms", "p50", "p90", "p99", "max", "count")
	for _, name := range order {
		t := s[name]
		fmt.Printf("  %-14s %8.2f %8.2f %8.2f %8.2f %8d\n", name, ms(t.at(50)), ms(t.at(90)), ms(t.at(99)), ms(t.at(100)), len(t))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	begin := time.Now()
	err := do(ctx)
	return time.Since(begin), err
}

// measure does each thing in turn, so that all of them meet the same machine.
func measure(ctx context.Context, count int, things map[string]func(context.Context) error) (samples, error) {
	all := samples{}
	for n := range benchWarmUp + count {
		for _, name := range slices.Sorted(maps.Keys(things)) {
			took, err := timed(ctx, things[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if n >= benchWarmUp {
				all[name] = append(all[name], took)
			}
		}
	}
	return all, nil
}
