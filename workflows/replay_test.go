package workflows_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"latchkey/workflows"
)

const histories = "testdata/histories"

// TestReplay replays recorded runs of every workflow with the code as it is: a
// change that recorded runs cannot follow would break items that are alive
// (DESIGN.md). Such a change needs workflow.GetVersion, and stays out of the
// recorded files.
func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(histories, "*.json"))
	if err != nil || len(files) < 8 {
		t.Fatalf("the corpus has %d recorded runs: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflow(workflows.Invitation)
			replayer.RegisterWorkflow(workflows.Panel)
			replayer.RegisterWorkflow(workflows.Outbox)
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
				t.Error(err)
			}
		})
	}
}

// The corpus must not be able to say who anybody is (E7).
func TestE7HistoriesHoldNothingPersonal(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(histories, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(document), "example.com") || strings.Contains(string(document), "Ana") {
			t.Errorf("%s has a name or an address in it", file)
		}
	}
}

var recordFrom = flag.String("record", "", "host:port of a Temporal frontend: add its runs in the namespace latchkey to the corpus")

// TestRecord adds runs of a real engine to the corpus. Play something against
// `latchkey up`, then run
//
//	go test ./workflows -run TestRecord -record 127.0.0.1:PORT
//
// with the address that it prints for Temporal. Recorded runs are never replaced:
// they are what items in the field look like.
func TestRecord(t *testing.T) {
	if *recordFrom == "" {
		t.Skip("give -record to add to the corpus")
	}
	ctx := context.Background()
	c, err := client.Dial(client.Options{HostPort: *recordFrom, Namespace: "latchkey"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	runs, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "latchkey", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	perType := map[string]int{}
	for _, run := range runs.GetExecutions() {
		name := run.GetType().GetName()
		if perType[name]++; name != "Invitation" && perType[name] > 2 {
			continue
		}
		history := &historypb.History{}
		events := c.GetWorkflowHistory(ctx, run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			history.Events = append(history.Events, event)
		}
		document, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(history)
		if err != nil {
			t.Fatal(err)
		}
		file := strings.ReplaceAll(run.GetExecution().GetWorkflowId(), "/", "-") + "-" + run.GetExecution().GetRunId()[:8] + ".json"
		if err := os.WriteFile(filepath.Join(histories, file), document, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("recorded %v", perType)
}
