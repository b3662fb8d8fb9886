package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var (
	newerKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, ed25519.SeedSize))
	ring     = Keyring{engine, {KeyID: "eng_2", Key: newerKey}}
)

// P1: the engine signs with the newest key that a panel trusts.
func TestKeyringFor(t *testing.T) {
	for want, trusted := range map[string][]string{"eng_2": {"eng_1", "eng_2"}, "eng_1": {"eng_1", "eng_9"}} {
		if got := ring.For(trusted...).KeyID; got != want {
			t.Errorf("to one that trusts %v it signs with %s", trusted, got)
		}
	}
	if got := ring.For().KeyID; got != "eng_1" {
		t.Errorf("to one that says nothing it signs with %s", got)
	}
	if ring.Unless([]string{"eng_2", "eng_1"}) != nil || ring.Unless([]string{"eng_1"}) == nil || ring.Unless([]string{"eng_0", "eng_1", "eng_2"}) == nil {
		t.Error("keys are sent to a panel that has them, or not to one that does not")
	}
}

// P1: a code from before a new key enrols as long as its own key is in use.
func TestEnrolmentWithAnOlderKeysCode(t *testing.T) {
	code, _, err := NewEnrolmentCode(engineKey.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	token, err := ring.SignEnrolled(EnrolAnswer{PanelID: "pan_1"}, code, "re", noon)
	if err != nil {
		t.Fatal(err)
	}
	answer, signed, err := OpenEnrolled(context.Background(), token, code, "re", noon)
	if err != nil || !signed.Equal(engineKey.Public()) {
		t.Fatalf("signed by %x, %v", signed, err)
	}
	trusted, err := Trust(answer.EngineKeys)
	if err != nil || !slices.Equal(trusted.IDs(), []string{"eng_1", "eng_2"}) {
		t.Errorf("it trusts %v, %v", trusted.IDs(), err)
	}
	if _, err := ring[1:].SignEnrolled(EnrolAnswer{}, code, "re", noon); err == nil {
		t.Error("a key that is retired has signed")
	}
}

// P1: any trusted key may have signed, whatever the header says; no other.
func TestTrustedKeysOpen(t *testing.T) {
	both, err := Trust(*ring.Public())
	if err != nil {
		t.Fatal(err)
	}
	want := Expect{Issuer: EngineName, Audience: "pan_1", Type: TypeStatusQuery}
	for name, c := range map[string]struct {
		signer  Signer
		trusted TrustedKeys
		good    bool
	}{
		"the older":             {ring[0].Signer(), both, true},
		"the newer":             {ring[1].Signer(), both, true},
		"a name that is wrong":  {Signer{Name: EngineName, KeyID: "eng_2", Key: engineKey}, both, true},
		"a key without a name":  {ring[0].Signer(), TrustedKeys{{Key: engineKeys[0].Key}}, true},
		"one that was dropped":  {ring[0].Signer(), both[1:], false},
		"a foreign key":         {Signer{Name: EngineName, KeyID: "eng_1", Key: panelKey}, both, false},
		"a panel without a key": {ring[0].Signer(), nil, false},
	} {
		token, _, err := c.signer.Sign("pan_1", TypeStatusQuery, "", StatusQuery{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.trusted.Open(context.Background(), token, want, noon, nil, new(StatusQuery))
		refusal, refused := AsError(err)
		if (err == nil) != c.good || refused && refusal.Code != CodeBadSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Trust(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("secret"), KeyID: "x"}}}); err == nil {
		t.Error("a panel would trust nobody")
	}
}
