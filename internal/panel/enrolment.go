package panel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var codeEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Fingerprint is a short digest of a public key: 80 bits of SHA-256 over its 32
// bytes.
func Fingerprint(key ed25519.PublicKey) []byte {
	digest := sha256.Sum256(key)
	return digest[:fingerprintBytes]
}

// NewEnrolmentCode makes a code for one panel: 128 random bits and the fingerprint
// of the engine's key, in base32, by groups of six. hash is what the engine keeps
// of it (P1).
func NewEnrolmentCode(engine ed25519.PublicKey) (code string, hash []byte, err error) {
	secret := make([]byte, enrolmentSecretBytes)
	if _, err := rand.Read(secret); err != nil {
		return "", nil, err
	}
	text := codeEncoding.EncodeToString(append(secret, Fingerprint(engine)...))
	var groups []string
	for len(text) > 6 {
		groups, text = append(groups, text[:6]), text[6:]
	}
	code = strings.Join(append(groups, text), "-")
	return code, HashEnrolmentCode(code), nil
}

// HashEnrolmentCode is what the engine looks a code up by, however it was typed:
// case, dashes and spaces do not count.
func HashEnrolmentCode(code string) []byte {
	digest := sha256.Sum256([]byte(bareCode(code)))
	return digest[:]
}

func bareCode(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
}

// codeFingerprint is the part of a code that names the engine's key.
func codeFingerprint(code string) ([]byte, error) {
	decoded, err := codeEncoding.DecodeString(bareCode(code))
	if err != nil || len(decoded) != enrolmentSecretBytes+fingerprintBytes {
		return nil, refuse(CodeMalformed, "This is not an enrolment code. Copy it whole.")
	}
	return decoded[enrolmentSecretBytes:], nil
}

// SignEnrolment makes a panel's request to enrol, signed by the key it enrols.
// encryption is the key that booking codes are to be encrypted to; nil for a panel
// that takes none.
func SignEnrolment(key ed25519.PrivateKey, encryption *ecdsa.PublicKey, code, address string, now time.Time) (token, id string, err error) {
	if _, err := codeFingerprint(code); err != nil {
		return "", "", err
	}
	request := EnrolRequest{EnrolmentCode: code, PublicKey: PublicJWK("", key.Public().(ed25519.PublicKey)), Address: address}
	if encryption != nil {
		request.EncryptionKey = &jose.JSONWebKey{Key: encryption, Use: "enc", Algorithm: string(jose.ECDH_ES)}
	}
	return Signer{Name: unenrolled, Key: key}.Sign(EngineName, TypeEnrol, "", request, now)
}

// OpenEnrolment checks a request to enrol against the key that it carries: whoever
// sent it has that key. Whether the code is good is for the engine to say.
func OpenEnrolment(ctx context.Context, token string, now time.Time, guard ReplayGuard) (EnrolRequest, ed25519.PublicKey, Envelope, error) {
	var request EnrolRequest
	key, err := carriedKey(token)
	if err != nil {
		return request, nil, Envelope{}, err
	}
	e, err := Open(ctx, token, key, Expect{Issuer: unenrolled, Audience: EngineName, Type: TypeEnrol}, now, guard, &request)
	return request, key, e, err
}

// SignEnrolled answers a request to enrol.
func (e Engine) SignEnrolled(answer EnrolAnswer, re string, now time.Time) (string, error) {
	answer.EngineKeys = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{PublicJWK(e.KeyID, e.Key.Public().(ed25519.PublicKey))}}
	token, _, err := e.Signer().Sign(unenrolled, TypeEnrolled, re, answer, now)
	return token, err
}

// OpenEnrolled checks the engine's answer on the panel's side: it must be signed
// by the very key whose fingerprint is in the code, so that nobody between the two
// can pose as the engine.
func OpenEnrolled(ctx context.Context, token, code, re string, now time.Time) (answer EnrolAnswer, engine ed25519.PublicKey, err error) {
	fingerprint, err := codeFingerprint(code)
	if err != nil {
		return answer, nil, err
	}
	var unverified EnrolAnswer
	if err := peek(token, &unverified); err != nil {
		return answer, nil, err
	}
	for _, jwk := range unverified.EngineKeys.Keys {
		key, ok := jwk.Key.(ed25519.PublicKey)
		if !ok || !bytes.Equal(Fingerprint(key), fingerprint) {
			continue
		}
		_, err := Open(ctx, token, key, Expect{Issuer: EngineName, Audience: unenrolled, Type: TypeEnrolled, Re: re}, now, nil, &answer)
		return answer, key, err
	}
	return answer, nil, refuse(CodeBadSignature, "The answer is not signed by the engine that made this enrolment code.")
}

// carriedKey is the key in an unverified request to enrol.
func carriedKey(token string) (ed25519.PublicKey, error) {
	var unverified EnrolRequest
	if err := peek(token, &unverified); err != nil {
		return nil, err
	}
	key, ok := unverified.PublicKey.Key.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, refuse(CodeMalformed, "public_key must be an Ed25519 key as a JWK.")
	}
	return key, nil
}

// peek reads the body of a message without believing it.
func peek(token string, body any) error {
	signed, err := parse(token)
	if err != nil {
		return err
	}
	var e Envelope
	if json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &e) != nil || json.Unmarshal(e.Body, body) != nil {
		return refuse(CodeMalformed, "The payload is not an envelope with the body that its type says.")
	}
	return nil
}

// PublicJWK writes a public key as a JWK.
func PublicJWK(id string, key ed25519.PublicKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.EdDSA), Use: "sig"}
}
