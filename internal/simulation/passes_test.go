package simulation_test

import (
	"crypto/ed25519"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"latchkey/activities"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// held is a pass in a guest's phone.
type held struct {
	guest *guest
	token string
	pass  panel.Pass
}

// givePhone signs a phone in, in which all guests keep their passes: the simulation is
// about doors, not about phones.
func (w *world) givePhone() {
	w.Helper()
	now := w.clock.Now()
	attempt := must(w.store.StartSignIn(w.ctx, "phone@example.com", "en", "192.0.2.1", now))(w)
	due, _, err := w.store.DueMessages(w.ctx, 1000, now)
	if err != nil {
		w.Fatal(err)
	}
	code := ""
	for _, m := range due {
		if m.Template == "sign_in_code" {
			code = must(w.store.MessageSecret(m))(w)
		}
	}
	_, session, err := w.store.SignIn(w.ctx, attempt, code, now)
	if err != nil {
		w.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.Fatal(err)
	}
	key := jose.JSONWebKey{Key: public}
	w.phone, w.session = private, session.ID
	_, err = w.store.PutDevice(w.ctx, store.Device{
		SessionID: session.ID, PersonID: session.PersonID, PublicKey: must(key.MarshalJSON())(w), Thumbprint: "phone",
	}, now)
	if err != nil {
		w.Fatal(err)
	}
}

// takePass fetches a pass for the next day (P9).
func (w *world) takePass() {
	w.Helper()
	g := pick(w, w.guests)
	given, err := w.store.IssuePass(w.ctx, activities.UnlockRequest{AccountID: w.account, InvitationID: g.s.ID}, w.session, w.clock.Now())
	var no *store.DecisionError
	if errors.As(err, &no) {
		w.tally["pass: none, "+string(no.Decision.Code)]++
		return
	}
	if err != nil {
		w.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(given.DeviceKey); err != nil {
		w.Fatal(err)
	}
	pass := panel.Pass{
		GrantID: given.InvitationID, ID: given.ID, IssuedAt: given.IssuedAt.Unix(), Expires: given.ExpiresAt.Unix(),
		EntranceIDs: given.Entrances, Confirmation: panel.Confirmation{JWK: key}, GrantRevision: given.GrantRevision,
	}
	w.passes = append(w.passes, &held{guest: g, token: must(w.engine.Signer().SignPass(pass))(w), pass: pass})
}

// showPass holds a phone with a pass to a door, and judges by what the panel holds
// whether it should open.
func (w *world) showPass() {
	w.Helper()
	if len(w.passes) == 0 {
		return
	}
	h := pick(w, w.passes[max(0, len(w.passes)-30):])
	d := w.door(pick(w, h.pass.EntranceIDs))
	if w.rnd.IntN(4) == 0 {
		d = pick(w, h.guest.at.entrances)
	}
	is := w.look(d.panel)
	proof := must(panel.SignProof(w.phone, d.panel.id, d.id, h.pass.ID, is.Clock))(w)
	answer := w.control(d.panel, "/sim/pass", map[string]any{"pass": h.token, "entrance_id": d.id, "proof": proof})
	result, reason := answer.Text("result"), answer.Text("reason")
	w.tally["pass: "+result+" "+reason]++
	want := false
	for _, g := range is.Grants {
		if g.GrantID == h.pass.GrantID && !g.Tombstone {
			want = slices.Contains(g.EntranceIDs, d.id) && slices.Contains(h.pass.EntranceIDs, d.id) && inside(g, is.Clock) &&
				is.Clock.Unix() < h.pass.Expires && (g.PassesSince == nil || h.pass.IssuedAt >= g.PassesSince.Unix()) &&
				is.leased() && is.open(d.id, "")
		}
	}
	if result == "opened" && !want {
		w.Errorf("%s opened %s by a pass of %s, though by what it holds it should not", d.panel.id, d.id, h.pass.GrantID)
	}
	if result == "refused" && want && reason != "refused" && reason != "proof_expired" {
		w.Errorf("%s refused a pass of %s at %s with %q, though by what it holds it should open", d.panel.id, h.pass.GrantID, d.id, reason)
	}
}
