package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/postgres"
	"latchkey/internal/story"
)

// baseline is the least that an unlock could be: the same HTTP route doing two
// one-row commits in the same PostgreSQL with one loopback POST between them.
type baseline struct {
	pool   *pgxpool.Pool
	server *httptest.Server
	panel  *httptest.Server
	client *story.Client
}

func startBaseline(ctx context.Context, dataDir string) (*baseline, error) {
	cluster, err := postgres.Start(ctx, dataDir, slog.New(slog.DiscardHandler)) // finds the engine's own and joins it
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, cluster.DSN("latchkey"))
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE bench (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, result text)`); err != nil {
		return nil, err
	}
	b := &baseline{pool: pool}
	b.panel = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/v1/invitations/:id/unlock", b.unlock)
	b.server = httptest.NewServer(engine)
	b.client = story.NewClient(b.server.URL, "")
	return b, nil
}

func (b *baseline) stop() error {
	b.server.Close()
	b.panel.Close()
	_, err := b.pool.Exec(context.Background(), `DROP TABLE bench`)
	b.pool.Close()
	return err
}

func (b *baseline) unlock(c *gin.Context) {
	var id int64
	err := b.pool.QueryRow(c, `INSERT INTO bench (result) VALUES ('') RETURNING id`).Scan(&id)
	if err == nil {
		var response *http.Response
		var request *http.Request
		if request, err = http.NewRequestWithContext(c, http.MethodPost, b.panel.URL, strings.NewReader("{}")); err == nil {
			if response, err = b.panel.Client().Do(request); err == nil {
				err = response.Body.Close()
			}
		}
	}
	if err == nil {
		_, err = b.pool.Exec(c, `UPDATE bench SET result = 'opened' WHERE id = $1`, id)
	}
	if err != nil {
		c.JSON(http.StatusInternalServerError, gin.H{"detail": err.Error()})
		return
	}
	c.JSON(http.StatusOK, gin.H{"result": "opened"})
}

func (b *baseline) ask(ctx context.Context) error {
	answer, err := b.client.Post(ctx, "/v1/invitations/inv_x/unlock", "", map[string]any{"entrance_id": "ent_x"})
	if err == nil && answer.Status != http.StatusOK {
		err = errors.New(answer.Body.Text("detail"))
	}
	return err
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
