package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"
)

// P1: a code is 128 random bits bound to the engine's key, and is the same however
// it is typed.
func TestEnrolmentCode(t *testing.T) {
	code, hash, err := NewEnrolmentCode(enginePublic)
	if err != nil {
		t.Fatal(err)
	}
	another, _, err := NewEnrolmentCode(enginePublic)
	if err != nil || another == code {
		t.Fatalf("two codes are the same: %s (%v)", code, err)
	}
	for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " "), " " + code + " "} {
		if !bytes.Equal(HashEnrolmentCode(typed), hash) {
			t.Errorf("%q is not recognised as %q", typed, code)
		}
	}
	for _, typed := range []string{"", "hello", code[:len(code)-1], code + "A", strings.Replace(code, code[:1], "1", 1)} {
		if _, _, err := SignEnrolment(panelKey, nil, typed, "", noon); err == nil {
			t.Errorf("%q was sent as an enrolment code", typed)
		}
	}
}

// P1: the engine learns who has the key that is enrolled, and nobody else's.
func TestRequestToEnrol(t *testing.T) {
	request := func(signer ed25519.PrivateKey, carried ed25519.PublicKey) string {
		body := EnrolRequest{EnrolmentCode: goldenCode, PublicKey: PublicJWK("", carried)}
		token, _, err := Signer{Name: unenrolled, Key: signer}.Sign(EngineName, TypeEnrol, "", body, noon)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	open := func(token string, guard ReplayGuard, now time.Time) error {
		_, _, _, err := OpenEnrolment(context.Background(), token, now, guard)
		return err
	}
	mine := panelKey.Public().(ed25519.PublicKey)
	guard := &Memory{Now: func() time.Time { return noon }}
	good := request(panelKey, mine)
	if err := open(good, guard, noon); err != nil {
		t.Fatal(err)
	}
	wantCode(t, open(good, guard, noon), CodeReplayed)
	wantCode(t, open(request(engineKey, mine), guard, noon), CodeBadSignature)
	wantCode(t, open(request(panelKey, mine), guard, noon.Add(time.Hour)), CodeExpiredMessage)
	wantCode(t, open(command(t), guard, noon), CodeMalformed)
	wantCode(t, open("", guard, noon), CodeMalformed)
	wantCode(t, open(strings.Repeat("x", MaxMessage+1), guard, noon), CodeTooLarge)
}

// P1: a panel believes the engine that its code was made by, in answer to its own
// request, and nobody in between.
func TestAnswerToEnrolment(t *testing.T) {
	impostor := Engine{KeyID: engine.KeyID, Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	answer := func(by Engine, re string) string {
		token, err := by.SignEnrolled(EnrolAnswer{PanelID: "pan_1"}, re, noon)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	open := func(token string) error {
		_, _, err := OpenEnrolled(context.Background(), token, goldenCode, "request", noon)
		return err
	}
	if err := open(answer(engine, "request")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, open(answer(impostor, "request")), CodeBadSignature)
	wantCode(t, open(answer(engine, "other")), CodeWrongType)

	// The impostor shows the engine's key, which is no secret, and signs with its own.
	var body EnrolAnswer
	body.EngineKeys.Keys = append(body.EngineKeys.Keys, PublicJWK(engine.KeyID, enginePublic))
	token, _, err := impostor.Signer().Sign(unenrolled, TypeEnrolled, "request", body, noon)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, open(token), CodeBadSignature)
}
