package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
	"latchkey/internal/access"
)

// handle registers an update. The handler changes the state, then waits until the
// loop has recorded the change, so that the caller's answer is durable and visible
// to the next read. An update that was applied before, in this run or an earlier
// one, is not applied again; its caller waits all the same.
func handle[Q any](ctx workflow.Context, r *run, name string, validate func(workflow.Context, Q) error, apply func(workflow.Context, Q) error) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, request Q) (int64, error) {
			id := workflow.GetCurrentUpdateInfo(ctx).ID
			for {
				if !r.item.History().HasHandled(id) {
					if err := apply(ctx, request); err != nil {
						return 0, refusalToTemporal(err)
					}
					r.item.History().MarkHandled(id)
				}
				r.changes++
				wanted, base := max(r.item.History().Revision, 1), r.adopted
				if err := workflow.Await(ctx, func() bool {
					return r.released != nil || r.adopted != base || r.item.History().Recorded >= wanted
				}); err != nil {
					return 0, err
				}
				if r.released != nil || r.adopted == base {
					return r.item.History().Revision, r.released
				}
			}
		},
		workflow.UpdateHandlerOptions{Validator: func(ctx workflow.Context, request Q) error {
			if r.item.History().HasHandled(workflow.GetCurrentUpdateInfo(ctx).ID) {
				return nil
			}
			return refusalToTemporal(validate(ctx, request))
		}})
}

// try makes a validator of a rule by applying it to a copy.
func try[S, Q any](s *S, rule func(*S, time.Time, Q) error) func(workflow.Context, Q) error {
	return func(ctx workflow.Context, request Q) error {
		trial := *s
		return rule(&trial, workflow.Now(ctx), request)
	}
}

func always[Q any](workflow.Context, Q) error { return nil }

// refusalType marks a rule's refusal among the errors that cross Temporal.
const refusalType = "refusal"

func refusalToTemporal(err error) error {
	var refusal *access.Refusal
	if errors.As(err, &refusal) {
		return temporal.NewApplicationErrorWithOptions(refusal.Detail, refusalType, temporal.ApplicationErrorOptions{
			NonRetryable: true, Details: []any{*refusal},
		})
	}
	return err
}

// refusalFromTemporal gives back the rule's own refusal, if err is one.
func refusalFromTemporal(err error) (*access.Refusal, bool) {
	var application *temporal.ApplicationError
	if !errors.As(err, &application) || application.Type() != refusalType {
		return nil, false
	}
	var refusal access.Refusal
	if application.Details(&refusal) != nil {
		return nil, false
	}
	return &refusal, true
}

func isReleased(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.Type() == activities.ReleasedType
}
