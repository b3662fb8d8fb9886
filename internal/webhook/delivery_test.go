package webhook_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"latchkey/internal/directory"
)

// numbers are the events that a receiver got of an item, in the order they came.
func numbers(got []request, item string) (all []int) {
	for _, q := range got {
		if q.Data.ItemID != nil && *q.Data.ItemID == item {
			all = append(all, q.Data.Detail.N)
		}
	}
	return all
}

// E4: an endpoint gets the types it asked for, of its own account (E8), as GET
// /v1/events shows them, and nothing from before it was there.
func TestWhatAnEndpointGets(t *testing.T) {
	t.Parallel()
	w := open(t)
	app, all := newReceiver(t), newReceiver(t)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	hook, secret := w.endpoint(app.URL, "entrance.opened", "panel.lockout")
	w.endpoint(all.URL, directory.AllEvents)
	stranger := w.newAccount("Second")
	other := newReceiver(t)
	_, _, err := w.store.CreateWebhook(t.Context(), directory.Webhook{AccountID: stranger, URL: other.URL, Events: []string{"*"}}, time.Now())
	w.ok(err)
	w.serve(quick, true)

	w.happen(w.account, "inv_1", "entrance.denied", 2)
	w.happen(stranger, "inv_9", "entrance.opened", 9)
	w.happen(w.account, "inv_1", "entrance.opened", 3)
	w.happen(w.account, "", "panel.lockout", 4)
	w.await("all have what they asked for", 20*time.Second, func() bool {
		return len(app.received()) == 2 && len(all.received()) == 3 && len(other.received()) == 1
	})
	for _, got := range app.received() {
		w.ok(verify(secret, got.header, got.body, time.Now()))
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Webhook-Id") != got.Data.ID || got.At.IsZero() {
			t.Errorf("%v %s", got.header, got.body)
		}
		if bytes.Contains(got.body, []byte("First")) || !bytes.Contains(got.body, []byte(`"note":null`)) {
			t.Errorf("more than ids: %s", got.body)
		}
	}
	if n := numbers(all.received(), "inv_1"); len(n) != 2 || n[0] != 2 || n[1] != 3 {
		t.Errorf("events of the item came as %v", n)
	}
	w.await("listed as delivered", 5*time.Second, func() bool { return len(w.deliveries(hook, directory.DeliveryDelivered)) == 2 })
	if d := w.deliveries(hook, "")[0]; d.Attempts != 1 || d.Status != http.StatusNoContent || d.Error != "" || d.EndedAt.IsZero() {
		t.Errorf("%+v", d)
	}
}

// E4: an event waits for the one before it of its item, and for no other; one that
// fails for a day is dead, lets the next one go, and can be replayed.
func TestOrderDeadLettersAndReplay(t *testing.T) {
	t.Parallel()
	w := open(t)
	app := newReceiver(t)
	app.answerWith(http.StatusServiceUnavailable)
	hook, secret := w.endpoint(app.URL, "*")
	w.serve([]time.Duration{time.Millisecond, time.Millisecond, 25 * time.Hour}, true) // the third failure is the last
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("the first is dead", 20*time.Second, func() bool { return len(w.deliveries(hook, directory.DeliveryDead)) == 1 })
	if n := numbers(app.received(), "inv_1"); len(n) != 3 {
		t.Errorf("attempts: %v, want 3", n)
	}
	seen, err := w.store.Webhook(t.Context(), w.account, hook.ID, time.Now())
	if err != nil || seen.Dead != 1 || seen.FailingSince.IsZero() || seen.LastError != "status" {
		t.Errorf("the endpoint is shown as %+v, %v", seen, err)
	}

	app.answerWith(http.StatusOK)
	w.happen(w.account, "inv_1", "entrance.opened", 2)
	w.await("the second goes", 20*time.Second, func() bool { return len(w.deliveries(hook, directory.DeliveryDelivered)) == 1 })

	dead := w.deliveries(hook, directory.DeliveryDead)[0]
	if _, err := w.store.ReplayDelivery(t.Context(), w.newAccount("Second"), "", dead.ID, time.Now()); err == nil {
		t.Error("another account replays it (E8)")
	}
	if _, err := w.store.ReplayDelivery(t.Context(), w.account, "whk_other", dead.ID, time.Now()); err == nil {
		t.Error("it is found under another endpoint")
	}
	replayed, err := w.store.ReplayDelivery(t.Context(), w.account, hook.ID, dead.ID, time.Now())
	w.ok(err)
	if replayed.State != directory.DeliveryPending || replayed.Attempts != 0 {
		t.Errorf("%+v", replayed)
	}
	w.await("the first is delivered", 20*time.Second, func() bool { return len(w.deliveries(hook, directory.DeliveryDelivered)) == 2 })
	got := app.received()
	last := got[len(got)-1]
	w.ok(verify(secret, last.header, last.body, time.Now()))
	if last.header.Get("Webhook-Id") != dead.EventID || !bytes.Equal(last.body, got[0].body) {
		t.Errorf("the replay is another message: %v %s", last.header, last.body)
	}
}

