package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/story"
)

// checkout is the hardest minute of a day: very many reservations that end in the
// same second, when rooms are checked out, while people open doors and boxes.
type checkout struct {
	*bench
	baseline *baseline
	temporal string
	boxPanel *story.Client
	key      string
	cleaner  string // an ongoing reservation, with which the box is opened meanwhile
	ends     time.Time
}

const (
	// wantedWithin is how long recording the ends of all may take.
	wantedWithin = 180 * time.Second
	// paceSample is how many creations tell how fast this machine is at present, and
	// paceReserve how much longer than that all of them may take.
	paceSample  = 100
	paceReserve = 1.5
)

func (b *bench) checkout(ctx context.Context, host *throwaway, baseline *baseline) (*checkout, error) {
	c := &checkout{bench: b, baseline: baseline, temporal: host.temporal}
	box, err := b.post(ctx, "/v1/panels", map[string]any{"property_id": b.property, "name": "Box", "kind": "smartbox", "slots": 8})
	if err != nil {
		return nil, err
	}
	key, err := b.post(ctx, "/v1/keys", map[string]any{"property_id": b.property, "name": "Key", "panel_id": box.Text("id"), "slot": 1})
	if err != nil {
		return nil, err
	}
	c.key = key.Text("id")
	if _, err := b.post(ctx, "/v1/members", map[string]any{
		"name": "Keeper", "email": "keeper@example.com", "role": "manager", "property_ids": []string{b.property},
	}); err != nil {
		return nil, err
	}
	if c.boxPanel, err = putUpInProcess(ctx, host.url)(ctx, "bench box", box.Text("enrolment_code")); err != nil {
		return nil, err
	}
	c.cleaner, err = c.reserve(ctx, 0, nil)
	return c, err
}

func (c *checkout) reserve(ctx context.Context, n int, ends *time.Time) (id string, err error) {
	body := map[string]any{
		"key_id": c.key, "kind": "ongoing", "exclusive": false, "visitor": map[string]any{"name": "Visitor", "email": fmt.Sprintf("visitor-%d@example.com", n)},
	}
	if ends != nil {
		body["kind"], body["ends_at"] = "one_time", ends.Format(time.RFC3339)
	}
	reservation, err := c.post(ctx, "/v1/reservations", body)
	return reservation.Text("id"), err
}

// pickup opens the slot of the key as the cleaner, who stands there and reads the
// number on the box.
func (c *checkout) pickup(ctx context.Context) error {
	sim, err := c.boxPanel.Get(ctx, "/sim")
	if err != nil {
		return err
	}
	_, err = c.post(ctx, "/v1/reservations/"+c.cleaner+"/pickup", map[string]any{"panel_code": sim.Body.Text("number")})
	return err
}

// pace is how long one creation takes here, many at a time.
func (c *checkout) pace(ctx context.Context) (each time.Duration, err error) {
	begin, farAway := time.Now(), time.Now().Add(24*time.Hour)
	err = parallel(creators, paceSample, func(n int) error {
		_, err := c.reserve(ctx, -n, &farAway)
		return err
	})
	return time.Since(begin) / paceSample, err
}

// run creates count reservations, waits for their end and measures what follows.
func (c *checkout) run(ctx context.Context, count, quietCount int) error {
	each, err := c.pace(ctx)
	if err != nil {
		return err
	}
	c.ends = time.Now().Add(time.Duration(paceReserve*float64(count)*float64(each)) + 30*time.Second).UTC().Truncate(time.Second)
	fmt.Printf("\nCreating %d reservations that all end at %s…\n", count, c.ends.Local().Format(time.TimeOnly))
	begin := time.Now()
	ids := make([]string, count)
	if err := parallel(creators, count, func(n int) (err error) {
		ids[n], err = c.reserve(ctx, n+1, &c.ends)
		return err
	}); err != nil && time.Now().Before(c.ends) {
		return err
	}
	fmt.Printf("  %.0f a second\n", float64(count)/time.Since(begin).Seconds())
	if time.Now().After(c.ends) { // it has become slower meanwhile
		return errors.New("this machine is too slow to create them before they end; choose fewer with --checkout")
	}
	things := map[string]func(context.Context) error{"unlock": c.unlock, "pickup": c.pickup}
	quiet, err := measure(ctx, quietCount, things)
	if err != nil {
		return err
	}
	if err := pause(ctx, time.Until(c.ends)); err != nil {
		return err
	}
	if err := c.everyoneIsRefused(ctx, ids); err != nil {
		return err
	}
	busy, recorded, err := c.whileEnding(ctx, count, things)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d reservations end in one second (quiet, then meanwhile):\n", count)
	quiet.print("unlock", "pickup")
	busy.print("unlock", "pickup")
	fmt.Printf("  all ends recorded after %.0f s (wanted: within %.0f)\n", recorded.Seconds(), wantedWithin.Seconds())
	for _, name := range []string{"unlock", "pickup"} {
		fmt.Printf("  %s p99 is %.2f times the quiet one (wanted: at most 2)\n", name, ratio(busy[name].at(99), quiet[name].at(99)))
	}
	bare, err := bareTimers(ctx, c.temporal, count)
	if err != nil {
		return err
	}
	fmt.Printf("  %d bare workflows with one timer and one activity over the same spread: %.0f s\n", count, bare.Seconds())
	return nil
}

