package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The limits that the protocol names.
const (
	mediaType  = "application/jose"
	maxMessage = 1 << 20
	tolerance  = 30 * time.Second
	lifetime   = time.Minute
	engineName = "latchkey"
	unenrolled = "unenrolled"
)

// envelope is the payload of every message.
type envelope struct {
	Iss  string          `json:"iss"`
	Aud  string          `json:"aud"`
	Iat  int64           `json:"iat"`
	Exp  int64           `json:"exp"`
	Jti  string          `json:"jti"`
	Typ  string          `json:"typ"`
	Re   string          `json:"re,omitempty"`
	Body json.RawMessage `json:"body"`
}

// The bodies, as the protocol writes them.
type (
	grant struct {
		GrantID     string     `json:"grant_id"`
		Kind        string     `json:"kind"`
		Revision    int64      `json:"revision"`
		StartsAt    *time.Time `json:"starts_at,omitempty"`
		EndsAt      *time.Time `json:"ends_at,omitempty"`
		EntranceIDs []string   `json:"entrance_ids"`
		Tombstone   bool       `json:"tombstone"`
		KeyID       string     `json:"key_id,omitempty"`
		CodeJWE     string     `json:"code_jwe,omitempty"`
		NoPickup    string     `json:"no_pickup,omitempty"`
		LeaseUntil  *time.Time `json:"lease_until,omitempty"`
		PassesSince *time.Time `json:"passes_since,omitempty"`
	}
	grantAck struct {
		GrantID  string `json:"grant_id"`
		Revision int64  `json:"revision"`
	}
	command struct {
		CommandID     string    `json:"command_id"`
		Op            string    `json:"op"`
		EntranceID    string    `json:"entrance_id,omitempty"`
		Slot          int       `json:"slot,omitempty"`
		GrantID       string    `json:"grant_id"`
		GrantRevision int64     `json:"grant_revision"`
		BootID        string    `json:"boot_id"`
		ExpiresAt     time.Time `json:"expires_at"`
		Purpose       string    `json:"purpose,omitempty"`
		KeyID         string    `json:"key_id,omitempty"`
		PanelCode     string    `json:"panel_code,omitempty"`
		PolicyVersion int64     `json:"policy_version,omitempty"`
	}
	policy struct {
		EntranceID   string     `json:"entrance_id"`
		Version      int64      `json:"version"`
		OpenToGuests bool       `json:"open_to_guests"`
		Schedules    []schedule `json:"schedules"`
		TimeZone     string     `json:"time_zone"`
		LockedDown   bool       `json:"locked_down"`
		LockedKeys   []string   `json:"locked_keys,omitempty"`
	}
	schedule struct {
		Days []string `json:"days"`
		From string   `json:"from"`
		To   string   `json:"to"`
	}
	policyAck struct {
		EntranceID string `json:"entrance_id"`
		Version    int64  `json:"version"`
	}
	result struct {
		CommandID string    `json:"command_id"`
		Result    string    `json:"result"`
		Slot      int       `json:"slot"`
		At        time.Time `json:"at"`
	}
	status struct {
		PanelID string    `json:"panel_id"`
		Kind    string    `json:"kind"`
		BootID  string    `json:"boot_id"`
		At      time.Time `json:"at"`
		Grants  int       `json:"grants"`
	}
	event struct {
		Seq        int64      `json:"seq"`
		At         time.Time  `json:"at"`
		Type       string     `json:"type"`
		EntranceID string     `json:"entrance_id"`
		CommandID  string     `json:"command_id"`
		GrantID    string     `json:"grant_id"`
		Code       string     `json:"code"`
		Slot       int        `json:"slot"`
		KeyID      string     `json:"key_id"`
		Op         string     `json:"op"`
		Via        string     `json:"via"`
		Until      *time.Time `json:"until"`
		PassID     string     `json:"pass_id"`
	}
	eventBatch struct {
		BootID string    `json:"boot_id"`
		At     time.Time `json:"at"`
		Events []event   `json:"events"`

		LeaseUntil   *time.Time `json:"lease_until"`
		EngineKeyIDs []string   `json:"engine_key_ids"`
	}
	eventsAck struct {
		BootID     string     `json:"boot_id"`
		Seq        int64      `json:"seq"`
		ResendFrom int64      `json:"resend_from,omitempty"`
		LeaseUntil *time.Time `json:"lease_until,omitempty"`
		EngineKeys *jwkSet    `json:"engine_keys,omitempty"`
	}
	tap struct {
		TapID      string `json:"tap_id"`
		TapToken   string `json:"tap_token"`
		EntranceID string `json:"entrance_id"`
		BootID     string `json:"boot_id"`
	}
	tapAnswer struct {
		Result  string   `json:"result"`
		Command *command `json:"command,omitempty"`
	}
	syncRequest struct {
		BootID string `json:"boot_id"`
		Lost   bool   `json:"lost"`
		After  string `json:"after"`

		EngineKeyIDs []string `json:"engine_key_ids"`
	}
	entrance struct {
		EntranceID string `json:"entrance_id"`
		Name       string `json:"name"`
	}
	keyPlace struct {
		KeyID string `json:"key_id"`
		Slot  int    `json:"slot"`
	}
	// holding is what a panel should hold: the answer to a sync, and part of the
	// answer to an enrolment.
	holding struct {
		Grants    []grant    `json:"grants"`
		Entrances []entrance `json:"entrances"`
		TimeZone  string     `json:"time_zone"`
		Kind      string     `json:"kind,omitempty"`
		Slots     int        `json:"slots,omitempty"`
		Keys      []keyPlace `json:"keys,omitempty"`
		Next      string     `json:"next,omitempty"`

		Policies   []policy   `json:"policies,omitempty"`
		LeaseUntil *time.Time `json:"lease_until,omitempty"`
	}
	enrolRequest struct {
		EnrolmentCode string `json:"enrolment_code"`
		PublicKey     jwk    `json:"public_key"`
		Address       string `json:"address"`
		EncryptionKey *jwk   `json:"encryption_key"`
	}
	enrolAnswer struct {
		PanelID    string `json:"panel_id"`
		EngineKeys jwkSet `json:"engine_keys"`
		holding
	}
	jwk struct {
		Kty string `json:"kty"`
		Crv string `json:"crv"`
		Alg string `json:"alg,omitempty"`
		Use string `json:"use,omitempty"`
		Kid string `json:"kid,omitempty"`
		X   string `json:"x"`
		Y   string `json:"y,omitempty"`
		D   string `json:"d,omitempty"`
	}
	jwkSet struct {
		Keys []jwk `json:"keys"`
	}
	problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
)

