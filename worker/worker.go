// Package worker serves the workflows and activities of Latchkey to Temporal, and
// runs the loops that connect Postgres with Temporal: the [Dispatcher], which
// wakes workflows for what transactions have committed, the [Sweeper], which
// finishes what a crash left half made (BEHAVIOUR.md E1, E2), the [Replanner], which
// follows changed zones and policies (T4), the [Teller], which tells people of such
// changes (I12), and the [Remover], which follows the removal of a member (I17).
package worker

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"latchkey/activities"
	"latchkey/workflows"
)

// New returns a worker for all of Latchkey's workflows and activities. Start and
// stop it.
func New(c client.Client, a *activities.Activities) worker.Worker {
	w := worker.New(c, workflows.TaskQueue, worker.Options{
		// When very many items are due in one instant, a worker holds their tasks
		// longer than the default five seconds; giving up the cache then costs a replay
		// for each.
		StickyScheduleToStartTimeout:     45 * time.Second,
		MaxConcurrentWorkflowTaskPollers: 8,
		MaxConcurrentActivityTaskPollers: 8,
		WorkerStopTimeout:                5 * time.Second,
	})
	Register(w, a)
	return w
}

// Register registers everything that recorded histories may refer to.
func Register(w worker.Registry, a *activities.Activities) {
	w.RegisterWorkflow(workflows.Invitation)
	w.RegisterWorkflow(workflows.Reservation)
	w.RegisterWorkflow(workflows.Panel)
	w.RegisterWorkflow(workflows.Outbox)
	w.RegisterActivity(a)
}
