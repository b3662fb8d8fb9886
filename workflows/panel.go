package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
)

// PanelSync is the state of bringing one panel up to date.
type PanelSync struct {
	PanelID  string `json:"panel_id"`
	Failures int    `json:"failures"` // in a row
}

// Panel brings one panel up to date: it delivers what is pending, pauses longer
// and longer while the panel does not answer, looks again when something new is
// desired, and ends when nothing is pending. Nobody else retries, so that a dead
// panel is asked by one caller only and delays no other panel (P5).
func Panel(ctx workflow.Context, s PanelSync) error {
	wakes := workflow.GetSignalChannel(ctx, signalWake)
	for {
		drain(wakes)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, Panel, s)
		}
		var delivered int
		err := workflow.ExecuteActivity(onceOptions(ctx, "deliver grants"), records.PushGrants, s.PanelID).Get(ctx, &delivered)
		switch {
		case temporal.IsCanceledError(err):
			return err
		case err != nil:
			s.Failures++
			pause := syncPause(s.Failures)
			workflow.SetCurrentDetails(ctx, fmt.Sprintf("not answering, %d attempts; next in %s", s.Failures, pause))
			if err := pauseOrWake(ctx, wakes, pause); err != nil {
				return err
			}
		case delivered == 0 && wakes.Len() == 0:
			return nil
		default:
			s.Failures = 0
			workflow.SetCurrentDetails(ctx, "answering")
		}
	}
}

// Outbox sends messages as they become due and ends when none waits. One workflow
// does it, so that messages to one person leave in the order they were written.
func Outbox(ctx workflow.Context) error {
	wakes := workflow.GetSignalChannel(ctx, signalWake)
	for failures := 0; ; {
		drain(wakes)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, Outbox)
		}
		var sent activities.Sent
		err := workflow.ExecuteActivity(onceOptions(ctx, "send messages"), records.SendMessages).Get(ctx, &sent)
		var pause time.Duration
		switch {
		case temporal.IsCanceledError(err):
			return err
		case err != nil:
			failures++
			pause = syncPause(failures)
		case sent.Handled > 0:
			failures = 0
			continue
		case sent.Next.IsZero() && wakes.Len() == 0:
			return nil
		case !sent.Next.IsZero():
			pause = max(sent.Next.Sub(workflow.Now(ctx)), 0)
		}
		if err := pauseOrWake(ctx, wakes, pause); err != nil {
			return err
		}
	}
}

// onceOptions are for activities whose workflow does the retrying itself, because
// it wants to be woken out of the pause.
func onceOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    4 * time.Second, // a worker that died is noticed by then
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary,
	})
}

// syncPause grows from half a second to a minute.
func syncPause(failures int) time.Duration {
	return min(time.Minute, 500*time.Millisecond<<min(failures-1, 10))
}

// pauseOrWake sleeps, but no longer than until the next wake-up.
func pauseOrWake(ctx workflow.Context, wakes workflow.ReceiveChannel, pause time.Duration) error {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimer(timerCtx, pause)
	return workflow.Await(ctx, func() bool { return timer.IsReady() || wakes.Len() > 0 })
}

func drain(wakes workflow.ReceiveChannel) {
	for wakes.ReceiveAsync(nil) {
	}
}
