package webhook_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

// Ten thousand events for a receiver that fails at random and dies twice, from two
// processes that deliver side by side: each is delivered, in order per item, with
// signatures that an independent implementation verifies (E4).
func TestTenThousandReachAReceiverThatDiesTwice(t *testing.T) {
	t.Parallel()
	const items, each = 1000, 10
	w := open(t)
	app := newMortal(t)
	hook, secret := w.endpoint("http://"+app.addr+"/hooks", "*")
	app.secret = secret
	pauses := []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond}
	w.serve(pauses, true)
	w.serve(pauses, true)

	late, err := w.db.Begin(t.Context()) // its serial is the first, and it commits last
	w.ok(err)
	_, err = late.Exec(t.Context(), insertEventSQL, "evt_late", w.account, "entrance.opened", time.Now(), "inv_late", 1)
	w.ok(err)
	var writers sync.WaitGroup
	const side = 4
	for part := range side {
		writers.Go(func() { w.write(part, side, items, each) })
	}
	begin := time.Now()
	for _, deadAt := range []int{items * each / 3, items * each * 2 / 3} {
		w.await(fmt.Sprintf("%d taken", deadAt), 3*time.Minute, func() bool { taken, _, _ := app.counts(); return taken >= deadAt })
		app.die()
		w.await("the endpoint is shown as failing", time.Minute, func() bool {
			seen, err := w.store.Webhook(t.Context(), w.account, hook.ID, time.Now())
			w.ok(err)
			return !seen.FailingSince.IsZero() && seen.LastError == "connection_refused"
		})
		app.live()
	}
	writers.Wait()
	w.ok(late.Commit(t.Context()))
	w.await("all are taken", 3*time.Minute, func() bool { taken, _, _ := app.counts(); return taken == items*each+1 })
	w.await("all are known to be delivered", time.Minute, func() bool { return w.count(directory.DeliveryDelivered) == items*each+1 })
	taken, repeated, failed := app.counts()
	t.Logf("%d taken in %.1f s; %d came twice, %d were refused", taken, time.Since(begin).Seconds(), repeated, failed)

	app.mu.Lock()
	defer app.mu.Unlock()
	for _, fault := range app.faults {
		t.Error(fault)
	}
	for item := range items {
		if name := fmt.Sprintf("inv_%d", item); app.answered[name] != each {
			t.Errorf("%s: %d events taken, want %d", name, app.answered[name], each)
		}
	}
	if app.failed == 0 || app.repeated == 0 {
		t.Error("the receiver has not failed at all")
	}
	if seen, err := w.store.Webhook(t.Context(), w.account, hook.ID, time.Now()); err != nil || seen.Pending != 0 || seen.Dead != 0 || !seen.FailingSince.IsZero() {
		t.Errorf("in the end: %+v, %v", seen, err)
	}
}

// write logs the events of every side-th item, in order per item, many transactions
// beside each other.
func (w *world) write(part, side, items, each int) {
	for n := 1; n <= each; n++ {
		for first := part; first < items; first += side * 25 {
			err := pgx.BeginFunc(context.Background(), w.db, func(tx pgx.Tx) error {
				batch := &pgx.Batch{}
				for item := first; item < min(items, first+side*25); item += side {
					batch.Queue(insertEventSQL, fmt.Sprintf("evt_%d_%d", item, n), w.account, "entrance.opened", time.Now(), fmt.Sprintf("inv_%d", item), n)
				}
				return tx.SendBatch(context.Background(), batch).Close()
			})
			if err != nil {
				w.t.Error(err)
				return
			}
		}
	}
}

// count is how many deliveries are in a state.
func (w *world) count(state directory.DeliveryState) (n int) {
	w.t.Helper()
	w.ok(w.db.QueryRow(w.t.Context(), `SELECT count(*) FROM webhook_deliveries WHERE state = $1`, string(state)).Scan(&n))
	return n
}
