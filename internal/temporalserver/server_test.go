package temporalserver_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/postgres"
	"latchkey/internal/temporalserver"
)

const (
	queue      = "doors"
	workflowID = "invitation/inv_1"
)

var state = temporal.NewSearchAttributeKeyKeyword("LatchkeyState")

// invited waits for its acceptance, and shows the operator how far it is.
func invited(ctx workflow.Context) (string, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, state.ValueSet("invited")); err != nil {
		return "", err
	}
	var by string
	workflow.GetSignalChannel(ctx, "accept").Receive(ctx, &by)
	err := workflow.UpsertTypedSearchAttributes(ctx, state.ValueSet("accepted"))
	return by, err
}

// E1, E9: what waits in Temporal goes on where it was when Temporal was stopped
// and started again in the same process, on the same port and data. Clients and
// workers do nothing for it.
func TestGoesOnAfterAStop(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	pg := startPostgres(t)
	uiAddr := "127.0.0.1:" + strconv.Itoa(freePort(t))
	first := startTemporal(t, temporalserver.Config{Postgres: pg, UIAddr: uiAddr}, log)

	c, err := client.Dial(client.Options{HostPort: first.HostPort(), Namespace: first.Namespace(), Logger: sdklog.NewStructuredLogger(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(invited)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: queue,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword("LatchkeyAccount").ValueSet("acc_1"),
			temporal.NewSearchAttributeKeyKeyword("LatchkeyProperty").ValueSet("prop_1"),
			temporal.NewSearchAttributeKeyTime("LatchkeyNextDeadline").ValueSet(time.Now().Add(time.Hour)),
		),
	}, invited)
	if err != nil {
		t.Fatal(err)
	}
	awaitFound(t, c, `LatchkeyState = "invited" AND LatchkeyAccount = "acc_1" AND LatchkeyProperty = "prop_1" AND LatchkeyNextDeadline > "2020-01-01T00:00:00Z"`)
	checkUI(t, first.UIURL())
	_, portText, _ := net.SplitHostPort(first.HostPort())
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	first.Stop()
	first.Stop() // does nothing more

	second := startTemporal(t, temporalserver.Config{Postgres: pg, UIAddr: uiAddr, FrontendPort: port}, log)
	if second.HostPort() != first.HostPort() {
		t.Errorf("the second start answers on %s, the first did on %s", second.HostPort(), first.HostPort())
	}
	if err := c.SignalWorkflow(t.Context(), workflowID, "", "accept", "per_1"); err != nil {
		t.Fatal(err)
	}
	var by string
	if err := run.Get(t.Context(), &by); err != nil || by != "per_1" {
		t.Errorf("after the second start the workflow ended with %q, %v", by, err)
	}
	awaitFound(t, c, `LatchkeyState = "accepted"`)

	_, err = temporalserver.Start(t.Context(), temporalserver.Config{Postgres: pg, UIAddr: uiAddr}, log)
	wantTaken(t, err, uiAddr, "give --temporal-ui another address")
	_, err = temporalserver.Start(t.Context(), temporalserver.Config{Postgres: pg, FrontendPort: port}, log)
	wantTaken(t, err, second.HostPort(), "--temporal-port")
}

func startPostgres(t *testing.T) *postgres.Cluster {
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
	lock, err := postgres.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pg, err := postgres.Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pg.Stop(context.Background()), lock.Release()); err != nil {
			t.Error(err)
		}
	})
	return pg
}

func startTemporal(t *testing.T, cfg temporalserver.Config, log *slog.Logger) *temporalserver.Server {
	t.Helper()
	begin := time.Now()
	server, err := temporalserver.Start(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Temporal started in %s", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(server.Stop)
	return server
}

func freePort(t *testing.T) int {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// awaitFound waits until a search finds the workflow; the index follows by itself.
func awaitFound(t *testing.T, c client.Client, query string) {
	t.Helper()
	for t.Context().Err() == nil {
		found, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		if found.GetCount() == 1 {
			return
		}
	}
}

// The UI serves its page and Latchkey's namespace, and lets no other site read it.
func checkUI(t *testing.T, url string) {
	t.Helper()
	for _, path := range []string{"/namespaces/latchkey/workflows", "/api/v1/namespaces/latchkey"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://elsewhere.example")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("the UI answers %s to %s", response.Status, path)
		}
		if open := response.Header.Get("Access-Control-Allow-Origin"); open != "" {
			t.Errorf("the UI lets %s read %s", open, path)
		}
	}
}

func wantTaken(t *testing.T, err error, addr, remedy string) {
	t.Helper()
	var taken *temporalserver.TakenError
	_, port, _ := net.SplitHostPort(addr)
	if !errors.As(err, &taken) || !strings.Contains(err.Error(), "port "+port+" is taken") || !strings.Contains(err.Error(), remedy) {
		t.Errorf("got %v, want a sentence that port %s is taken and to %s", err, port, remedy)
	}
}
