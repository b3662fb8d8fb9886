package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/workflows"
)

// ledger keeps what the workflow records, as Postgres would.
type ledger struct {
	mu       sync.Mutex
	recorded []access.Invitation
	changes  []access.Change
	reviews  []time.Time // answers to ReviewVerification, in order
	released bool

	reservations []access.Reservation
	standing     access.Standing // where the key is
	held         access.Reservation
	heldInstead  *access.Invitation // what a run that died has left in Postgres
}

func (l *ledger) RecordReservation(_ context.Context, s access.Reservation, _ time.Time) (recorded activities.Recorded[access.Reservation], err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.held.ID == "":
		return recorded, activities.ErrReleased
	case l.held.Revision != s.Recorded:
		held := l.held
		recorded.Held = &held
		return recorded, nil
	}
	l.reservations = append(l.reservations, s)
	l.changes = append(l.changes, s.Pending...)
	l.held = s
	l.held.Confirm(s.Revision)
	return recorded, nil
}

func (l *ledger) ReservationStanding(context.Context, string) (access.Standing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing, nil
}

// moveKey is what a box's report would leave in Postgres.
func (l *ledger) moveKey(s access.Standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing = s
}

func (l *ledger) RecordInvitation(_ context.Context, s access.Invitation, _ time.Time) (recorded activities.Recorded[access.Invitation], err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return recorded, activities.ErrReleased
	}
	if recorded.Held, l.heldInstead = l.heldInstead, nil; recorded.Held != nil {
		return recorded, nil
	}
	l.recorded = append(l.recorded, s)
	l.changes = append(l.changes, s.Pending...)
	return recorded, nil
}

func (l *ledger) ReviewVerification(context.Context, string, time.Time) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reviews) == 0 {
		return time.Time{}, nil
	}
	next := l.reviews[0]
	l.reviews = l.reviews[1:]
	return next, nil
}

func (l *ledger) types() (types []access.EventType) {
	for _, c := range l.changes {
		types = append(types, c.Type)
	}
	return types
}

var start = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func claimed() access.Invitation {
	policy := access.DefaultPolicy()
	return access.Invitation{
		ID: "inv_1", AccountID: "acc_1", PropertyID: "prop_1", InviterID: "mem_1", GuestID: "per_1",
		State: access.InvitationCreating, Entrances: []string{"ent_1"}, CreatedAt: start, Ledger: access.Ledger{UpdatedAt: start},
		TTL: policy.InvitationTTL, Cooldown: policy.ResendCooldown,
	}
}

type environment struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	ledger *ledger
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	var s testsuite.WorkflowTestSuite
	e := &environment{TestWorkflowEnvironment: s.NewTestWorkflowEnvironment(), t: t, ledger: &ledger{}}
	e.SetStartTime(start)
	e.RegisterWorkflow(workflows.Invitation)
	e.RegisterWorkflow(workflows.Reservation)
	e.RegisterActivity(&activities.Activities{Records: e.ledger, Clock: func() time.Time { return start }})
	return e
}

// update sends an update after a delay and reports what came of it.
func (e *environment) update(after time.Duration, id, name string, arg any, done func(err error)) {
	e.RegisterDelayedCallback(func() { e.updateNow(id, name, arg, done) }, after)
}

func (e *environment) updateNow(id, name string, arg any, done func(err error)) {
	e.UpdateWorkflow(name, id, &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { done(err) },
		OnComplete: func(_ any, err error) { done(err) },
	}, arg)
}

func (e *environment) mustUpdate(after time.Duration, name string, arg any) {
	e.update(after, name+after.String(), name, arg, func(err error) {
		if err != nil {
			e.t.Errorf("%s after %s: %v", name, after, err)
		}
	})
}

func refused(t *testing.T, want access.Code) func(error) {
	t.Helper()
	return func(err error) {
		var application *temporal.ApplicationError
		var refusal access.Refusal
		if !errors.As(err, &application) || application.Details(&refusal) != nil || refusal.Code != want {
			t.Errorf("got %v, want a refusal %s", err, want)
		}
	}
}

