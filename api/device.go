package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/activities"
	"latchkey/internal/directory"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// JWK is a phone's public key, as WebCrypto exports it.
type JWK struct {
	KeyType string   `json:"kty" enum:"OKP,EC"`
	Curve   string   `json:"crv" enum:"Ed25519,P-256"`
	X       string   `json:"x" minLength:"1" maxLength:"100" doc:"base64url"`
	Y       string   `json:"y,omitempty" maxLength:"100" doc:"base64url, with P-256"`
	Alg     string   `json:"alg,omitempty" maxLength:"20"`
	KeyID   string   `json:"kid,omitempty" maxLength:"200"`
	Use     string   `json:"use,omitempty" maxLength:"20"`
	KeyOps  []string `json:"key_ops,omitempty" maxItems:"10"`
	Ext     bool     `json:"ext,omitempty"`
}

type deviceInput struct {
	Body struct {
		PublicKey JWK `json:"public_key" doc:"Its private part stays in the phone"`
	} `nameHint:"PutDevice"`
}

// Device is the phone of a session.
type Device struct {
	PublicKey  JWK       `json:"public_key"`
	Thumbprint string    `json:"thumbprint" doc:"Of the key, by RFC 7638 with SHA-256"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// putDevice names the phone to which this session's passes are bound (P9). Another
// key replaces it; passes given before stay bound to the old one.
func (s *service) putDevice(ctx context.Context, in *deviceInput) (*output[Device], error) {
	k := in.Body.PublicKey
	document, err := json.Marshal(JWK{KeyType: k.KeyType, Curve: k.Curve, X: k.X, Y: k.Y})
	if err != nil {
		return nil, err
	}
	key, thumbprint, err := panel.DeviceKey(document)
	if refusal, ok := panel.AsError(err); ok {
		return nil, directory.Invalid("body.public_key", refusal.Detail)
	}
	if err != nil {
		return nil, err
	}
	normal, err := key.MarshalJSON()
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	d, err := s.Store.PutDevice(ctx, store.Device{SessionID: who.sessionID, PersonID: who.personID, PublicKey: normal, Thumbprint: thumbprint}, time.Now())
	if err != nil {
		return nil, err
	}
	out := &output[Device]{Body: Device{Thumbprint: d.Thumbprint, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt}}
	return out, json.Unmarshal(normal, &out.Body.PublicKey)
}

// OfflinePass opens doors whose panel is cut off from the engine (P9).
type OfflinePass struct {
	Pass      string    `json:"pass" doc:"To be shown to a panel, with a proof by the phone's key"`
	PassID    string    `json:"pass_id" doc:"What the proof names"`
	ExpiresAt time.Time `json:"expires_at" doc:"At most 24 hours ahead"`
}

// getGuestPass gives the signed-in guest's phone a pass (P9).
func (s *service) getGuestPass(ctx context.Context, in *ByID) (*output[OfflinePass], error) {
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return nil, err
	}
	given, err := s.Store.IssuePass(ctx, activities.UnlockRequest{GuestIndex: index, InvitationID: in.ID}, callerOf(ctx).sessionID, s.Clock())
	var denied *store.DecisionError
	if errors.As(err, &denied) {
		return nil, deniedBy(denied.Decision)
	}
	if err != nil {
		return nil, err
	}
	ring, err := s.Engine.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(given.DeviceKey); err != nil {
		return nil, err
	}
	token, err := ring.For(given.EngineKeyID).Signer().SignPass(panel.Pass{
		GrantID: given.InvitationID, ID: given.ID, IssuedAt: given.IssuedAt.Unix(), Expires: given.ExpiresAt.Unix(),
		EntranceIDs: given.Entrances, Confirmation: panel.Confirmation{JWK: key}, GrantRevision: given.GrantRevision,
	})
	return &output[OfflinePass]{Body: OfflinePass{Pass: token, PassID: given.ID, ExpiresAt: given.ExpiresAt}}, err
}