// E4: events of one item wait behind one that sleeps until its next attempt, those of
// others do not; a replay wakes it.
func TestASleepingLaneHoldsOnlyItself(t *testing.T) {
	t.Parallel()
	w := open(t)
	app := newReceiver(t)
	app.answerWith(http.StatusInternalServerError)
	hook, _ := w.endpoint(app.URL, "*")
	w.serve([]time.Duration{time.Hour}, true)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("the first failed", 20*time.Second, func() bool { return len(app.received()) == 1 })
	app.answerWith(http.StatusOK)
	w.happen(w.account, "inv_1", "entrance.opened", 2)
	w.happen(w.account, "inv_2", "entrance.opened", 1)
	w.await("the other item's goes", 20*time.Second, func() bool { return len(numbers(app.received(), "inv_2")) == 1 })
	var first directory.Delivery
	w.await("both of the first item are listed", 5*time.Second, func() bool {
		waiting := w.deliveries(hook, directory.DeliveryPending)
		if len(waiting) == 2 {
			first = waiting[1]
		}
		return len(waiting) == 2 && first.Attempts == 1
	})
	if until := time.Until(first.DueAt); until < 50*time.Minute || first.Status != 500 || first.Error != "status" {
		t.Errorf("%+v", first)
	}
	_, err := w.store.ReplayDelivery(t.Context(), w.account, hook.ID, first.ID, time.Now())
	w.ok(err)
	w.await("both went, in order", 20*time.Second, func() bool { return len(numbers(app.received(), "inv_1")) == 3 })
	if n := numbers(app.received(), "inv_1"); n[1] != 1 || n[2] != 2 {
		t.Errorf("came as %v", n)
	}
}

// E4: after a rotation both secrets sign for a day, then the new one alone.
func TestRotationOfTheSecret(t *testing.T) {
	t.Parallel()
	w := open(t)
	app := newReceiver(t)
	hook, old := w.endpoint(app.URL, "*")
	w.serve(quick, true)
	rotated, fresh, err := w.store.RotateWebhookSecret(t.Context(), w.account, hook.ID, time.Now())
	w.ok(err)
	if until := time.Until(rotated.OldSecretUntil); until < 23*time.Hour || until > 24*time.Hour || fresh == old {
		t.Errorf("the old secret is good for %s", until)
	}
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("delivered", 20*time.Second, func() bool { return len(app.received()) == 1 })
	got := app.received()[0]
	w.ok(verify(old, got.header, got.body, time.Now()))
	w.ok(verify(fresh, got.header, got.body, time.Now()))

	_, err = w.db.Exec(t.Context(), `UPDATE webhook_secrets SET retires_at = now() WHERE retires_at IS NOT NULL`) // a day later
	w.ok(err)
	w.happen(w.account, "inv_1", "entrance.opened", 2)
	w.await("delivered", 20*time.Second, func() bool { return len(app.received()) == 2 })
	got = app.received()[1]
	w.ok(verify(fresh, got.header, got.body, time.Now()))
	if verify(old, got.header, got.body, time.Now()) == nil {
		t.Error("the old secret still signs")
	}
}

// E4: a test goes to the endpoint that is tested, whatever it asked for, and to no other.
func TestTheTestEvent(t *testing.T) {
	t.Parallel()
	w := open(t)
	app, all := newReceiver(t), newReceiver(t)
	hook, _ := w.endpoint(app.URL, "invitation.sent")
	w.endpoint(all.URL, "*")
	w.serve(quick, true)
	id, err := w.store.TestWebhook(t.Context(), w.account, hook.ID, time.Now())
	w.ok(err)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("both got theirs", 20*time.Second, func() bool { return len(app.received()) == 1 && len(all.received()) == 1 })
	if got := app.received()[0]; got.Type != "webhook.test" || got.Data.ID != id {
		t.Errorf("%s", got.body)
	}
	if got := all.received()[0]; got.Type != "entrance.opened" {
		t.Errorf("%s", got.body)
	}
}

