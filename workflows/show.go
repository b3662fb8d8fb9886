package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/access"
)

// showState keeps the search attributes true by which an operator finds items in
// the Temporal UI: the state and the next deadline.
func showState(ctx workflow.Context, state string, next access.Deadline) error {
	updates := []temporal.SearchAttributeUpdate{}
	known := workflow.GetTypedSearchAttributes(ctx)
	if shown, _ := known.GetKeyword(searchState); shown != state {
		updates = append(updates, searchState.ValueSet(state))
	}
	at, ok := known.GetTime(searchDeadline)
	switch {
	case !next.At.IsZero() && next.What == access.ActionWait && !at.Equal(next.At):
		updates = append(updates, searchDeadline.ValueSet(next.At))
	case ok && (next.At.IsZero() || next.What == access.ActionClose):
		updates = append(updates, searchDeadline.ValueUnset())
	}
	if len(updates) == 0 {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}
