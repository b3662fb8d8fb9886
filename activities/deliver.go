package activities

import (
	"context"
	"errors"
	"fmt"
)

const (
	// grantBatch is how many grants one PushGrants delivers before it reports back.
	grantBatch = 100
	// grantLook is how many it delivers before it looks for what has become urgent.
	grantLook = 10
)

// errNotTaken says that a panel answers and yet does not take in what it is sent.
var errNotTaken = errors.New("the panel holds less than it was sent")

// PushGrants brings one panel up to date: it delivers what is pending, policy
// documents first, then what takes access away, then the rest, and returns how much it
// delivered. A panel that did not answer one request will not answer the next, so that
// ends it; what a panel refuses is passed over, so that it does not hold up the rest. The
// reason is kept for the items that wait (P5).
func (a *Activities) PushGrants(ctx context.Context, panelID string) (delivered int, err error) {
	defer alive(ctx)()
	push := pushing{Activities: a, panelID: panelID, refused: map[string]bool{}}
	for push.delivered < grantBatch {
		before := push.delivered
		if err := push.some(ctx); err != nil {
			return push.delivered, err
		}
		if push.failure != nil && push.away() || push.delivered == before {
			break
		}
	}
	if push.failure != nil && !push.away() && push.delivered >= grantBatch {
		return push.delivered, nil // there is more to deliver before what was refused is tried again
	}
	if push.failure != nil {
		return push.delivered, errors.Join(push.failure, a.Grants.FailGrants(ctx, panelID, reason(push.failure), a.Clock()))
	}
	return push.delivered, a.Grants.Delivered(ctx, panelID)
}

// pushing is one attempt to bring a panel up to date.
type pushing struct {
	*Activities
	panelID   string
	delivered int
	refused   map[string]bool // by grant or entrance
	failure   error           // the panel's last, as opposed to the engine's own
}

// some delivers the policy documents and the most urgent of the grants.
func (p *pushing) some(ctx context.Context) error {
	policies, err := p.Grants.PendingPolicies(ctx, p.panelID)
	if err != nil {
		return err
	}
	for _, d := range policies {
		if p.refused[d.EntranceID] {
			continue
		}
		version, err := p.Panels.PutPolicy(ctx, p.panelID, d)
		if !p.took(d.EntranceID, version, d.Version, err) {
			if p.away() {
				return nil
			}
			continue
		}
		if err := p.Grants.ConfirmPolicy(ctx, p.panelID, d, version, p.Clock()); err != nil {
			return err
		}
	}
	grants, err := p.Grants.PendingGrants(ctx, p.panelID, grantLook+len(p.refused))
	if err != nil {
		return err
	}
	for _, g := range grants {
		if p.refused[g.Grant.ID] {
			continue
		}
		revision, err := p.Panels.PutGrant(ctx, p.panelID, g.Grant)
		if !p.took(g.Grant.ID, revision, g.Grant.Revision, err) {
			if p.away() {
				return nil
			}
			continue
		}
		if err := p.Grants.ConfirmGrant(ctx, p.panelID, g.Grant, revision, p.Clock()); err != nil {
			return err
		}
	}
	return nil
}

// took counts what the panel has taken in, and keeps why it has not.
func (p *pushing) took(id string, held, sent int64, err error) bool {
	if err == nil && held < sent {
		err = errNotTaken
	}
	if err == nil {
		p.delivered++
		return true
	}
	p.failure = fmt.Errorf("%s: %w", id, err)
	p.refused[id] = true
	return false
}

// away reports whether the last failure says that the panel does not answer.
func (p *pushing) away() bool { return reason(p.failure) != refused }
