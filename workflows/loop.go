package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/access"
)

// item is the state of a workflow that lives by deadlines.
type item interface {
	// History is what the item keeps about its own changes.
	History() *access.Ledger
	// Next says the one thing that is due at now, or how long to wait.
	Next(now time.Time) access.Deadline
	// Fire carries out a deadline that needs no activity.
	Fire(d access.Deadline, now time.Time)
}

// run is one run of an item's workflow. Handlers change the item; only the loop
// records and performs.
type run struct {
	item    item
	wakes   workflow.ReceiveChannel
	perform map[access.Action]func(ctx workflow.Context) error // actions that need an activity
	woken   func(ctx workflow.Context)                         // what a wake-up is about
	show    func(ctx workflow.Context, next access.Deadline) error
	again   func(ctx workflow.Context) error // continue as new with the whole state
	changes int                              // counts what handlers did, so that a sleeping loop looks again

	// adopted counts how often the state was replaced by what Postgres held. Handlers
	// whose change is not in it apply it again.
	adopted int
	// released is set once Postgres said that the claim is gone.
	released error
}

// recordOptions are for activities that read or write a few rows and nothing
// else: they run in the worker that has the workflow, without a task of their own.
func recordOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
		Summary:             summary,
	})
}

// loop does what is due until the item closes. It is the only place that sleeps.
func (r *run) loop(ctx workflow.Context) error {
	for {
		r.drain(ctx)
		now := workflow.Now(ctx)
		next := r.item.Next(now)
		switch next.What {
		case access.ActionWait:
			if err := r.show(ctx, next); err != nil {
				return err
			}
			if workflow.GetInfo(ctx).GetContinueAsNewSuggested() { // once nobody waits for an answer of this run
				done, err := r.close(ctx)
				if err != nil {
					return err
				}
				if done {
					return r.again(ctx)
				}
				continue
			}
			if err := r.sleep(ctx, next.At); err != nil {
				return err
			}
		case access.ActionClose:
			if err := r.show(ctx, next); err != nil {
				return err
			}
			if done, err := r.close(ctx); done || err != nil {
				return err
			}
		default:
			if act, ok := r.perform[next.What]; ok {
				if err := act(ctx); err != nil {
					return err
				}
				continue
			}
			r.item.Fire(next, now)
		}
	}
}

// drain takes every wake-up that has arrived: any number of them is one look.
func (r *run) drain(ctx workflow.Context) {
	woken := r.wakes.Len() > 0
	drain(r.wakes)
	if woken && r.woken != nil {
		r.woken(ctx)
		r.changes++ // a run that was about to close has something to do again
	}
}

// sleep waits until the deadline (for ever if it is zero), a change made by a
// handler, or a wake-up. The timer is cancelled when something else came first,
// so that a history does not fill with timers nobody waits for.
func (r *run) sleep(ctx workflow.Context, until time.Time) error {
	seen := r.changes
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	fired := func() bool { return false }
	if !until.IsZero() {
		timer := workflow.NewTimerWithOptions(timerCtx, until.Sub(workflow.Now(ctx)), workflow.TimerOptions{
			Summary: fmt.Sprintf("until %s", until.UTC().Format(time.RFC3339)),
		})
		fired = timer.IsReady
	}
	return workflow.Await(ctx, func() bool { return fired() || r.changes != seen || r.wakes.Len() > 0 })
}

// close lets handlers that were accepted finish. A handler may have changed the
// item meanwhile; then there is more to do.
func (r *run) close(ctx workflow.Context) (done bool, err error) {
	seen := r.changes
	if err := workflow.Await(ctx, func() bool { return r.changes != seen || workflow.AllHandlersFinished(ctx) }); err != nil {
		return false, err
	}
	r.drain(ctx)
	return r.changes == seen, nil
}

// record writes everything that has changed into Postgres, in one transaction
// with its events, grants and messages, through the activity that write starts. If
// Postgres holds changes that this run was made without, write puts what is held in
// place of the state and the run goes on from there (E1).
func (r *run) record(ctx workflow.Context, state string, write func(ctx workflow.Context) (adopted bool, err error)) error {
	revision := r.item.History().Revision
	adopted, err := write(recordOptions(ctx, fmt.Sprintf("record revision %d: %s", revision, state)))
	switch {
	case err != nil:
		return r.giveUp(ctx, err)
	case adopted:
		r.adopted++
		r.changes++
	default:
		r.item.History().Confirm(revision)
	}
	return nil
}

// giveUp returns err; if it says that the claim is gone, not before everybody who
// waits has been told.
func (r *run) giveUp(ctx workflow.Context, err error) error {
	if !isReleased(err) {
		return err
	}
	r.released = err
	r.changes++
	if awaitErr := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); awaitErr != nil {
		return awaitErr
	}
	return err
}