// everyoneIsRefused asks for some of them in the very first second after the end.
func (c *checkout) everyoneIsRefused(ctx context.Context, ids []string) error {
	for n := 0; n < len(ids); n += max(1, len(ids)/20) {
		answer, err := c.app.Get(ctx, "/v1/reservations/"+ids[n])
		if err != nil {
			return err
		}
		refusal, err := c.app.Post(ctx, "/v1/reservations/"+ids[n]+"/pickup", "", map[string]any{"panel_code": "000000"})
		if err != nil {
			return err
		}
		if answer.Body.Text("state") != "ended" || refusal.Status != http.StatusForbidden || refusal.Code() != "reservation_ended" {
			return fmt.Errorf("after the end %s is %q and a pickup is answered %d %s", ids[n], answer.Body.Text("state"), refusal.Status, refusal.Code())
		}
		typed, err := c.boxPanel.Post(ctx, "/sim/code", "", map[string]any{"code": answer.Body.Text("code"), "op": "pickup"})
		if err != nil {
			return err
		}
		if typed.Body.Text("reason") != "reservation_ended" {
			return fmt.Errorf("after the end the box answers %v", typed.Body)
		}
	}
	return nil
}

// whileEnding opens door and box in turn until all ends are in the log.
func (c *checkout) whileEnding(ctx context.Context, count int, things map[string]func(context.Context) error) (samples, time.Duration, error) {
	all := samples{}
	looked := time.Now()
	for {
		for name, do := range things {
			took, err := timed(ctx, do)
			if err != nil {
				return nil, 0, err
			}
			all[name] = append(all[name], took)
		}
		if time.Since(looked) < time.Second {
			continue
		}
		looked = time.Now()
		var ended int
		err := c.baseline.pool.QueryRow(ctx, `SELECT count(*) FROM events WHERE type = 'reservation.ended' AND at = $1`, c.ends).Scan(&ended)
		if err != nil {
			return nil, 0, err
		}
		if ended == count {
			return all, time.Since(c.ends), nil
		}
		if time.Since(c.ends) > 2*wantedWithin {
			return nil, 0, fmt.Errorf("only %d of %d ends were recorded within %s", ended, count, 2*wantedWithin)
		}
	}
}

// parallel does count things, a few at a time.
func parallel(width, count int, do func(n int) error) error {
	numbers := make(chan int)
	failures := make([]error, width)
	var group sync.WaitGroup
	for worker := range width {
		group.Go(func() {
			for n := range numbers {
				if failures[worker] == nil {
					failures[worker] = do(n)
				}
			}
		})
	}
	for n := range count {
		numbers <- n
	}
	close(numbers)
	group.Wait()
	return errors.Join(failures...)
}

const bareName = "bench-timer"

// bareTimer is a workflow that has nothing but a timer and an activity.
func bareTimer(ctx workflow.Context, wait time.Duration) error {
	if err := workflow.Sleep(ctx, wait); err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, bareActivity).Get(ctx, nil)
}

func bareActivity(context.Context) error { return nil }

// bareTimers runs as many bare workflows over the same spread and returns how long
// after the common instant the last one ended.
func bareTimers(ctx context.Context, address string, count int) (time.Duration, error) {
	c, err := client.Dial(client.Options{HostPort: address, Namespace: "latchkey", Logger: discard{}})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	w := worker.New(c, bareName, worker.Options{StickyScheduleToStartTimeout: 45 * time.Second})
	w.RegisterWorkflow(bareTimer)
	w.RegisterActivity(bareActivity)
	if err := w.Start(); err != nil {
		return 0, err
	}
	defer w.Stop()
	due := time.Now().Add(time.Duration(count/50)*time.Second + 30*time.Second)
	runs := make([]client.WorkflowRun, count)
	if err := parallel(creators, count, func(n int) (err error) {
		wait := time.Until(due) + min(time.Duration(n)*30*time.Millisecond, 150*time.Second)
		runs[n], err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprintf("%s/%d", bareName, n), TaskQueue: bareName}, bareTimer, wait)
		return err
	}); err != nil {
		return 0, err
	}
	if err := parallel(creators, count, func(n int) error { return runs[n].Get(ctx, nil) }); err != nil {
		return 0, err
	}
	return time.Since(due), nil
}
