package api

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// Messages of panels (P1, P6, I9). Bodies and answers are compact JWS; package
// panel says what is in them and documents them for vendors.

type signedInput struct {
	RawBody []byte `contentType:"application/jose"`
}

type signedOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func signedAnswer(token string, err error) (*signedOutput, error) {
	if err != nil {
		return nil, err
	}
	return &signedOutput{ContentType: panel.ContentType, Body: []byte(token)}, nil
}

// protocolError is a refused message as a problem, which the panel shows to nobody
// but its log.
func protocolError(err error) error {
	if refusal, ok := panel.AsError(err); ok {
		return newProblem(http.StatusBadRequest, string(refusal.Code), refusal.Detail)
	}
	return err
}

// enrolPanel binds a panel to the key that signed its request (P1).
func (s *service) enrolPanel(ctx context.Context, in *signedInput) (*signedOutput, error) {
	now := s.Clock()
	request, key, envelope, err := panel.OpenEnrolment(ctx, string(in.RawBody), now, s.Store)
	if err != nil {
		return nil, protocolError(err)
	}
	encryption, err := encryptionKey(request)
	if err != nil {
		return nil, err
	}
	ring, err := s.Engine.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := ring.OfCode(request.EnrolmentCode); err != nil { // no key of the code's fingerprint is in use: the answer could not be signed
		return nil, store.ErrEnrolmentRefused
	}
	panelID, err := s.Store.EnrolPanel(ctx, panel.HashEnrolmentCode(request.EnrolmentCode), key, encryption, request.Address, now)
	if err != nil {
		return nil, err
	}
	all, err := s.everythingFor(ctx, panelID, "") // the first part; the panel asks for the rest with its first sync
	if err != nil {
		return nil, err
	}
	return signedAnswer(ring.SignEnrolled(panel.EnrolAnswer{
		PanelID: panelID, Grants: all.Grants, Entrances: all.Entrances, Policies: all.Policies, LeaseUntil: all.LeaseUntil,
		TimeZone: all.TimeZone, Kind: all.Kind, Slots: all.Slots, Keys: all.Keys,
	}, request.EnrolmentCode, envelope.ID, now))
}

// encryptionKey is the key that a panel wants booking codes encrypted to, as it is
// stored; nil if it brings none.
func encryptionKey(request panel.EnrolRequest) ([]byte, error) {
	if request.EncryptionKey == nil {
		return nil, nil
	}
	if _, err := panel.SealCode(*request.EncryptionKey, "", ""); err != nil {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "encryption_key must be a public P-256 key as a JWK.")
	}
	return request.EncryptionKey.MarshalJSON()
}

// grantsPerAnswer keeps one part of a sync well under the largest message.
const grantsPerAnswer = 500

// everythingFor is all that a panel should hold, in parts: the one after a grant.
func (s *service) everythingFor(ctx context.Context, panelID, after string) (panel.SyncAnswer, error) {
	identity, err := s.Store.PanelIdentity(ctx, panelID)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	grants, err := s.Store.PanelGrants(ctx, panelID, after, grantsPerAnswer)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	wire, err := WireGrants(ctx, s.Store, identity, grants)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	keys, err := s.Store.PanelKeys(ctx, panelID)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	entrances, err := s.Store.PanelEntrances(ctx, panelID)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	policies, err := s.Store.PanelPolicies(ctx, panelID)
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	lease, err := s.Store.RenewLease(ctx, identity, s.Clock())
	if err != nil {
		return panel.SyncAnswer{}, err
	}
	all := panel.SyncAnswer{
		Grants: wire, Entrances: []panel.Entrance{}, Policies: WirePolicies(policies), LeaseUntil: &lease, TimeZone: identity.TimeZone, Kind: string(identity.Kind), Slots: identity.Slots,
	}
	if len(grants) == grantsPerAnswer {
		all.Next = grants[len(grants)-1].ID
	}
	for _, k := range keys {
		all.Keys = append(all.Keys, panel.KeyPlace{KeyID: k.KeyID, Slot: k.Slot})
	}
	for _, e := range entrances {
		all.Entrances = append(all.Entrances, panel.Entrance{EntranceID: e.ID, Name: e.Name})
	}
	return all, nil
}

// BookingCodes opens the codes of reservations; the store does.
type BookingCodes interface {
	BookingCodes(ctx context.Context, reservationIDs []string) (map[string]string, error)
}

