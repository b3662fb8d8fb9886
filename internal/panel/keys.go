package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Keyring is the engine's own keys that are in use, oldest first. There is more
// than one while panels change over to a newer one (P1).
type Keyring []Engine

// EngineKeys knows the engine's keys as they are now.
type EngineKeys interface {
	Keyring(ctx context.Context) (Keyring, error)
}

// Keyring implements [EngineKeys] for an engine that never changes its key.
func (e Engine) Keyring(context.Context) (Keyring, error) { return Keyring{e}, nil }

// Newest is the key that new enrolment codes name.
func (k Keyring) Newest() Engine { return k[len(k)-1] }

// For is the key to sign with to a panel that trusts the keys of these ids: the
// newest of them. A panel that has named none trusts the oldest.
func (k Keyring) For(trusted ...string) Engine {
	for _, e := range slices.Backward(k) {
		if slices.Contains(trusted, e.KeyID) {
			return e
		}
	}
	return k[0]
}

// IDs names the keys.
func (k Keyring) IDs() []string {
	ids := make([]string, 0, len(k))
	for _, e := range k {
		ids = append(ids, e.KeyID)
	}
	return ids
}

// Public is what panels are told of the keys.
func (k Keyring) Public() *jose.JSONWebKeySet {
	set := &jose.JSONWebKeySet{}
	for _, e := range k {
		set.Keys = append(set.Keys, PublicJWK(e.KeyID, e.Key.Public().(ed25519.PublicKey)))
	}
	return set
}

// Unless is [Keyring.Public] for a panel that trusts the keys of these ids; none if
// it trusts these very keys already.
func (k Keyring) Unless(trusted []string) *jose.JSONWebKeySet {
	known := slices.Sorted(slices.Values(trusted))
	if slices.Equal(known, slices.Sorted(slices.Values(k.IDs()))) {
		return nil
	}
	return k.Public()
}

// SignEnrolled answers a request to enrol with the key whose fingerprint is in its
// code. A key that is no longer in use cannot.
func (k Keyring) SignEnrolled(answer EnrolAnswer, code, re string, now time.Time) (string, error) {
	signer, err := k.OfCode(code)
	if err != nil {
		return "", err
	}
	answer.EngineKeys = *k.Public()
	token, _, err := signer.Signer().Sign(unenrolled, TypeEnrolled, re, answer, now)
	return token, err
}

// OfCode is the key whose fingerprint is in an enrolment code.
func (k Keyring) OfCode(code string) (Engine, error) {
	fingerprint, err := codeFingerprint(code)
	if err != nil {
		return Engine{}, err
	}
	for _, e := range k {
		if bytes.Equal(Fingerprint(e.Key.Public().(ed25519.PublicKey)), fingerprint) {
			return e, nil
		}
	}
	return Engine{}, refuse(CodeBadSignature, "The engine's key of this enrolment code is no longer in use. Ask for a new code.")
}

// TrustedKey is a key of the engine as a panel keeps it.
type TrustedKey struct {
	ID  string            `json:"id"` // empty: from before keys were named
	Key ed25519.PublicKey `json:"key"`
}

// TrustedKeys are the engine's keys that a panel trusts.
type TrustedKeys []TrustedKey

// Trust reads keys that a message of the engine carries, once its signature has
// been checked. A set without one usable key is refused: a panel that trusted
// nobody could never be told otherwise.
func Trust(set jose.JSONWebKeySet) (TrustedKeys, error) {
	var keys TrustedKeys
	for _, jwk := range set.Keys {
		if key, ok := jwk.Key.(ed25519.PublicKey); ok && len(key) == ed25519.PublicKeySize && len(jwk.KeyID) <= maxID {
			keys = append(keys, TrustedKey{ID: jwk.KeyID, Key: key})
		}
	}
	if len(keys) == 0 {
		return nil, refuse(CodeMalformed, "engine_keys has no Ed25519 key.")
	}
	return keys, nil
}

// IDs names the keys that have a name.
func (k TrustedKeys) IDs() []string {
	ids := []string{}
	for _, key := range k {
		if key.ID != "" {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

// Open is [Open] for a message of the engine: any of the keys may have signed it.
// The key id in its header is no more than a hint.
func (k TrustedKeys) Open(ctx context.Context, token string, want Expect, now time.Time, guard ReplayGuard, body any) (Envelope, error) {
	return Open(ctx, token, k.signerOf(token), want, now, guard, body)
}

// signerOf is the key that made the signature; the first one if none did, so that
// the refusal is of the signature.
func (k TrustedKeys) signerOf(token string) ed25519.PublicKey {
	if len(k) == 0 {
		return nil
	}
	signed, err := parse(token)
	if err != nil {
		return k[0].Key
	}
	for _, key := range k {
		if _, err := signed.Verify(key.Key); err == nil {
			return key.Key
		}
	}
	return k[0].Key
}
