package api_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/access"
	"latchkey/internal/panel"
)

// phone is a guest's phone with a key of its own.
type phone struct {
	key   crypto.Signer
	token string // of the session
}

func jwkOf(key crypto.Signer) jose.JSONWebKey { return jose.JSONWebKey{Key: key.Public()} }

func newPhone(t *testing.T, curve string) crypto.Signer {
	t.Helper()
	if curve == "P-256" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (d *door) passPath() string { return "/v1/me/guest-keys/" + d.invitation.ID + "/pass" }

// signedIn is a phone whose guest has signed in and which has named its key.
func (d *door) signedIn(curve string) phone {
	d.e.t.Helper()
	p := phone{key: newPhone(d.e.t, curve), token: d.e.signIn(guestAddress)}
	d.e.call(http.MethodPut, "/v1/me/device", p.token, object{"public_key": jwkOf(p.key)}).want(http.StatusOK)
	// Proofs from the second in which the panel started are refused.
	await(d.e.t, "the panel takes proofs", func() bool { return time.Since(d.started) > time.Second })
	return p
}

// hold holds a pass to the panel and gives what the panel says.
func (d *door) hold(key crypto.Signer, pass, passID, entranceID string) (reason string) {
	d.e.t.Helper()
	proof, err := panel.SignProof(key, d.panel, entranceID, passID, time.Now())
	if err != nil {
		d.e.t.Fatal(err)
	}
	return d.show(pass, proof)
}

func (d *door) show(pass, proof string) (reason string) {
	d.e.t.Helper()
	var answer struct{ Result, Reason string }
	d.control(http.MethodPost, "/sim/pass", object{"pass": pass, "proof": proof}, &answer)
	if (answer.Result == "opened") != (answer.Reason == "") {
		d.e.t.Fatalf("the panel says %+v", answer)
	}
	return answer.Reason
}

// P9, I7, I10, P6: a cut-off door opens for a pass; the engine hears of it later,
// once, with the door's own time, and the inviter is told.
func TestP9ACutOffDoorOpensByAPass(t *testing.T) {
	for _, curve := range []string{"P-256", "Ed25519"} {
		t.Run(curve, func(t *testing.T) {
			e := start(t)
			d := e.door(nil)
			p := d.signedIn(curve)
			given := e.call(http.MethodGet, d.passPath(), p.token, nil).want(http.StatusOK)
			again := e.call(http.MethodGet, d.passPath(), p.token, nil).want(http.StatusOK)
			if given.text("pass") != again.text("pass") {
				t.Error("asking again at once gives another pass")
			}
			d.fault("offline")
			before := time.Now()
			if reason := d.hold(p.key, given.text("pass"), given.text("pass_id"), d.entrance); reason != "" {
				t.Fatalf("the door stays shut: %s", reason)
			}
			if n := len(d.events("entrance.opened")); n != 0 {
				t.Fatalf("the engine knows of %d openings that nobody could report", n)
			}
			d.fault("none")
			await(t, "the opening is in the log", func() bool { return len(d.events("entrance.opened")) > 0 })
			await(t, "the panel has nothing more to report", func() bool { return d.state().Unsent == 0 })
			events := d.events("entrance.opened")
			detail, _ := events[0]["detail"].(map[string]any)
			if len(events) != 1 || detail["via"] != "pass" || detail["pass_id"] != given.text("pass_id") || events[0]["item_id"] != d.invitation.ID {
				t.Errorf("the log has %v", events)
			}
			at, err := time.Parse(time.RFC3339, events[0]["at"].(string))
			if err != nil || at.Before(before.Add(-time.Second)) || at.After(time.Now()) {
				t.Errorf("it opened at %s (%v)", at, err)
			}
			due, _, err := e.store.DueMessages(t.Context(), 50, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			for _, m := range due {
				if m.Template == access.TemplateEntranceUnlocked && m.PersonID == d.inviter.Person.ID {
					told++
				}
			}
			if told != 1 {
				t.Errorf("the inviter was told %d times", told)
			}
		})
	}
}

// P9: a pass opens for the phone it was given to, at the doors it names, once per
// proof, and as long as the panel knows of nothing against it.
func TestP9WhatAPassDoesNotOpen(t *testing.T) {
	e := start(t)
	d := e.door(nil)
	p := d.signedIn("P-256")
	given := e.call(http.MethodGet, d.passPath(), p.token, nil).want(http.StatusOK)
	pass, passID := given.text("pass"), given.text("pass_id")
	want := func(name, reason, got string) {
		t.Helper()
		if got != reason {
			t.Errorf("%s: %q, want %q", name, got, reason)
		}
	}
	want("another phone", "pass_unproven", d.hold(newPhone(t, "P-256"), pass, passID, d.entrance))
	want("a proof for another door", "pass_unproven", d.hold(p.key, pass, passID, "ent_other"))
	want("a proof for another pass", "pass_unproven", d.hold(p.key, pass, "pass_other", d.entrance))
	want("no pass at all", "pass_invalid", d.show("junk", "junk"))
	want("a signature changed", "pass_invalid", d.show(pass[:len(pass)-6]+"AAAAAA", "junk"))

	proof, err := panel.SignProof(p.key, d.panel, d.entrance, passID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want("the first time", "", d.show(pass, proof))
	want("the same proof again", "proof_replayed", d.show(pass, proof))
	for name, off := range map[string]time.Duration{"a proof from before": -31 * time.Second, "a proof from after": 35 * time.Second} {
		stale, err := panel.SignProof(p.key, d.panel, d.entrance, passID, time.Now().Add(off))
		if err != nil {
			t.Fatal(err)
		}
		want(name, "proof_expired", d.show(pass, stale))
	}

	d.change(func(i *access.Invitation) error { return i.RequireVerification(time.Now().Add(2*time.Second), "") }) // I10
	d.control(http.MethodPost, "/sim/restart", object{}, new(simState))                                            // it asks for what it should hold
	await(t, "the panel has heard of the demand", func() bool { s := d.state(); return len(s.Grants) == 1 && s.Grants[0].PassesSince != nil })
	want("a pass from before the demand", "pass_void", d.hold(p.key, pass, passID, d.entrance))

	d.change(func(i *access.Invitation) error { return i.Revoke(time.Now(), "", "") }) // I13
	d.control(http.MethodPost, "/sim/restart", object{}, new(simState))
	await(t, "the panel has heard of the end", func() bool { return d.state().Grants[0].Revision == d.invitation.Revision })
	want("after the end", "not_active", d.hold(p.key, pass, passID, d.entrance))
	await(t, "the refusals are in the log", func() bool { return len(d.events("entrance.denied")) == 10 })
}

// P9, E6, E8: who gets no pass, and what to do about it.
func TestP9WhoGetsNoPass(t *testing.T) {
	e := start(t)
	d := e.door(nil)
	token := e.signIn(guestAddress)
	e.call(http.MethodGet, d.passPath(), token, nil).refused(http.StatusConflict, "device_required")
	private := jose.JSONWebKey{Key: newPhone(t, "P-256")}
	for name, body := range map[string]any{
		"a private key": object{"public_key": private},
		"no point":      object{"public_key": object{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}},
		"another kind":  object{"public_key": object{"kty": "RSA", "n": "AAAA", "e": "AQAB"}},
		"no y":          object{"public_key": object{"kty": "EC", "crv": "P-256", "x": "AAAA"}},
		"nothing":       object{},
	} {
		if a := e.call(http.MethodPut, "/v1/me/device", token, body); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	exported := object{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "key_ops": []string{"verify"}, "ext": true}
	first := e.call(http.MethodPut, "/v1/me/device", token, object{"public_key": exported}).want(http.StatusOK)
	if first.text("thumbprint") != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" { // the example of RFC 8037
		t.Errorf("the thumbprint is %s", first.body)
	}
	e.call(http.MethodGet, d.passPath(), token, nil).want(http.StatusOK)
	e.call(http.MethodGet, d.passPath(), e.key, nil).refused(http.StatusUnauthorized, "unauthorized")

	stranger := e.signIn("eve@example.com") // E8
	e.call(http.MethodPut, "/v1/me/device", stranger, object{"public_key": exported}).want(http.StatusOK)
	e.call(http.MethodGet, d.passPath(), stranger, nil).refused(http.StatusNotFound, "not_found")

	e.call(http.MethodPatch, "/v1/properties/"+d.property, e.key, object{"policy": object{"verification": "on_site"}}).want(http.StatusOK)
	e.call(http.MethodGet, d.passPath(), token, nil).want(http.StatusOK) // I10: nobody is refused within an hour of the change
	d.change(func(i *access.Invitation) error { return i.RequireVerification(time.Now(), "") })
	e.call(http.MethodGet, d.passPath(), token, nil).refused(http.StatusForbidden, "verification_required")
	d.change(func(i *access.Invitation) error { return i.Revoke(time.Now(), "", "") })
	e.call(http.MethodGet, d.passPath(), token, nil).refused(http.StatusForbidden, "not_active")
}
