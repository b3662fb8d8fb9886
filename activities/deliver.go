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
// delivered. The first failure ends it, because a panel that did not answer one
// request will not answer the next; the reason is kept for the items that wait (P5).
func (a *Activities) PushGrants(ctx context.Context, panelID string) (delivered int, err error) {
	defer alive(ctx)()
	for delivered < grantBatch {
		n, err := a.pushSome(ctx, panelID)
		delivered += n
		var failed *deliveryError
		if errors.As(err, &failed) {
			return delivered, errors.Join(err, a.Grants.FailGrants(ctx, panelID, reason(err), a.Clock()))
		}
		if err != nil {
			return delivered, err
		}
		if n == 0 {
			break
		}
	}
	return delivered, a.Grants.Delivered(ctx, panelID)
}

// deliveryError is the panel's failure, as opposed to the engine's own.
type deliveryError struct{ err error }

func (e *deliveryError) Error() string { return e.err.Error() }
func (e *deliveryError) Unwrap() error { return e.err }

// pushSome delivers the policy documents and the most urgent of the grants.
func (a *Activities) pushSome(ctx context.Context, panelID string) (delivered int, err error) {
	policies, err := a.Grants.PendingPolicies(ctx, panelID)
	if err != nil {
		return 0, err
	}
	for _, p := range policies {
		version, err := a.Panels.PutPolicy(ctx, panelID, p)
		if err == nil && version < p.Version {
			err = fmt.Errorf("policy of %s: %w", p.EntranceID, errNotTaken)
		}
		if err != nil {
			return delivered, &deliveryError{err}
		}
		if err := a.Grants.ConfirmPolicy(ctx, panelID, p, version, a.Clock()); err != nil {
			return delivered, err
		}
		delivered++
	}
	grants, err := a.Grants.PendingGrants(ctx, panelID, grantLook)
	if err != nil {
		return delivered, err
	}
	for _, p := range grants {
		revision, err := a.Panels.PutGrant(ctx, panelID, p.Grant)
		if err == nil && revision < p.Grant.Revision {
			err = fmt.Errorf("grant %s: %w", p.Grant.ID, errNotTaken)
		}
		if err != nil {
			return delivered, &deliveryError{err}
		}
		if err := a.Grants.ConfirmGrant(ctx, panelID, p.Grant, revision, a.Clock()); err != nil {
			return delivered, err
		}
		delivered++
	}
	return delivered, nil
}
