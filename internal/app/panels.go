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
	store  *store.Store
	client *panel.Client
	reach  api.Reach
}

// grantTimeout is how long a panel may take to take in one grant.
const grantTimeout = 5 * time.Second

// PutGrant implements activities.Panels.
func (d *panelDriver) PutGrant(ctx context.Context, panelID string, g access.Grant) (int64, error) {
	p, err := d.store.PanelIdentity(ctx, panelID)
	if err != nil {
		return 0, err
	}
	target, err := d.reach.Panel(ctx, p)
	if err != nil {
		return 0, panelError(err)
	}
	wire, err := api.WireGrants(ctx, d.store, p, []access.Grant{g})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.client.PutGrant(ctx, target, wire[0])
	return ack.Revision, panelError(err)
}

// Command implements activities.Commander.
func (d *panelDriver) Command(ctx context.Context, c activities.Command) (activities.PanelAnswer, error) {
	target, err := d.reach.PanelOf(ctx, c)
	if err != nil {
		return activities.PanelAnswer{}, panelError(err)
	}
	result, err := d.client.Command(ctx, target, api.WireCommand(c))
	if err != nil {
		return activities.PanelAnswer{}, panelError(err)
	}
	return activities.PanelAnswer{Opened: result.Result == panel.ResultOpened, Slot: result.Slot, Code: string(result.Result), At: result.At}, nil
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
