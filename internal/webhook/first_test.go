package webhook_test

import (
	"testing"
	"time"
)

func TestFirst(t *testing.T) {
	w := open(t)
	r := newReceiver(t)
	hook, secret := w.endpoint(r.URL, "*")
	w.serve(quick, true)
	begin := time.Now()
	w.happen(w.account, "inv_1", "entrance.opened", 1)
	w.await("delivered", 10*time.Second, func() bool { return len(r.received()) == 1 })
	t.Log(time.Since(begin))
	got := r.received()[0]
	w.ok(verify(secret, got.header, got.body, time.Now()))
	t.Logf("%s %v", got.body, got.header)
	w.await("listed", 5*time.Second, func() bool { return len(w.deliveries(hook, "delivered")) == 1 })
}
