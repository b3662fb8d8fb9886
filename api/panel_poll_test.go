package api_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/panel"
	"latchkey/panelsim"
)

func polls(c *panelsim.Config) { c.Poll = true }

func (d *door) unlock(e *engine, headers ...header) *answer {
	d.e.t.Helper()
	return e.call(http.MethodPost, "/v1/invitations/"+d.invitation.ID+"/unlock", d.e.key, object{"entrance_id": d.entrance}, headers...)
}

// second is another process of the same engine.
func (e *engine) second() *engine {
	e.t.Helper()
	other := serve(e.t, e.dsn, e.keys)
	other.contract, other.key = e.contract, e.key
	return other
}

// awaitPoll waits until the panel has polled and can be reached by it.
func (d *door) awaitPoll() {
	d.e.t.Helper()
	await(d.e.t, "the panel polls", func() bool {
		p, err := d.e.store.PanelIdentity(d.e.t.Context(), d.panel)
		if err != nil {
			d.e.t.Fatal(err)
		}
		target, err := driverOf(d.e.store).Reach.Panel(d.e.t.Context(), p)
		if err != nil {
			return false
		}
		_, err = driverOf(d.e.store).Client.Status(d.e.t.Context(), target)
		return err == nil
	})
}

// P1, P3, P4, P5: a panel that cannot be reached polls one process; another one
// delivers a grant to it, which it confirms, and opens its door.
func TestAPanelThatPolls(t *testing.T) {
	e := start(t)
	other := e.second()
	d := e.door(polls)
	d.awaitPoll()
	if address := e.call(http.MethodGet, "/v1/panels/"+d.panel, e.key, nil).want(http.StatusOK); address.JSON["address"] != nil {
		t.Errorf("the panel has announced %v", address.JSON["address"])
	}
	d.change(func(i *access.Invitation) error { return i.RequireVerification(time.Now(), "") }) // any change makes a revision
	if err := driverOf(other.store).push(t, d.panel); err != nil {
		t.Fatal(err)
	}
	if held := d.state().Grants[0].Revision; held != d.invitation.Revision {
		t.Errorf("the panel holds revision %d, want %d", held, d.invitation.Revision)
	}
	if pending, err := e.store.PendingGrants(t.Context(), d.panel, 10); err != nil || len(pending) != 0 {
		t.Errorf("%d grants wait still (%v)", len(pending), err)
	}
	for _, process := range []*engine{other, e} {
		opened := d.unlock(process).want(http.StatusOK)
		if opened.text("result") != "opened" {
			t.Errorf("unlocking gave %s", opened.body)
		}
	}
	if n := len(d.state().Opened); n != 2 {
		t.Errorf("the door opened %d times, want 2", n)
	}
	await(t, "both openings are in the log", func() bool { return len(d.events("entrance.opened")) == 2 })
}

// P4: to a panel that has gone away nothing is sent that could open its door when
// it is back.
func TestAPanelThatPolledAndIsAway(t *testing.T) {
	e := start(t)
	d := e.door(polls)
	d.awaitPoll()
	d.fault("offline")
	await(t, "the engine notices that nobody fetches", func() bool {
		a := d.unlock(e)
		return a.status == http.StatusServiceUnavailable && a.text("code") == "panel_unreachable"
	})
	d.fault("none")
	d.awaitPoll()
	d.unlock(e).want(http.StatusOK)
	if opened := d.state().Opened; len(opened) != 1 {
		t.Errorf("the door opened %d times, want once: %+v", len(opened), opened)
	}
}

// P4, E2: the answer of a panel that polls is lost: the outcome is unknown, and the
// same key gives it without a second opening.
func TestAPanelThatPollsAndLosesAnswers(t *testing.T) {
	e := start(t)
	other := e.second()
	d := e.door(polls)
	d.awaitPoll()
	d.fault("lose_ack")
	key := header{"Idempotency-Key", "guest-taps-once"}
	if a := d.unlock(e, key); a.status != http.StatusGatewayTimeout && a.status != http.StatusOK || len(d.state().Opened) != 1 {
		t.Fatalf("unlocking gave %d %s", a.status, a.body)
	}
	d.fault("none")
	await(t, "the same key gives the result", func() bool {
		a := d.unlock(other, key)
		return a.status == http.StatusOK && a.text("result") == "opened"
	})
	if n := len(d.state().Opened); n != 1 {
		t.Errorf("the door opened %d times", n)
	}
	await(t, "the opening is in the log once", func() bool { return len(d.events("entrance.opened")) == 1 })
}

// P1: what a panel's messages must be; a message of nobody fetches nothing.
func TestPollsThatAreRefused(t *testing.T) {
	e := start(t)
	d := e.door(nil)
	get := func(token, wait string) *answer {
		return e.raw(http.MethodGet, "/panel/v1/commands?wait="+wait, token, nil)
	}
	get("", "0s").refused(http.StatusBadRequest, string(panel.CodeMalformed))
	stranger := panel.Signer{Name: d.panel, Key: ed25519Key(t)}
	token, _, err := stranger.Sign(panel.EngineName, panel.TypePoll, "", panel.Poll{BootID: "boot"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	get(token, "0s").refused(http.StatusBadRequest, string(panel.CodeBadSignature))
	get(token, "soon").refused(http.StatusBadRequest, string(panel.CodeMalformed))
	e.raw(http.MethodPost, "/panel/v1/answers", "", []byte(token), header{"Content-Type", "application/jose"}).
		refused(http.StatusBadRequest, string(panel.CodeBadSignature))
}
