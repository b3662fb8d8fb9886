package api_test

import (
	"crypto/ed25519"
	"net/http"
	"slices"
	"testing"
	"time"

	"latchkey/internal/panel"
)

func ed25519Key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	return newPhone(t, "Ed25519").(ed25519.PrivateKey)
}

func (e *engine) retired(at time.Time) int {
	e.t.Helper()
	n, err := e.store.RetireEngineKeys(e.t.Context(), at)
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// status asks the panel in the name of a key how it is.
func (d *door) status(with panel.Engine) error {
	d.e.t.Helper()
	p, err := d.e.store.PanelIdentity(d.e.t.Context(), d.panel)
	if err != nil {
		d.e.t.Fatal(err)
	}
	target := panel.Target{PanelID: p.ID, Address: d.sim.URL(), PublicKey: p.PublicKey}
	_, err = panel.NewClient(with).Status(d.e.t.Context(), target)
	return err
}

// trusts waits until the panel trusts these keys of the engine and no others.
func (d *door) trusts(ids ...string) {
	d.e.t.Helper()
	await(d.e.t, "the panel trusts the engine's keys", func() bool {
		d.fault("none") // makes it report
		return slices.Equal(d.state().KeyIDs, ids)
	})
}

func refusedFor(err error) panel.Code {
	if refusal, ok := panel.AsError(err); ok {
		return refusal.Code
	}
	return ""
}

// P1: the engine changes its key while a panel is away. Nobody enrols anew; the old
// key goes when the last panel knows the new one, and is good for nothing then.
func TestTheEngineChangesItsKey(t *testing.T) {
	e := start(t)
	lobby, garage := e.door(nil), e.door(nil)
	ring, err := e.store.EngineKeyring(t.Context(), time.Now())
	if err != nil || len(ring) != 1 {
		t.Fatalf("the engine has %d keys (%v)", len(ring), err)
	}
	old := panel.Engine{KeyID: ring[0].ID, Key: ring[0].Private}
	waiting := e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": lobby.property, "name": "Later", "kind": "door"}).want(http.StatusCreated)

	garage.fault("offline")
	made, err := e.store.RotateEngineKey(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	renewed := panel.Engine{KeyID: made.ID, Key: made.Private}
	lobby.trusts(old.KeyID, renewed.KeyID)
	for name, with := range map[string]panel.Engine{"the old key": old, "the new key": renewed} {
		if err := lobby.status(with); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if code := refusedFor(lobby.status(panel.Engine{KeyID: renewed.KeyID, Key: ed25519Key(t)})); code != panel.CodeBadSignature {
		t.Errorf("a foreign key: %q", code)
	}
	lobby.unlock(e).want(http.StatusOK)
	soon := time.Now().Add(time.Minute)
	if n := e.retired(soon); n != 0 {
		t.Fatalf("%d keys retired while a panel is away", n)
	}
	await(t, "one panel is behind", func() bool { behind, err := e.store.PanelsBehind(t.Context()); return err == nil && behind == 1 })

	garage.fault("none")
	garage.trusts(old.KeyID, renewed.KeyID)
	garage.unlock(e).want(http.StatusOK)
	if n := e.retired(soon); n != 0 {
		t.Fatal("the key retired while an enrolment code of it can be used")
	}
	e.simulate(waiting.text("enrolment_code"), nil) // P1: a code from before the change
	await(t, "the late panel is told of the new key", func() bool {
		behind, err := e.store.PanelsBehind(t.Context())
		return err == nil && behind == 0
	})
	if n := e.retired(time.Now()); n != 0 {
		t.Error("the key retired before all processes can have noticed the new one")
	}
	if n := e.retired(soon); n != 1 {
		t.Fatalf("%d keys retired, want 1", n)
	}
	for _, d := range []*door{lobby, garage} {
		d.trusts(renewed.KeyID)
		if code := refusedFor(d.status(old)); code != panel.CodeBadSignature {
			t.Errorf("the retired key: %q", code)
		}
		d.unlock(e).want(http.StatusOK)
	}
}

// P1, P9: a pass that was given stays good until it expires: its key is not retired
// before, and new passes take the new key as soon as their doors know it.
func TestPassesOutliveAChangeOfKeys(t *testing.T) {
	e := start(t)
	d := e.door(nil)
	p := d.signedIn("P-256")
	given := e.call(http.MethodGet, d.passPath(), p.token, nil).want(http.StatusOK)
	old := d.state().KeyIDs
	made, err := e.store.RotateEngineKey(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d.trusts(append(old, made.ID)...)
	await(t, "the engine knows that", func() bool { n, err := e.store.PanelsBehind(t.Context()); return err == nil && n == 0 })
	if n := e.retired(time.Now().Add(23 * time.Hour)); n != 0 {
		t.Errorf("%d keys retired under a pass", n)
	}
	for name, pass := range map[string]*answer{"of the old key": given, "of the new key": e.call(http.MethodGet, d.passPath(), p.token, nil).want(http.StatusOK)} {
		if reason := d.hold(p.key, pass.text("pass"), pass.text("pass_id"), d.entrance); reason != "" {
			t.Errorf("a pass %s: %s", name, reason)
		}
	}
	if n := e.retired(time.Now().Add(25 * time.Hour)); n != 1 {
		t.Errorf("%d keys retired after the pass, want 1", n)
	}
}
