package panelsim

import (
	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/panel"
)

// engineKeys are the engine's keys that the panel trusts.
func (p *Panel) engineKeys() panel.TrustedKeys {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory.identity.EngineKeys
}

// trust replaces the engine's keys by those that a signed answer carries, if it
// carries any, and tells the engine soon that it has (P1).
func (p *Panel) trust(set *jose.JSONWebKeySet) error {
	if set == nil {
		return nil
	}
	keys, err := panel.Trust(*set)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := *p.memory.identity
	id.EngineKeys = keys
	p.reportSoon()
	return p.keep(entry{Identity: &id})
}
