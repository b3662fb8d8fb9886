package panel

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// PassAudience is the aud of passes: whichever panel holds the grant.
	PassAudience = "panels"
	// TypePass and TypeProof are the types of what a phone shows. Neither is an
	// envelope: both are shown, not sent.
	TypePass  Type = "pass"
	TypeProof Type = "proof"

	maxPass    = 16 << 10 // bytes
	passLength = 24 * time.Hour
)

// PassRefusal says why a pass opened nothing. It is the code of the event denied.
type PassRefusal string

// The refusals of passes, in the order in which they are checked. After them come
// those of the entrance's policy document and of the lease.
const (
	PassInvalid       PassRefusal = "pass_invalid"   // not a pass of an engine that the panel trusts
	PassExpired       PassRefusal = "pass_expired"   // past its exp, or from the future
	PassUnproven      PassRefusal = "pass_unproven"  // no proof by the phone's key for this panel, entrance and pass
	PassStaleProof    PassRefusal = "proof_expired"  // the proof is more than 30 seconds off, or older than the panel's start
	PassReplayed      PassRefusal = "proof_replayed" // the proof was shown before
	PassNotActive     PassRefusal = "not_active"     // the panel holds no grant, or its tombstone
	PassNotShared     PassRefusal = "not_shared"     // the entrance is not in the grant, in the pass or behind the panel
	PassOutsideWindow PassRefusal = "outside_window" // of the grant, by the panel's clock
	PassVoid          PassRefusal = "pass_void"      // issued before the grant's passes_since
	PassRefused       PassRefusal = "refused"        // for a reason of the panel's own
)

// Pass lets a guest's phone open doors of panels that are cut off (P9). It is a
// compact JWS, EdDSA, by a key of the engine, over this document.
type Pass struct {
	Issuer        string       `json:"iss"` // "latchkey"
	Audience      string       `json:"aud"` // "panels"
	GrantID       string       `json:"sub"`
	ID            string       `json:"jti"`
	Type          Type         `json:"typ"` // "pass"
	IssuedAt      int64        `json:"iat"` // Unix seconds
	Expires       int64        `json:"exp"` // at most 24 hours after iat
	EntranceIDs   []string     `json:"entrances"`
	Confirmation  Confirmation `json:"cnf"`
	GrantRevision int64        `json:"grant_revision"`
}

// Confirmation is the key of the phone that the pass was given to (RFC 7800).
type Confirmation struct {
	JWK jose.JSONWebKey `json:"jwk"`
}

// Proof shows that who holds a pass to a panel has the phone's key. It is a compact
// JWS by that key, EdDSA for Ed25519 and ES256 for P-256.
type Proof struct {
	Audience   string `json:"aud"` // the panel's id
	Type       Type   `json:"typ"` // "proof"
	EntranceID string `json:"entrance_id"`
	PassID     string `json:"pass_id"`
	IssuedAt   int64  `json:"iat"` // Unix seconds
	ID         string `json:"jti"` // at most 64 bytes
}

// DeviceKey checks the public key of a phone, Ed25519 or P-256, and strips it of
// everything else. thumbprint names it (RFC 7638).
func DeviceKey(document []byte) (key jose.JSONWebKey, thumbprint string, err error) {
	var given jose.JSONWebKey
	if err := given.UnmarshalJSON(document); err != nil || !given.Valid() {
		return key, "", refuse(CodeMalformed, "public_key must be an Ed25519 or P-256 key as a JWK.")
	}
	switch public := given.Key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return key, "", refuse(CodeMalformed, "public_key must be on the curve P-256 or Ed25519.")
		}
	default: // a private or symmetric key among them
		return key, "", refuse(CodeMalformed, "public_key must be a public Ed25519 or P-256 key. Keep the private part in the phone.")
	}
	key = jose.JSONWebKey{Key: given.Key}
	digest, err := key.Thumbprint(crypto.SHA256)
	return key, base64.RawURLEncoding.EncodeToString(digest), err
}

