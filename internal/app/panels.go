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

// target finds where a panel is and which key it signs with.
func (d *panelDriver) target(ctx context.Context, panelID string) (panel.Target, error) {
	p, err := d.store.PanelIdentity(ctx, panelID)
	if err != nil {
		return panel.Target{}, err
	}
	if p.Address == "" {
		return panel.Target{}, fmt.Errorf("%w: it has announced no address", activities.ErrPanelUnreachable)
	}
	return panel.Target{PanelID: p.ID, Address: p.Address, PublicKey: p.PublicKey}, nil
}

// PutGrant implements activities.Panels.
func (d *panelDriver) PutGrant(ctx context.Context, panelID string, g access.Grant) (int64, error) {
	target, err := d.target(ctx, panelID)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	ack, err := d.client.PutGrant(ctx, target, api.WireGrant(g))
	return ack.Revision, panelError(err)
}

// Command implements activities.Commander.
func (d *panelDriver) Command(ctx context.Context, c activities.Command) (activities.PanelAnswer, error) {
	target := panel.Target{PanelID: c.PanelID, Address: c.Address, PublicKey: c.PublicKey}
	result, err := d.client.Command(ctx, target, api.WireCommand(c))
	if err != nil {
		return activities.PanelAnswer{}, panelError(err)
	}
	return activities.PanelAnswer{Opened: result.Result == panel.ResultOpened, Code: string(result.Result), At: result.At}, nil
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
