// Package activities is what the workflows do to the world: write down what has
// changed, bring panels up to date, send messages. It also has [Opener], which
// opens doors on behalf of the API, outside any workflow (E9).
//
// Every activity can run twice and can be cut off at any line. What must not
// happen twice is keyed: a change by item and revision, a grant by panel, item and
// revision, a message by its row, an opening by its command (BEHAVIOUR.md E1, P3, P4).
//
// The package knows neither Postgres nor the wire: it asks for the small
// interfaces below, which internal/store and internal/app satisfy.
package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"latchkey/internal/access"
)

// ErrReleased says that the claim behind an item was given up before its
// workflow recorded anything (E2).
var ErrReleased = errors.New("the claim was released")

// ReleasedType is the type of the application error that carries [ErrReleased].
const ReleasedType = "claim_released"

// Recorded is what came of recording the state of an item.
type Recorded[S any] struct {
	// Held is set if Postgres holds changes that the state was made without: a process
	// died after it had recorded them and before Temporal knew, or the run was started
	// from facts that were read too early. Nothing was written then; the workflow
	// goes on from what is held and applies its change to that.
	Held *S `json:"held,omitempty"`
	// Place is how many reservations end in the same instant and come before this one.
	Place int `json:"place,omitzero"`
}

// Records keeps what workflows have decided.
type Records interface {
	// RecordInvitation writes the state, its events, grants and messages in one
	// transaction. The same state again changes nothing. It fails with ErrReleased if
	// the invitation does not exist.
	RecordInvitation(ctx context.Context, s access.Invitation, now time.Time) (Recorded[access.Invitation], error)
	// ReviewVerification records a lapse that has happened (I10) and returns when to
	// look again, zero if there is nothing to wait for.
	ReviewVerification(ctx context.Context, invitationID string, now time.Time) (time.Time, error)
	// RecordReservation does for a reservation what RecordInvitation does for an
	// invitation.
	RecordReservation(ctx context.Context, s access.Reservation, now time.Time) (Recorded[access.Reservation], error)
	// ReservationStanding reads where the key of a reservation is (K12).
	ReservationStanding(ctx context.Context, reservationID string) (access.Standing, error)
}

// Wakeup says that a transaction has made work for a workflow.
type Wakeup struct {
	WorkflowID string
	Serial     int64 // grows with every new reason
}

// PendingGrant is a grant that a panel has yet to confirm.
type PendingGrant struct {
	PanelID string
	Grant   access.Grant
}

// Grants is the queue of what panels have to be told.
type Grants interface {
	// PendingGrants lists what a panel has not confirmed: what takes access away
	// first, then the oldest, at most limit.
	PendingGrants(ctx context.Context, panelID string, limit int) ([]PendingGrant, error)
	// ConfirmGrant notes that the panel, having been sent a grant, holds the revision
	// (P5).
	ConfirmGrant(ctx context.Context, panelID string, sent access.Grant, revision int64, now time.Time) error
	// PendingPolicies lists the policy documents that a panel has not confirmed (P2).
	PendingPolicies(ctx context.Context, panelID string) ([]access.PanelPolicy, error)
	// ConfirmPolicy does for a policy document what ConfirmGrant does for a grant.
	ConfirmPolicy(ctx context.Context, panelID string, sent access.PanelPolicy, version int64, now time.Time) error
	// FailGrants notes why what waits for the panel could not be delivered, and
	// Delivered that the panel takes in again.
	FailGrants(ctx context.Context, panelID, reason string, now time.Time) error
	Delivered(ctx context.Context, panelID string) error
}

// Panels reaches panels.
type Panels interface {
	// PutGrant delivers a grant and returns the revision that the panel now holds.
	PutGrant(ctx context.Context, panelID string, g access.Grant) (revision int64, err error)
	// PutPolicy delivers a policy document and returns the version that the panel now
	// holds.
	PutPolicy(ctx context.Context, panelID string, p access.PanelPolicy) (version int64, err error)
}

// Messages sends what waits in the outbox table.
type Messages interface {
	// SendQueued sends at most limit messages that are due, each at most once as
	// far as the vendor allows, and returns how many were due and when the next
	// one is (zero if none waits).
	SendQueued(ctx context.Context, limit int, now time.Time) (handled int, next time.Time, err error)
}

// Activities are registered with the worker as one value.
type Activities struct {
	Records  Records
	Grants   Grants
	Panels   Panels
	Messages Messages
	Clock    func() time.Time
}

// RecordInvitation makes a change of an invitation durable and visible.
func (a *Activities) RecordInvitation(ctx context.Context, s access.Invitation) (Recorded[access.Invitation], error) {
	recorded, err := a.Records.RecordInvitation(ctx, s, a.Clock())
	return recorded, released(err)
}

// RecordReservation makes a change of a reservation durable and visible.
func (a *Activities) RecordReservation(ctx context.Context, s access.Reservation) (Recorded[access.Reservation], error) {
	recorded, err := a.Records.RecordReservation(ctx, s, a.Clock())
	return recorded, released(err)
}

// LookAtKey reads where the key of a reservation is (K12).
func (a *Activities) LookAtKey(ctx context.Context, reservationID string) (access.Standing, error) {
	return a.Records.ReservationStanding(ctx, reservationID)
}

// released keeps a given-up claim from being tried again.
func released(err error) error {
	if errors.Is(err, ErrReleased) {
		return temporal.NewNonRetryableApplicationError("the claim was released", ReleasedType, err)
	}
	return err
}

// ReviewVerification notices a lapse and says when to look again (I10).
func (a *Activities) ReviewVerification(ctx context.Context, invitationID string) (time.Time, error) {
	return a.Records.ReviewVerification(ctx, invitationID, a.Clock())
}

// heartbeatEvery is how often an activity that talks to the outside says that it
// is alive, so that one whose process died is noticed within seconds (E1).
const heartbeatEvery = time.Second

// alive sends heartbeats until the returned function is called.
func alive(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return func() { close(done) }
}

// messageBatch is how many messages one SendMessages handles.
const messageBatch = 200

// Sent is what SendMessages has done and when to come back.
type Sent struct {
	Handled int       `json:"handled"`
	Next    time.Time `json:"next,omitzero"`
}

// SendMessages sends what is due.
func (a *Activities) SendMessages(ctx context.Context) (Sent, error) {
	defer alive(ctx)()
	handled, next, err := a.Messages.SendQueued(ctx, messageBatch, a.Clock())
	return Sent{Handled: handled, Next: next}, err
}