// SignPass makes a pass.
func (s Signer) SignPass(p Pass) (string, error) {
	p.Issuer, p.Audience, p.Type = EngineName, PassAudience, TypePass
	return signWith(jose.EdDSA, jose.JSONWebKey{Key: s.Key, KeyID: s.KeyID}, p)
}

// OpenPass checks that a pass is the engine's and good at an instant, on the
// panel's side. Whether it opens anything is for the grant to say. The refusal is
// empty for a good pass.
func OpenPass(token string, keys TrustedKeys, now time.Time) (Pass, PassRefusal) {
	var p Pass
	if len(token) > maxPass {
		return p, PassInvalid
	}
	signed, err := parse(token)
	if err != nil {
		return p, PassInvalid
	}
	payload, err := signed.Verify(keys.signerOf(token))
	if err != nil || json.Unmarshal(payload, &p) != nil {
		return Pass{}, PassInvalid
	}
	if p.Issuer != EngineName || p.Audience != PassAudience || p.Type != TypePass || p.ID == "" || p.GrantID == "" ||
		p.Expires > p.IssuedAt+int64(passLength/time.Second) {
		return Pass{}, PassInvalid
	}
	if p.IssuedAt > now.Add(clockTolerance).Unix() || !now.Before(time.Unix(p.Expires, 0)) {
		return p, PassExpired
	}
	return p, ""
}

// SignProof makes a proof, as a phone does. key is an ed25519.PrivateKey or an
// *ecdsa.PrivateKey of P-256.
func SignProof(key crypto.Signer, panelID, entranceID, passID string, now time.Time) (string, error) {
	algorithm := jose.EdDSA
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		algorithm = jose.ES256
	}
	return signWith(algorithm, jose.JSONWebKey{Key: key}, Proof{
		Audience: panelID, Type: TypeProof, EntranceID: entranceID, PassID: passID, IssuedAt: now.Unix(), ID: rand.Text(),
	})
}

// CheckProof checks a proof for a pass that is good (see [OpenPass]): by the phone's
// key, for this panel, entrance and pass, fresh, shown once, and newer than the
// panel's last start, because a panel that starts has forgotten what was shown.
func CheckProof(ctx context.Context, token string, p Pass, panelID, entranceID string, now, started time.Time, guard ReplayGuard) (PassRefusal, error) {
	if len(token) > maxPass {
		return PassUnproven, nil
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil {
		return PassUnproven, nil
	}
	payload, err := signed.Verify(p.Confirmation.JWK.Key)
	var proof Proof
	if err != nil || json.Unmarshal(payload, &proof) != nil {
		return PassUnproven, nil
	}
	if proof.Type != TypeProof || proof.Audience != panelID || proof.EntranceID != entranceID || proof.PassID != p.ID ||
		proof.ID == "" || len(proof.ID) > maxID {
		return PassUnproven, nil
	}
	issued := time.Unix(proof.IssuedAt, 0)
	if issued.After(now.Add(clockTolerance)) || issued.Before(now.Add(-clockTolerance)) || issued.Before(started) {
		return PassStaleProof, nil
	}
	seen, err := guard.SeenBefore(ctx, "proof/"+p.ID, proof.ID, issued.Add(2*clockTolerance))
	if err == nil && seen {
		return PassReplayed, nil
	}
	return "", err
}

// JudgePass decides about a pass that was proven, on the grant that the panel holds
// (nil: none). The entrance's policy document and the lease come after it.
func JudgePass(p Pass, g *Grant, entranceID string, now time.Time) PassRefusal {
	switch {
	case g == nil || g.Tombstone:
		return PassNotActive
	case !slices.Contains(g.EntranceIDs, entranceID) || !slices.Contains(p.EntranceIDs, entranceID):
		return PassNotShared
	case g.StartsAt != nil && now.Before(*g.StartsAt), g.EndsAt != nil && !now.Before(*g.EndsAt):
		return PassOutsideWindow
	case g.PassesSince != nil && time.Unix(p.IssuedAt, 0).Before(*g.PassesSince):
		return PassVoid
	}
	return ""
}

func signWith(algorithm jose.SignatureAlgorithm, key jose.JSONWebKey, document any) (string, error) {
	payload, err := json.Marshal(document)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