func (e *environment) expectClosed(want access.InvitationState, types ...access.EventType) {
	e.t.Helper()
	if !e.IsWorkflowCompleted() || e.GetWorkflowError() != nil {
		e.t.Fatalf("completed %v: %v", e.IsWorkflowCompleted(), e.GetWorkflowError())
	}
	last := e.ledger.recorded[len(e.ledger.recorded)-1]
	if last.State != want || !reflect.DeepEqual(e.ledger.types(), types) {
		e.t.Errorf("ended %s after %v, want %s after %v", last.State, e.ledger.types(), want, types)
	}
}

// I5: nobody answers for fourteen days.
func TestI5UnansweredInvitationExpires(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationExpired, access.EventInvitationSent, access.EventInvitationExpired)
	expired := e.ledger.changes[1].At
	if want := e.ledger.changes[0].At.Add(14 * 24 * time.Hour); !expired.Equal(want) {
		t.Errorf("expired at %s, want %s", expired, want)
	}
}

// I1, I4: accepted, then the window ends; both answers afterwards are as the rule says.
func TestI4AcceptedInvitationEndsWithItsWindow(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	inv := claimed()
	inv.Window = access.Window{Start: start, End: start.Add(48 * time.Hour)}
	e.mustUpdate(0, "create", workflows.None{})
	e.mustUpdate(time.Hour, "accept", workflows.None{})
	e.mustUpdate(2*time.Hour, "accept", workflows.None{})
	e.update(3*time.Hour, "decline", "decline", workflows.None{}, refused(t, access.CodeAlreadyAccepted))
	e.ExecuteWorkflow(workflows.Invitation, inv)
	e.expectClosed(access.InvitationEnded, access.EventInvitationSent, access.EventInvitationAccepted, access.EventInvitationEnded)
	if at := e.ledger.changes[2].At; !at.Equal(inv.Window.End) {
		t.Errorf("ended at %s, want %s", at, inv.Window.End)
	}
}

// I4, I13: declining and revoking end it at once.
func TestI13RevokedInvitationCloses(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.mustUpdate(time.Hour, "accept", workflows.None{})
	e.mustUpdate(2*time.Hour, "revoke", workflows.RevokeRequest{ActorID: "mem_1", NoteID: "note_1"})
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationRevoked, access.EventInvitationSent, access.EventInvitationAccepted, access.EventInvitationRevoked)
	if c := e.ledger.changes[2]; c.ActorID != "mem_1" || c.NoteID != "note_1" {
		t.Errorf("who and why are lost: %+v", c)
	}
}

// K11: refused within the hour with the time; queued, it leaves exactly then, and
// the same update sent twice counts once.
func TestK11ResendIsQueuedAndSentOnce(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.update(10*time.Minute, "early", "resend", workflows.ResendRequest{}, refused(t, access.CodeResendCooldown))
	e.mustUpdate(20*time.Minute, "resend", workflows.ResendRequest{WhenAllowed: true})
	for range 2 {
		e.update(3*time.Hour, "again", "resend", workflows.ResendRequest{}, func(err error) {
			if err != nil {
				t.Errorf("after the cooldown: %v", err)
			}
		})
	}
	e.mustUpdate(4*time.Hour, "decline", workflows.None{})
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationDeclined, access.EventInvitationSent, access.EventInvitationSent, access.EventInvitationSent, access.EventInvitationDeclined)
	first, queued := e.ledger.changes[0].At, e.ledger.changes[1].At
	if late := queued.Sub(first.Add(time.Hour)); late < 0 || late > time.Second {
		t.Errorf("the queued resend left %s after its time", late)
	}
}

