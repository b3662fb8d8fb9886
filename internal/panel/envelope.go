package panel

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Envelope is the payload of every signed message: who says it to whom, when, as
// what, and in answer to which message.
type Envelope struct {
	Issuer   string          `json:"iss"`
	Audience string          `json:"aud"`
	IssuedAt int64           `json:"iat"` // Unix seconds
	Expires  int64           `json:"exp"`
	ID       string          `json:"jti"`
	Type     Type            `json:"typ"`
	Re       string          `json:"re,omitempty"` // the jti that this answers
	Body     json.RawMessage `json:"body"`
}

// Code names why a message was refused.
type Code string

// The codes of refused messages, as in the answer's problem document.
const (
	CodeMalformed      Code = "malformed"
	CodeTooLarge       Code = "too_large"
	CodeBadSignature   Code = "bad_signature"
	CodeWrongAudience  Code = "wrong_audience"
	CodeWrongType      Code = "wrong_type"
	CodeExpiredMessage Code = "expired_message"
	CodeReplayed       Code = "replayed"
)

// Error is a refused message.
type Error struct {
	Code   Code
	Detail string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

func refuse(code Code, detail string) error { return &Error{Code: code, Detail: detail} }

// Signer signs in the name of one side.
type Signer struct {
	Name  string // iss: the engine's name or the panel's id
	KeyID string
	Key   ed25519.PrivateKey
}

// Signer is the engine as a signer.
func (e Engine) Signer() Signer { return Signer{Name: EngineName, KeyID: e.KeyID, Key: e.Key} }

// Sign makes a compact JWS of a body for a receiver. re is the id of the message
// that it answers, empty for a request. It returns the message's own id as well.
func (s Signer) Sign(audience string, typ Type, re string, body any, now time.Time) (token, id string, err error) {
	document, err := json.Marshal(body)
	if err != nil {
		return "", "", err
	}
	e := Envelope{
		Issuer: s.Name, Audience: audience, IssuedAt: now.Unix(), Expires: now.Add(messageTTL).Unix(),
		ID: rand.Text(), Type: typ, Re: re, Body: document,
	}
	token, err = s.seal(e)
	return token, e.ID, err
}

func (s Signer) seal(e Envelope) (string, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: s.Key, KeyID: s.KeyID}}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// ReplayGuard remembers message ids until they would be refused for their age.
type ReplayGuard interface {
	// SeenBefore remembers the id and reports whether it was known.
	SeenBefore(ctx context.Context, issuer, id string, expires time.Time) (bool, error)
}

// Expect is what a receiver demands of a message besides a good signature.
type Expect struct {
	Issuer   string // empty: any, because the key says who it is
	Audience string
	Type     Type
	Re       string // of an answer: the id of the request
}

// Open checks a message and reads its body. The order matters: nothing of a
// message is believed before its signature, and only a good one is remembered
// against replay. Answers need no guard, because they are bound to their request.
func Open(ctx context.Context, token string, key ed25519.PublicKey, want Expect, now time.Time, guard ReplayGuard, body any) (Envelope, error) {
	var e Envelope
	signed, err := parse(token)
	if err != nil {
		return e, err
	}
	if len(key) != ed25519.PublicKeySize {
		return e, refuse(CodeBadSignature, "No key is known for the sender.")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return e, refuse(CodeBadSignature, "The signature does not verify with the key that is known for the sender.")
	}
	if err := json.Unmarshal(payload, &e); err != nil || e.ID == "" || len(e.ID) > maxID {
		return e, refuse(CodeMalformed, "The payload is not an envelope.")
	}
	if err := want.check(e, now); err != nil {
		return e, err
	}
	if guard != nil {
		seen, err := guard.SeenBefore(ctx, e.Issuer, e.ID, time.Unix(e.Expires, 0).Add(clockTolerance))
		if err != nil {
			return e, err
		}
		if seen {
			return e, refuse(CodeReplayed, "This message was received before. Sign a new one.")
		}
	}
	if err := json.Unmarshal(e.Body, body); err != nil {
		return e, refuse(CodeMalformed, "The body is not what its type says.")
	}
	return e, nil
}

func (want Expect) check(e Envelope, now time.Time) error {
	switch {
	case e.Audience != want.Audience:
		return refuse(CodeWrongAudience, "The message is meant for another receiver.")
	case want.Issuer != "" && e.Issuer != want.Issuer:
		return refuse(CodeBadSignature, "The message names another sender than the key it is signed with.")
	case e.Type != want.Type, e.Re != want.Re:
		return refuse(CodeWrongType, fmt.Sprintf("A message of type %s was expected here.", want.Type))
	// Each comparison bounds what the next one adds to, so that no number overflows.
	case e.IssuedAt > now.Add(clockTolerance).Unix(), e.Expires > e.IssuedAt+int64(messageTTL/time.Second),
		now.After(time.Unix(e.Expires, 0).Add(clockTolerance)):
		return refuse(CodeExpiredMessage, "The message is too old, or from the future. Check the clock.")
	}
	return nil
}

// Sender reads who a message says it is from, without believing it, so that the
// receiver can look up the key.
func Sender(token string) (issuer string, err error) {
	e, err := unverified(token)
	return e.Issuer, err
}

// unverified reads an envelope without believing it.
func unverified(token string) (e Envelope, err error) {
	signed, err := parse(token)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &e); err != nil {
		return Envelope{}, refuse(CodeMalformed, "The payload is not an envelope.")
	}
	return e, nil
}

// parse reads a compact JWS without believing it. EdDSA is the only algorithm, so
// that neither "none" nor a public key taken for an HMAC secret gets anywhere, and
// no message brings along the key to verify it with.
func parse(token string) (*jose.JSONWebSignature, error) {
	if len(token) > maxMessage {
		return nil, refuse(CodeTooLarge, "The message is larger than 1 MiB.")
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, refuse(CodeMalformed, "The body must be a compact JWS signed with EdDSA.")
	}
	if signed.Signatures[0].Header.JSONWebKey != nil {
		return nil, refuse(CodeMalformed, "The header must not carry a key (jwk).")
	}
	return signed, nil
}

// Memory is a ReplayGuard of one process. The zero value is ready. It holds no more
// than twice the ids that are still acceptable, or 10,000 if that is more.
type Memory struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	sweep int // how many ids to hold before the next search for forgettable ones
	// Now is the clock by which ids are forgotten; time.Now if nil.
	Now func() time.Time
}

// SeenBefore implements ReplayGuard.
func (m *Memory) SeenBefore(_ context.Context, issuer, id string, expires time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.Now != nil {
		now = m.Now()
	}
	if m.seen == nil {
		m.seen, m.sweep = map[string]time.Time{}, sweepFrom
	}
	if len(m.seen) >= m.sweep {
		for known, until := range m.seen {
			if now.After(until) {
				delete(m.seen, known)
			}
		}
		m.sweep = max(sweepFrom, 2*len(m.seen))
	}
	key := issuer + "/" + id
	_, seen := m.seen[key]
	m.seen[key] = expires
	return seen, nil
}

// AsError gives the refusal behind an error, if it is one.
func AsError(err error) (*Error, bool) {
	var e *Error
	return e, errors.As(err, &e)
}
