package workflows

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"latchkey/internal/access"
)

// CreateReservation starts the workflow of a reservation that has been claimed in
// Postgres and waits until it is recorded. Starting one twice is harmless.
func (c *Client) CreateReservation(ctx context.Context, s access.Reservation) error {
	return c.reservation(ctx, s, "create-"+s.ID, updateCreate, None{})
}

// EditReservation changes times, reminder, photo ID or notes (K5).
func (c *Client) EditReservation(ctx context.Context, s access.Reservation, updateID string, q EditReservationRequest) error {
	return c.reservation(ctx, s, updateID, updateEdit, q)
}

// ResendReservation sends the instructions again (K11).
func (c *Client) ResendReservation(ctx context.Context, s access.Reservation, updateID string, q ResendRequest) error {
	return c.reservation(ctx, s, updateID, updateResend, q)
}

// RevokeReservation ends picking up (K10).
func (c *Client) RevokeReservation(ctx context.Context, s access.Reservation, updateID string, q RevokeRequest) error {
	return c.reservation(ctx, s, updateID, updateRevoke, q)
}

// MoveReservation makes another member the host (I17).
func (c *Client) MoveReservation(ctx context.Context, s access.Reservation, updateID string, q MoveRequest) error {
	return c.reservation(ctx, s, updateID, updateMove, q)
}

// SubmitVisitorID notes that a photo ID has been supplied (K7).
func (c *Client) SubmitVisitorID(ctx context.Context, s access.Reservation, updateID string) error {
	return c.reservation(ctx, s, updateID, updateSubmitID, None{})
}

// DecideVisitorID confirms or rejects a photo ID (K7).
func (c *Client) DecideVisitorID(ctx context.Context, s access.Reservation, updateID string, q DecideIDRequest) error {
	return c.reservation(ctx, s, updateID, updateDecideID, q)
}

// closingTries is how often an update is sent to a workflow that was just about to
// close. Each time it is gone by the next.
const closingTries = 3

// reservation asks something of a reservation. One whose workflow is over is
// started again; it reads then what Postgres holds, so s may be a little old.
func (c *Client) reservation(ctx context.Context, s access.Reservation, updateID, name string, arg any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var err error
	for range closingTries {
		var handle client.WorkflowUpdateHandle
		handle, err = c.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: c.Temporal.NewWithStartWorkflowOperation(reservationOptions(s), Reservation, s),
			UpdateOptions:          updateOptions("", updateID, name, arg),
		})
		if err = settled(ctx, handle, err); !errors.Is(err, ErrClosed) {
			break
		}
	}
	return err
}

func (c *Client) wakeReservation(ctx context.Context, id string) error {
	s, err := c.Reservation(ctx, id)
	if err != nil {
		return err
	}
	if s.State == access.ReservationCreating || s.ID == "" {
		return nil // nothing has been recorded that could be of interest
	}
	_, err = c.Temporal.SignalWithStartWorkflow(ctx, ReservationWorkflowID(id), signalWake, None{}, reservationOptions(s), Reservation, s)
	return err
}

func reservationOptions(s access.Reservation) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       ReservationWorkflowID(s.ID),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            fmt.Sprintf("Reservation of a key (%s)", s.Kind),
		StaticDetails:            fmt.Sprintf("Key `%s`, host `%s`, visitor `%s`, property `%s`.", s.KeyID, s.HostID, s.VisitorID, s.PropertyID),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			searchAccount.ValueSet(s.AccountID), searchProperty.ValueSet(s.PropertyID)),
	}
}
