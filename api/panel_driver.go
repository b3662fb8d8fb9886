package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/panel"
)

// PanelDriver carries grants, policy documents and commands to panels over the panel
// protocol, each the way that Reach finds. It implements activities.Panels and
// activities.Commander.
type PanelDriver struct {
	Client *panel.Client
	Reach  Reach
}

// grantTimeout is how long a panel may take to take in one grant.
const grantTimeout = 5 * time.Second

// PutGrant implements activities.Panels.
func (d *PanelDriver) PutGrant(ctx context.Context, panelID string, g access.Grant) (int64, error) {
	p, err := d.Reach.Store.PanelIdentity(ctx, panelID)
	if err != nil {
		return 0, err
	}
	target, err := d.Reach.Panel(ctx, p)
	if err != nil {
		return 0, panelError(err)
	}
	wire, err := WireGrants(ctx, d.Reach.Store, p, []access.Grant{g})
	if err != nil {
		return 0, err
	}
	lease, err := d.Reach.Store.RenewLease(ctx, p, d.Reach.now())
	if err != nil {
		return 0, err
	}
	wire[0].LeaseUntil = &lease
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.Client.PutGrant(ctx, target, wire[0])
	return ack.Revision, deliveryError(err)
}

// PutPolicy implements activities.Panels.
func (d *PanelDriver) PutPolicy(ctx context.Context, panelID string, policy access.PanelPolicy) (int64, error) {
	p, err := d.Reach.Store.PanelIdentity(ctx, panelID)
	if err != nil {
		return 0, err
	}
	target, err := d.Reach.Panel(ctx, p)
	if err != nil {
		return 0, panelError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.Client.PutPolicy(ctx, target, WirePolicies([]access.PanelPolicy{policy})[0])
	return ack.Version, deliveryError(err)
}

// Command implements activities.Commander.
func (d *PanelDriver) Command(ctx context.Context, c activities.Command) (activities.PanelAnswer, error) {
	target, err := d.Reach.PanelOf(ctx, c)
	if err != nil {
		return activities.PanelAnswer{}, panelError(err)
	}
	result, err := d.Client.Command(ctx, target, WireCommand(c))
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
