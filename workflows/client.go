package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"latchkey/internal/access"
)

var (
	// ErrUnavailable says that Temporal could not be asked or did not answer in
	// time. The caller may try the same request again (E9).
	ErrUnavailable = errors.New("the workflow engine is not available")
	// ErrClosed says that the item's workflow has ended: what Postgres holds about
	// it is final.
	ErrClosed = errors.New("the item has ended")
)

// answerWithin is how long a call waits for Temporal and the workflow. A caller who
// waits longer would have given up; one who is told can try again (E9).
const answerWithin = 5 * time.Second

// Client is the typed way from the API and the pages into the workflows. Every
// call that changes an item returns once the change is durable in Postgres, a
// [*access.Refusal] if a rule says no, [ErrClosed] or [ErrUnavailable].
//
// Update ids make a repeated request harmless; an empty one is made up by the SDK.
type Client struct {
	Temporal client.Client
	// Reservation reads what Postgres holds of a reservation, for one whose workflow
	// is over and to which something more happens.
	Reservation func(ctx context.Context, id string) (access.Reservation, error)
}

// CreateInvitation starts the workflow of an invitation that has been claimed in
// Postgres and waits until it is recorded as sent. Starting one twice is harmless.
func (c *Client) CreateInvitation(ctx context.Context, s access.Invitation) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	start := c.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       InvitationWorkflowID(s.ID),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary:            fmt.Sprintf("Invitation to %d entrance(s)", len(s.Entrances)),
		StaticDetails:            fmt.Sprintf("Property `%s`, inviter `%s`, guest `%s`.", s.PropertyID, s.InviterID, s.GuestID),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			searchAccount.ValueSet(s.AccountID), searchProperty.ValueSet(s.PropertyID)),
	}, Invitation, s)
	handle, err := c.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions:          updateOptions("", "create-"+s.ID, updateCreate, None{}),
	})
	return settled(ctx, handle, err)
}

// AcceptInvitation answers yes for the guest (I4).
func (c *Client) AcceptInvitation(ctx context.Context, id, updateID string) error {
	return c.update(ctx, id, updateID, updateAccept, None{})
}

// DeclineInvitation answers no for the guest (I4).
func (c *Client) DeclineInvitation(ctx context.Context, id, updateID string) error {
	return c.update(ctx, id, updateID, updateDecline, None{})
}

// EditInvitation changes the window, the entrances or, while it is unanswered, the
// guest (I5, I14).
func (c *Client) EditInvitation(ctx context.Context, id, updateID string, q EditRequest) error {
	return c.update(ctx, id, updateID, updateEdit, q)
}

// ResendInvitation sends the link again (K11).
func (c *Client) ResendInvitation(ctx context.Context, id, updateID string, q ResendRequest) error {
	return c.update(ctx, id, updateID, updateResend, q)
}

// RevokeInvitation takes the access away (I13).
func (c *Client) RevokeInvitation(ctx context.Context, id, updateID string, q RevokeRequest) error {
	return c.update(ctx, id, updateID, updateRevoke, q)
}

// RequireVerification makes the guest verify again (I10).
func (c *Client) RequireVerification(ctx context.Context, id, updateID string, q ActorRequest) error {
	return c.update(ctx, id, updateID, updateRequireVerification, q)
}

// LeaveInvitation gives the access up for the guest (I17).
func (c *Client) LeaveInvitation(ctx context.Context, id, updateID string) error {
	return c.update(ctx, id, updateID, updateLeave, None{})
}

// RetimeInvitation hands on the periods of a changed policy (I5, K11).
func (c *Client) RetimeInvitation(ctx context.Context, id, updateID string, q RetimeRequest) error {
	return c.update(ctx, id, updateID, updateRetime, q)
}

// MoveInvitation makes another member the inviter (I17).
func (c *Client) MoveInvitation(ctx context.Context, id, updateID string, q MoveRequest) error {
	return c.update(ctx, id, updateID, updateMove, q)
}

func (c *Client) update(ctx context.Context, id, updateID, name string, arg any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	handle, err := c.Temporal.UpdateWorkflow(ctx, updateOptions(InvitationWorkflowID(id), updateID, name, arg))
	return settled(ctx, handle, err)
}

func updateOptions(workflowID, updateID, name string, arg any) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateID: updateID, UpdateName: name, Args: []any{arg}, WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// settled waits for the answer of an update.
func settled(ctx context.Context, handle client.WorkflowUpdateHandle, err error) error {
	if err != nil {
		return translate(err)
	}
	return translate(handle.Get(ctx, nil))
}

// Wake tells the workflow with this id that rows have changed that concern it. A
// panel's or the outbox's workflow is started if it does not run, and so is a
// reservation's; an invitation that has ended needs no telling.
func (c *Client) Wake(ctx context.Context, workflowID string) error {
	options := client.StartWorkflowOptions{ID: workflowID, TaskQueue: TaskQueue}
	var err error
	if panelID, ok := panelOf(workflowID); ok {
		options.StaticSummary = "Bring a panel up to date"
		_, err = c.Temporal.SignalWithStartWorkflow(ctx, workflowID, signalWake, None{}, options, Panel, PanelSync{PanelID: panelID})
	} else if workflowID == OutboxWorkflowID {
		options.StaticSummary = "Send messages"
		_, err = c.Temporal.SignalWithStartWorkflow(ctx, workflowID, signalWake, None{}, options, Outbox)
	} else if reservationID, ok := reservationOf(workflowID); ok {
		err = c.wakeReservation(ctx, reservationID)
	} else {
		err = c.Temporal.SignalWorkflow(ctx, workflowID, "", signalWake, None{})
	}
	if err = translate(err); errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// translate turns Temporal's errors into what callers of this package know.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := refusalFromTemporal(err); ok {
		return refusal
	}
	var (
		notFound *serviceerror.NotFound
		started  *serviceerror.WorkflowExecutionAlreadyStarted
		failed   *temporal.ApplicationError
	)
	switch {
	case errors.As(err, &notFound), errors.As(err, &started):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case isReleased(err):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.As(err, &failed):
		return fmt.Errorf("update failed: %w", err)
	default: // unreachable, overloaded, too late, shutting down: nothing is known to have happened
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}