var base64url = base64.RawURLEncoding

func publicJWK(kid string, key ed25519.PublicKey) jwk {
	return jwk{Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: kid, X: base64url.EncodeToString(key)}
}

// ed25519Key reads the key that signs for a panel.
func (k jwk) ed25519Key() (ed25519.PublicKey, error) {
	x, err := base64url.DecodeString(k.X)
	if err != nil || k.Kty != "OKP" || k.Crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("public_key is no Ed25519 key as a JWK")
	}
	return x, nil
}

// p256Key reads the key to which booking codes are encrypted.
func (k jwk) p256Key() (*ecdsa.PublicKey, error) {
	x, errX := base64url.DecodeString(k.X)
	y, errY := base64url.DecodeString(k.Y)
	if errX != nil || errY != nil || k.Kty != "EC" || k.Crv != "P-256" || len(x) != 32 || len(y) != 32 {
		return nil, errors.New("encryption_key is no P-256 key as a JWK")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), bytes.Join([][]byte{{4}, x, y}, nil))
}

// signingInput is what is signed of a JWS.
func signingInput(header map[string]any, payload []byte) string {
	head, err := json.Marshal(header)
	if err != nil {
		return "" // a map of strings has no such error
	}
	return base64url.EncodeToString(head) + "." + base64url.EncodeToString(payload)
}