// WireGrants is grants as a panel reads them: those of reservations with their
// booking code, encrypted to that panel (P1). A panel that cannot take codes gets
// none, so that nothing opens by them.
func WireGrants(ctx context.Context, codes BookingCodes, to store.PanelIdentity, grants []access.Grant) ([]panel.Grant, error) {
	wire := make([]panel.Grant, 0, len(grants))
	var reservations []string
	for _, g := range grants {
		wire = append(wire, wireGrant(g))
		if g.Kind == access.GrantReservation && !g.Tombstone {
			reservations = append(reservations, g.ID)
		}
	}
	if len(reservations) == 0 || to.EncryptionKey == nil {
		return wire, nil
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(to.EncryptionKey); err != nil {
		return nil, fmt.Errorf("encryption key of %s: %w", to.ID, err)
	}
	known, err := codes.BookingCodes(ctx, reservations)
	if err != nil {
		return nil, err
	}
	for n := range wire {
		code, ok := known[wire[n].GrantID]
		if !ok || wire[n].Tombstone {
			continue
		}
		if wire[n].CodeJWE, err = panel.SealCode(key, wire[n].GrantID, code); err != nil {
			return nil, err
		}
	}
	return wire, nil
}

func wireGrant(g access.Grant) panel.Grant {
	wire := panel.Grant{
		GrantID: g.ID, Kind: "invitation", Revision: g.Revision, Tombstone: g.Tombstone,
		StartsAt: instant(g.Start), EndsAt: instant(g.End), EntranceIDs: g.Entrances, PassesSince: instant(g.PassesSince),
	}
	if g.Kind == access.GrantReservation {
		wire.Kind, wire.KeyID, wire.NoPickup = string(g.Kind), g.KeyID, string(g.NoPickup)
	}
	if wire.EntranceIDs == nil {
		wire.EntranceIDs = []string{}
	}
	return wire
}

// WireCommand is a command as panels read it.
func WireCommand(c activities.Command) panel.Command {
	wire := panel.Command{
		CommandID: c.ID, Op: panel.OpUnlock, EntranceID: c.EntranceID, GrantID: c.GrantID, GrantRevision: c.GrantRevision,
		PolicyVersion: c.PolicyVersion, BootID: c.BootID, ExpiresAt: c.ExpiresAt.UTC(),
	}
	if c.Purpose != "" {
		wire.Op, wire.Purpose, wire.KeyID, wire.PanelCode = panel.OpOpenSlot, panel.Purpose(c.Purpose), c.KeyID, c.PanelCode
	}
	return wire
}

// fromPanel opens a message of an enrolled panel.
func (s *service) fromPanel(ctx context.Context, token string, typ panel.Type, body any, now time.Time) (from store.PanelIdentity, messageID string, err error) {
	panelID, err := panel.Sender(token)
	if err != nil {
		return from, "", protocolError(err)
	}
	from, err = s.Store.PanelIdentity(ctx, panelID)
	if missing(err) { // unknown, not enrolled or disowned: no key to verify with
		return from, "", newProblem(http.StatusForbidden, string(panel.CodeBadSignature), "No enrolled panel has this id and key. Enrol with a new code.")
	}
	if err != nil {
		return from, "", err
	}
	want := panel.Expect{Issuer: panelID, Audience: panel.EngineName, Type: typ}
	envelope, err := panel.Open(ctx, token, ed25519.PublicKey(from.PublicKey), want, now, s.Store, body)
	if refusal, ok := panel.AsError(err); ok && refusal.Code == panel.CodeExpiredMessage {
		s.measureRefused(ctx, panelID, envelope, now)
	}
	return from, envelope.ID, protocolError(err)
}

// toPanel answers with a key that the panel trusts.
func (s *service) toPanel(ctx context.Context, to store.PanelIdentity, typ panel.Type, re string, body any, now time.Time) (*signedOutput, error) {
	ring, err := s.Engine.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	token, _, err := ring.For(to.EngineKeyIDs...).Signer().Sign(to.ID, typ, re, body, now)
	return signedAnswer(token, err)
}

// panelTap decides about a phone that is held to a panel (I9).
func (s *service) panelTap(ctx context.Context, in *signedInput) (*signedOutput, error) {
	now := s.Clock()
	var tap panel.Tap
	from, re, err := s.fromPanel(ctx, string(in.RawBody), panel.TypeTap, &tap, now)
	if err != nil {
		return nil, err
	}
	if tap.TapID == "" || tap.BootID == "" {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "tap_id or boot_id is missing.")
	}
	decision, err := s.Store.DecideTap(ctx, store.Tap{PanelID: from.ID, TapID: tap.TapID, Token: tap.TapToken, EntranceID: tap.EntranceID, BootID: tap.BootID}, now)
	if err != nil {
		return nil, err
	}
	answer := panel.TapAnswer{Result: decision.Result}
	if decision.Command != nil {
		command := WireCommand(*decision.Command)
		answer.Command = &command
	}
	return s.toPanel(ctx, from, panel.TypeTapAnswer, re, answer, now)
}

// panelSync gives a panel everything that it should hold (P1).
func (s *service) panelSync(ctx context.Context, in *signedInput) (*signedOutput, error) {
	now := s.Clock()
	var request panel.SyncRequest
	from, re, err := s.fromPanel(ctx, string(in.RawBody), panel.TypeSync, &request, now)
	if err != nil {
		return nil, err
	}
	if request.Lost {
		if err := s.Store.PanelLostGrants(ctx, from.ID, now); err != nil {
			return nil, err
		}
	}
	all, err := s.everythingFor(ctx, from.ID, request.After)
	if err != nil {
		return nil, err
	}
	if all.EngineKeys, err = s.keysFor(ctx, &from, request.EngineKeyIDs); err != nil {
		return nil, err
	}
	return s.toPanel(ctx, from, panel.TypeSyncAnswer, re, all, now)
}
