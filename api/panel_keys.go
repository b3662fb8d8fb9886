package api

import (
	"context"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// keysFor takes in which of the engine's keys a panel says it trusts, and gives
// those that it should trust instead; none if it trusts the right ones (P1). The
// answer is signed with one that it trusts now.
func (s *service) keysFor(ctx context.Context, p *store.PanelIdentity, reported []string) (*jose.JSONWebKeySet, error) {
	if err := s.Store.PanelTrusts(ctx, p.ID, p.EngineKeyIDs, reported); err != nil {
		return nil, err
	}
	if len(reported) > 0 {
		p.EngineKeyIDs = reported
	}
	ring, err := s.Engine.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	return ring.Unless(p.EngineKeyIDs), nil
}

// StoredKeys is the engine's keys as the store keeps them. It implements
// [panel.EngineKeys].
type StoredKeys struct{ Store *store.Store }

// Keyring implements [panel.EngineKeys].
func (k StoredKeys) Keyring(ctx context.Context) (panel.Keyring, error) {
	keys, err := k.Store.EngineKeyring(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	ring := make(panel.Keyring, 0, len(keys))
	for _, key := range keys {
		ring = append(ring, panel.Engine{KeyID: key.ID, Key: key.Private})
	}
	return ring, nil
}
