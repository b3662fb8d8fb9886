package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/activities"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// Reach finds the way to panels: by their own polls if they poll, else at their
// address; and the engine's key that each of them trusts (P1).
type Reach struct {
	Store *store.Store
	Keys  panel.EngineKeys
	Clock func() time.Time // time.Now if nil
}

func (r Reach) now() time.Time {
	if r.Clock != nil {
		return r.Clock()
	}
	return time.Now()
}

// Panel is the way to a panel. [panel.ErrUnreachable]: there is none.
func (r Reach) Panel(ctx context.Context, p store.PanelIdentity) (panel.Target, error) {
	return r.target(ctx, panel.Target{PanelID: p.ID, Address: p.Address, PublicKey: p.PublicKey}, p.PolledAt, p.EngineKeyIDs)
}

// PanelOf is the way to the panel of a command.
func (r Reach) PanelOf(ctx context.Context, c activities.Command) (panel.Target, error) {
	return r.target(ctx, panel.Target{PanelID: c.PanelID, Address: c.Address, PublicKey: c.PublicKey}, c.PolledAt, c.EngineKeyIDs)
}

func (r Reach) target(ctx context.Context, t panel.Target, polledAt time.Time, trusted []string) (panel.Target, error) {
	ring, err := r.Keys.Keyring(ctx)
	if err != nil { // nothing was sent
		return t, fmt.Errorf("%w: %w", panel.ErrUnreachable, err)
	}
	t.Signer = ring.For(trusted...).Signer()
	switch {
	case store.Polls(polledAt, r.now()):
		t.Carrier = carrier{r.Store}
	case t.Address == "":
		return t, fmt.Errorf("%w: it has announced no address and does not poll", panel.ErrUnreachable)
	}
	return t, nil
}

// carrier takes messages to panels that poll.
type carrier struct{ store *store.Store }

// Carry implements [panel.Carrier].
func (c carrier) Carry(ctx context.Context, panelID, messageID, message string) (string, error) {
	answer, err := c.store.Deliver(ctx, panelID, messageID, message)
	switch {
	case errors.Is(err, store.ErrWithdrawn):
		return "", fmt.Errorf("%w: %w", panel.ErrUnreachable, err)
	case err != nil:
		return "", fmt.Errorf("%w: %w", panel.ErrOutcomeUnknown, err)
	}
	return answer, nil
}
