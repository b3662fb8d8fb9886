package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"latchkey/activities"
	"latchkey/workflows"
)

// Wakeups is the table in which transactions leave wake-ups.
type Wakeups interface {
	// DueWakeups lists wake-ups, the longest waiting first.
	DueWakeups(ctx context.Context, limit int, now time.Time) ([]activities.Wakeup, error)
	// ClearWakeup removes a wake-up unless there has been a newer reason.
	ClearWakeup(ctx context.Context, workflowID string, serial int64) error
	// ListenWakeups calls back whenever one is committed, until ctx ends or the
	// connection breaks.
	ListenWakeups(ctx context.Context, committed func(workflowID string)) error
}

// Waker signals workflows.
type Waker interface {
	Wake(ctx context.Context, workflowID string) error
}

// Dispatcher carries wake-ups from Postgres to Temporal: at once when it hears of
// one, and once a second for what it did not hear of or could not deliver. A
// wake-up is removed only after Temporal has it, so a crash repeats one rather than
// losing it; workflows do not mind being woken for nothing.
type Dispatcher struct {
	Wakeups Wakeups
	Waker   Waker
	Clock   func() time.Time
	Log     *slog.Logger
}

const (
	// dispatchBatch is how many wake-ups one look takes.
	dispatchBatch = 200
	// dispatchParallel is how many signals are under way at once.
	dispatchParallel = 8
	// heldAgain is how soon a wake-up is looked at again that came too soon after
	// another to the same workflow.
	heldAgain = 100 * time.Millisecond
	// dispatchEvery is how often the table is looked at without a notification.
	dispatchEvery = time.Second
)

// Run dispatches until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) {
	heard := make(chan struct{}, 1)
	var listener sync.WaitGroup
	listener.Go(func() { d.listen(ctx, heard) })
	defer listener.Wait()

	last := map[string]time.Time{}
	tick := time.NewTicker(dispatchEvery)
	defer tick.Stop()
	for {
		held, err := d.dispatch(ctx, last)
		if err != nil && ctx.Err() == nil {
			d.Log.LogAttrs(ctx, slog.LevelWarn, "wake-ups wait because a store or Temporal is away", slog.Any("error", err))
		}
		var again <-chan time.Time
		if held {
			again = time.After(heldAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-heard:
		case <-again:
		case <-tick.C:
		}
	}
}

// listen turns notifications into looks and reconnects when the connection breaks.
func (d *Dispatcher) listen(ctx context.Context, heard chan<- struct{}) {
	for ctx.Err() == nil {
		err := d.Wakeups.ListenWakeups(ctx, func(string) {
			select {
			case heard <- struct{}{}:
			default:
			}
		})
		if err != nil && ctx.Err() == nil {
			d.Log.LogAttrs(ctx, slog.LevelWarn, "the listener for wake-ups reconnects", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(dispatchEvery):
		}
	}
}

// dispatch delivers what is due. Held reports that some waits only because its
// workflow was woken a moment ago.
func (d *Dispatcher) dispatch(ctx context.Context, last map[string]time.Time) (held bool, err error) {
	now := d.Clock()
	due, err := d.Wakeups.DueWakeups(ctx, dispatchBatch, now)
	if err != nil {
		return false, err
	}
	for id, at := range last {
		if now.Sub(at) > workflows.WakePause(id) {
			delete(last, id)
		}
	}
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	slots := make(chan struct{}, dispatchParallel)
	for _, w := range due {
		if _, recently := last[w.WorkflowID]; recently {
			held = true
			continue
		}
		last[w.WorkflowID] = now
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := d.deliver(ctx, w); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	group.Wait()
	return held, failed
}

func (d *Dispatcher) deliver(ctx context.Context, w activities.Wakeup) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := d.Waker.Wake(ctx, w.WorkflowID); err != nil {
		return err
	}
	return d.Wakeups.ClearWakeup(ctx, w.WorkflowID, w.Serial)
}