// signWith makes a compact JWS with whatever header and key it is given.
func signWith(key ed25519.PrivateKey, header map[string]any, payload []byte) string {
	input := signingInput(header, payload)
	return input + "." + base64url.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// open verifies a message with the key of its sender, by the letter of the protocol.
func open(token string, key ed25519.PublicKey) (e envelope, err error) {
	parts := strings.Split(token, ".")
	if len(token) > maxMessage || len(parts) != 3 {
		return e, errors.New("the message is no compact JWS of at most 1 MiB")
	}
	var header map[string]any
	if err := decode(parts[0], &header); err != nil {
		return e, fmt.Errorf("the header of the message: %w", err)
	}
	if _, carries := header["jwk"]; carries || header["alg"] != "EdDSA" {
		return e, fmt.Errorf("the header of the message must name EdDSA and carry no key, but is %v", header)
	}
	signature, err := base64url.DecodeString(parts[2])
	if err != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), signature) {
		return e, errors.New("the signature of the message does not verify with the sender's key")
	}
	return e, decode(parts[1], &e)
}

// peek reads a message without believing it.
func peek(token string) (e envelope, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return e, errors.New("the message is no compact JWS")
	}
	return e, decode(parts[1], &e)
}

func decode(part string, into any) error {
	document, err := base64url.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(document, into)
}

// check holds an envelope to the protocol, as its receiver.
func (e envelope) check(iss, aud, typ, re string, now time.Time) error {
	switch {
	case e.Iss != iss:
		return fmt.Errorf("iss must be %q, but is %q", iss, e.Iss)
	case e.Aud != aud:
		return fmt.Errorf("aud must be %q, but is %q", aud, e.Aud)
	case e.Typ != typ:
		return fmt.Errorf("typ must be %q, but is %q", typ, e.Typ)
	case e.Re != re:
		return fmt.Errorf("re must be %q, but is %q", re, e.Re)
	case e.Jti == "" || len(e.Jti) > 64:
		return fmt.Errorf("jti must have 1 to 64 bytes, but is %q", e.Jti)
	case e.Exp < e.Iat || e.Exp > e.Iat+int64(lifetime/time.Second):
		return fmt.Errorf("iat and exp must be at most 60 seconds apart, but are %d and %d", e.Iat, e.Exp)
	case time.Unix(e.Iat, 0).After(now.Add(tolerance)), now.After(time.Unix(e.Exp, 0).Add(tolerance)):
		return fmt.Errorf("%w: iat %d, exp %d, now %d", errTime, e.Iat, e.Exp, now.Unix())
	}
	return nil
}

// errTime is a message whose time is not now by the receiver's clock.
var errTime = errors.New("the message is too old, or from the future")

// newEnrolmentCode is a code that names the engine's key, as a person gets it.
func newEnrolmentCode(key ed25519.PublicKey) string {
	digest := sha256.Sum256(key)
	secret := make([]byte, 16, 26)
	_, _ = rand.Read(secret) // never fails
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append(secret, digest[:10]...))
	var groups []string
	for ; len(text) > 6; text = text[6:] {
		groups = append(groups, text[:6])
	}
	return strings.Join(append(groups, text), "-")
}

// sealCode encrypts a booking code; algorithm and content encryption are the
// protocol's, or others for a code that no panel may take.
func sealCode(to *ecdsa.PublicKey, alg jose.KeyAlgorithm, enc jose.ContentEncryption, grantID, code string) (string, error) {
	encrypter, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: to}, nil)
	if err != nil {
		return "", err
	}
	plaintext, err := json.Marshal(map[string]string{"code": code, "grant_id": grantID})
	if err != nil {
		return "", err
	}
	sealed, err := encrypter.Encrypt(plaintext)
	if err != nil {
		return "", err
	}
	return sealed.CompactSerialize()
}