// I10: a wake-up after a tap makes the workflow look, and a use meanwhile makes it
// look again later.
func TestI10LapseIsLookedAtWhenItIsDue(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	inv := claimed()
	inv.Window.End = start.Add(30 * 24 * time.Hour)
	e.ledger.reviews = []time.Time{start.Add(5 * 24 * time.Hour), start.Add(8 * 24 * time.Hour)}
	e.mustUpdate(time.Hour, "accept", workflows.None{})
	e.RegisterDelayedCallback(func() { e.SignalWorkflow("wake", workflows.None{}) }, 2*time.Hour)
	e.ExecuteWorkflow(workflows.Invitation, inv)
	e.expectClosed(access.InvitationEnded, access.EventInvitationSent, access.EventInvitationAccepted, access.EventInvitationEnded)
	if len(e.ledger.reviews) != 0 {
		t.Errorf("%d reviews were never asked for", len(e.ledger.reviews))
	}
}

// E2: if the API gave the claim up, there is no invitation and nobody is told.
func TestE2ReleasedClaimLeavesNothing(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ledger.released = true
	var outcome error
	e.update(0, "create", "create", workflows.None{}, func(err error) { outcome = err })
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	if e.GetWorkflowError() != nil || outcome == nil || len(e.ledger.changes) != 0 {
		t.Errorf("workflow: %v, caller: %v, changes: %d", e.GetWorkflowError(), outcome, len(e.ledger.changes))
	}
}

// E1, I13: a process died after it had recorded an answer and before Temporal knew.
// A revocation that comes then is made on top of that answer.
func TestInvitationRevokedAfterACrash(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.RegisterDelayedCallback(func() {
		held := e.ledger.recorded[0]
		held.Confirm(held.Revision)
		if err := held.Accept(start); err != nil {
			t.Error(err)
		}
		held.Confirm(held.Revision)
		e.ledger.heldInstead = &held
	}, time.Hour)
	e.mustUpdate(2*time.Hour, "revoke", workflows.RevokeRequest{ActorID: "mem_1"})
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationRevoked, access.EventInvitationSent, access.EventInvitationRevoked)
	if last := e.ledger.recorded[len(e.ledger.recorded)-1]; last.Revision != 3 {
		t.Errorf("the revocation is revision %d, want 3: the answer was 2", last.Revision)
	}
}

// Continue-as-new carries the whole state: a run that is told to start again hands
// over exactly what it had, and the next run goes on from it.
func TestContinueAsNewRoundTrip(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	inv := claimed()
	inv.Window = access.Window{Start: start, End: start.Add(90 * 24 * time.Hour), EndWall: "2027-03-01T12:00"}
	e.mustUpdate(time.Minute, "resend", workflows.ResendRequest{WhenAllowed: true, ActorID: "mem_1"})
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, 2*time.Minute)
	e.mustUpdate(3*time.Minute, "require_verification", workflows.ActorRequest{ActorID: "mem_1"})
	e.ExecuteWorkflow(workflows.Invitation, inv)

	var again *workflow.ContinueAsNewError
	if !errors.As(e.GetWorkflowError(), &again) {
		t.Fatalf("did not continue as new: %v", e.GetWorkflowError())
	}
	var carried access.Invitation
	if err := converter.GetDefaultDataConverter().FromPayloads(again.Input, &carried); err != nil {
		t.Fatal(err)
	}
	want := e.ledger.recorded[len(e.ledger.recorded)-1]
	want.Confirm(want.Revision)
	if !reflect.DeepEqual(carried, want) {
		t.Errorf("carried over:\n%s\nrecorded:\n%s", dump(carried), dump(want))
	}
	if carried.ResendAt.IsZero() || carried.RequiredAt.IsZero() || len(carried.Handled) != 2 {
		t.Errorf("lost on the way: %s", dump(carried))
	}

	next := newEnvironment(t)
	next.SetStartTime(start.Add(time.Hour))
	next.update(time.Minute, carried.Handled[0], "resend", workflows.ResendRequest{WhenAllowed: true}, func(err error) {
		if err != nil {
			t.Errorf("an update that the earlier run handled: %v", err)
		}
	})
	next.mustUpdate(2*time.Hour, "decline", workflows.None{})
	next.ExecuteWorkflow(workflows.Invitation, carried)
	next.expectClosed(access.InvitationDeclined, access.EventInvitationSent, access.EventInvitationDeclined)
}

func dump(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
