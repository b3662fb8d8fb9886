package panelsim_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/panel"
)

// P1: a state file from when a panel trusted one key of the engine is read still.
func TestStateFileWithOneEngineKey(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	e.start(e.code, file).stop()
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var old bytes.Buffer
	rewritten := 0
	for line := range bytes.Lines(document) {
		var step map[string]map[string]any
		if json.Unmarshal(line, &step) == nil && step["identity"]["engine_keys"] != nil {
			keys := step["identity"]["engine_keys"].([]any)
			step["identity"]["engine_key"] = keys[0].(map[string]any)["key"]
			delete(step["identity"], "engine_keys")
			if line, err = json.Marshal(step); err != nil {
				t.Fatal(err)
			}
			line = append(line, '\n')
			rewritten++
		}
		old.Write(line)
	}
	if err := os.WriteFile(file, old.Bytes(), 0o600); err != nil || rewritten == 0 {
		t.Fatalf("%d identities rewritten, %v", rewritten, err)
	}
	s := e.start("", file)
	if got := s.put(grant(1, "ent_1")); got != 1 {
		t.Errorf("it holds revision %d", got)
	}
}

// P9, P4: a proof opens once, also across a restart of the process, and what a pass
// did is still reported after it.
func TestP9AProofOpensOnceAcrossARestart(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	e.grants = []panel.Grant{grant(1, "ent_1")}
	s := e.start(e.code, file)
	_, phone, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pass, err := e.identity.Signer().SignPass(panel.Pass{
		GrantID: "inv_1", ID: "pass_1", IssuedAt: time.Now().Unix(), Expires: time.Now().Add(time.Hour).Unix(), EntranceIDs: []string{"ent_1"},
		Confirmation: panel.Confirmation{JWK: jose.JSONWebKey{Key: phone.Public()}}, GrantRevision: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.fail("/panel/v1/events", -1) // cut off
	show := func(s *sim, proof string) string {
		var answer struct{ Result, Reason string }
		s.control("POST", "/sim/pass", map[string]string{"pass": pass, "proof": proof, "entrance_id": "ent_1"}, 200, &answer)
		return answer.Result + answer.Reason
	}
	var proof string
	await(t, "the door opens", func() bool { // not in the very second of the start
		if proof, err = panel.SignProof(phone, "pan_1", "ent_1", "pass_1", time.Now()); err != nil {
			t.Fatal(err)
		}
		return show(s, proof) == "opened"
	})
	if got := show(s, proof); got != "refusedproof_replayed" {
		t.Errorf("the same proof again: %s", got)
	}
	s.stop()
	e.fail("/panel/v1/events", 0)
	again := e.start("", file)
	if got := show(again, proof); got != "refusedproof_expired" {
		t.Errorf("the same proof after a restart: %s", got)
	}
	opened := func() (n int) {
		for _, event := range e.reported() {
			if event == "opened  " {
				n++
			}
		}
		return n
	}
	await(t, "the engine has the opening", func() bool { return again.state().Unsent == 0 && opened() > 0 })
	if opened() != 1 || len(again.state().Opened) != 1 {
		t.Errorf("reported %d openings of %+v", opened(), again.state().Opened)
	}
}
