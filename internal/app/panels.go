package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/access"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// panelDriver carries grants and commands to panels over the panel protocol. It
// implements activities.Panels and activities.Commander.
type panelDriver struct {
	store    *store.Store
	client   *panel.Client
	identity panel.Engine
}

// grantTimeout is how long a panel may take to take in one grant.
const grantTimeout = 5 * time.Second

// PutGrant implements activities.Panels.
func (d *panelDriver) PutGrant(ctx context.Context, panelID string, g access.Grant) (int64, error) {
	p, err := d.store.PanelIdentity(ctx, panelID)
	if err != nil {
		return 0, err
	}
	if p.Address == "" {
		return 0, fmt.Errorf("%w: it has announced no address", activities.ErrPanelUnreachable)
	}
	wire, err := api.WireGrants(ctx, d.store, p, []access.Grant{g})
	if err != nil {
		return 0, err
	}
	lease, err := d.store.RenewLease(ctx, p, time.Now())
	if err != nil {
		return 0, err
	}
	wire[0].LeaseUntil = &lease
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.client.PutGrant(ctx, panel.Target{PanelID: p.ID, Address: p.Address, PublicKey: p.PublicKey}, wire[0])
	return ack.Revision, deliveryError(err)
}

// PutPolicy implements activities.Panels.
func (d *panelDriver) PutPolicy(ctx context.Context, panelID string, policy access.PanelPolicy) (int64, error) {
	p, err := d.store.PanelIdentity(ctx, panelID)
	if err != nil {
		return 0, err
	}
	if p.Address == "" {
		return 0, fmt.Errorf("%w: it has announced no address", activities.ErrPanelUnreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.client.PutPolicy(ctx, panel.Target{PanelID: p.ID, Address: p.Address, PublicKey: p.PublicKey}, api.WirePolicies([]access.PanelPolicy{policy})[0])
	return ack.Version, deliveryError(err)
}

// Command implements activities.Commander.
func (d *panelDriver) Command(ctx context.Context, c activities.Command) (activities.PanelAnswer, error) {
	target := panel.Target{PanelID: c.PanelID, Address: c.Address, PublicKey: c.PublicKey}
	result, err := d.client.Command(ctx, target, api.WireCommand(c))
	if err != nil {
		return activities.PanelAnswer{}, panelError(err)
	}
	return activities.PanelAnswer{Opened: result.Result == panel.ResultOpened, Slot: result.Slot, Code: string(result.Result), At: result.At}, nil
}

// deliveryError tells a panel that refuses what it is sent from one that does not
// answer. Nothing depends on that being true, because the refusal is not signed: it is
// delivered again either way.
func deliveryError(err error) error {
	if refusal, ok := panel.AsError(err); ok {
		return fmt.Errorf("the panel refuses it: %s", refusal.Code)
	}
	return panelError(err)
}

// panelError says in the words of package activities whether a panel may have acted.
func panelError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, panel.ErrUnreachable):
		return fmt.Errorf("%w: %w", activities.ErrPanelUnreachable, err)
	case errors.Is(err, panel.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", activities.ErrOutcomeUnknown, err)
	default:
		return err
	}
}