// What waits goes to a new address at once; a deleted endpoint gets nothing more, and what it
// was owed is gone.
func TestEndpointsThatMoveAndGo(t *testing.T) {
	t.Parallel()
	w := open(t)
	before, after := newReceiver(t), newReceiver(t)
	before.answerWith(http.StatusNotFound)
	hook, _ := w.endpoint(before.URL, "*")
	w.serve([]time.Duration{time.Hour}, true)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("it failed at the old address", 20*time.Second, func() bool { return len(before.received()) > 0 })
	_, err := w.store.UpdateWebhook(t.Context(), w.account, hook.ID, 0, func(h *directory.Webhook) error { h.URL = after.URL; return nil }, time.Now())
	w.ok(err)
	w.await("it came to the new one", 20*time.Second, func() bool { return len(after.received()) == 1 })

	w.ok(w.store.DeleteWebhook(t.Context(), w.account, hook.ID))
	w.happen(w.account, "inv_1", "entrance.opened", 2)
	var waiting, owed int
	w.ok(w.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM webhook_feed), (SELECT count(*) FROM webhook_deliveries)`).Scan(&waiting, &owed))
	if waiting != 0 || owed != 0 {
		t.Errorf("%d events wait and %d deliveries are left for nobody", waiting, owed)
	}
	next, _ := w.endpoint(after.URL, "*") // works on after a queue has gone
	w.happen(w.account, "inv_1", "entrance.opened", 3)
	w.await("the next endpoint gets its event", 20*time.Second, func() bool { return len(w.deliveries(next, directory.DeliveryDelivered)) == 1 })
}

// An address that is changed while the old one is being tried does not inherit the pause
// after that failure.
func TestAnAddressThatChangesDuringAnAttempt(t *testing.T) {
	t.Parallel()
	w := open(t)
	after := newReceiver(t)
	var hook directory.Webhook
	before := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		if _, err := w.store.UpdateWebhook(context.Background(), w.account, hook.ID, 0, func(h *directory.Webhook) error { h.URL = after.URL; return nil }, time.Now()); err != nil {
			t.Error(err)
		}
		answer.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(before.Close)
	hook, _ = w.endpoint(before.URL, "*")
	w.serve([]time.Duration{time.Hour}, true)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("it came to the new one", 20*time.Second, func() bool { return len(after.received()) == 1 })
}

// E7: addresses and secrets of endpoints cannot be read in the database.
func TestEndpointsAreSealed(t *testing.T) {
	t.Parallel()
	w := open(t)
	hook, secret := w.endpoint("https://app.example.com/hooks/token-4711", "*")
	var rows string
	w.ok(w.db.QueryRow(t.Context(), `SELECT (SELECT string_agg(encode(url, 'escape'), ' ') FROM webhooks) || (SELECT string_agg(encode(secret, 'escape'), ' ') FROM webhook_secrets)`).Scan(&rows))
	if bytes.Contains([]byte(rows), []byte("4711")) || bytes.Contains([]byte(rows), []byte(secret[6:])) {
		t.Errorf("readable: %s", rows)
	}
	if seen, err := w.store.Webhook(t.Context(), w.account, hook.ID, time.Now()); err != nil || seen.URL != hook.URL {
		t.Errorf("%+v, %v", seen, err)
	}
}

// E4: what leads inside is not sent, and the endpoint says so.
func TestPrivateAddressesAreShownAsFailing(t *testing.T) {
	t.Parallel()
	w := open(t)
	app := newReceiver(t)
	hook, _ := w.endpoint(app.URL, "*")
	w.serve(quick, false)
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("it is shown as failing", 20*time.Second, func() bool {
		seen, err := w.store.Webhook(t.Context(), w.account, hook.ID, time.Now())
		w.ok(err)
		return seen.LastError == "address_not_allowed" && seen.Pending == 1
	})
	if len(app.received()) != 0 {
		t.Error("it was sent")
	}
}

// E4: an event whose job was lost is sent all the same, and what has served its time
// is forgotten.
func TestWhatASweepMends(t *testing.T) {
	t.Parallel()
	w := open(t)
	app := newReceiver(t)
	hook, _ := w.endpoint(app.URL, "*")
	stop := w.serve([]time.Duration{time.Hour}, false) // not allowed there: fails, and sleeps
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.happen(w.account, "inv_2", "entrance.opened", 1)
	w.await("both failed", 20*time.Second, func() bool {
		waiting := w.deliveries(hook, directory.DeliveryPending)
		return len(waiting) == 2 && waiting[0].Attempts == 1 && waiting[1].Attempts == 1
	})
	stop()
	for _, sql := range []string{
		`DELETE FROM river.river_job`,
		`UPDATE webhook_deliveries SET due_at = due_at - interval '2 hours' WHERE lane = 'inv_1'`,
		`UPDATE webhook_deliveries SET state = 'dead', ended_at = now() - interval '31 days' WHERE lane = 'inv_2'`,
	} {
		_, err := w.db.Exec(t.Context(), sql)
		w.ok(err)
	}
	w.serve(quick, true)
	w.await("it is sent", 20*time.Second, func() bool { return len(numbers(app.received(), "inv_1")) == 1 })
	w.await("it is all that is listed", 20*time.Second, func() bool { return len(w.deliveries(hook, "")) == 1 })
}
