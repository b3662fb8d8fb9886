package workflows_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"latchkey/internal/access"
	"latchkey/workflows"
)

// reserved is a claim from tomorrow to the day after, in Lisbon, with a reminder.
func reserved(t *testing.T) access.Reservation {
	t.Helper()
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Fatal(err)
	}
	window := access.Window{Start: start.Add(24 * time.Hour), End: start.Add(48 * time.Hour)} // noon of 3 December
	plan, err := access.PlanReservation(window, lisbon, access.DefaultPolicy(), start)
	if err != nil {
		t.Fatal(err)
	}
	return access.Reservation{
		ID: "res_1", AccountID: "acc_1", PropertyID: "prop_1", KeyID: "key_1", HostID: "mem_1", VisitorID: "per_1",
		Kind: access.OneTime, State: access.ReservationCreating, Exclusive: true, ReturnReminder: true, Plan: plan,
		CreatedAt: start, Ledger: access.Ledger{UpdatedAt: start},
	}
}

// reserve runs the workflow of a reservation that Postgres holds as it is.
func (e *environment) reserve(s access.Reservation) {
	e.ledger.held = s
	e.ExecuteWorkflow(workflows.Reservation, s)
}

// boxReports is a box's report after a delay: where the key is now.
func (e *environment) boxReports(after time.Duration, s access.Standing) {
	e.RegisterDelayedCallback(func() {
		e.ledger.moveKey(s)
		e.SignalWorkflow("wake", nil)
	}, after)
}

func (e *environment) expectReservation(want access.ReservationState, types ...access.EventType) {
	e.t.Helper()
	if !e.IsWorkflowCompleted() || e.GetWorkflowError() != nil {
		e.t.Fatalf("completed %v: %v", e.IsWorkflowCompleted(), e.GetWorkflowError())
	}
	last := e.ledger.reservations[len(e.ledger.reservations)-1]
	if last.State != want || !reflect.DeepEqual(e.ledger.types(), types) {
		e.t.Errorf("ended %s after %v, want %s after %v", last.State, e.ledger.types(), want, types)
	}
}

// changeAt is when the log says that something happened.
func (e *environment) changeAt(kind access.EventType) time.Time {
	e.t.Helper()
	for _, c := range e.ledger.changes {
		if c.Type == kind {
			return c.At
		}
	}
	e.t.Fatalf("there is no %s", kind)
	return time.Time{}
}

// K6, K8: the visitor takes the key, is reminded at 09:00 of the last day and brings
// it back; the workflow closes with the end.
func TestReservationFromStartToEnd(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	out := start.Add(25 * time.Hour)
	e.ledger.standing = access.Standing{InBox: true}
	e.boxReports(25*time.Hour, access.Standing{KeyOut: out})
	e.boxReports(46*time.Hour, access.Standing{InBox: true})
	e.reserve(reserved(t))
	e.expectReservation(access.ReservationEnded, access.EventReservationCreated, access.EventReturnReminderSent, access.EventReservationEnded)
	if at := e.changeAt(access.EventReturnReminderSent); !at.Equal(time.Date(2026, 12, 3, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("K6: reminded at %s", at)
	}
	if at := e.changeAt(access.EventReservationEnded); !at.Equal(start.Add(48 * time.Hour)) {
		t.Errorf("T0: it ended at %s", at)
	}
}

// K6: a key that was never picked up, and one that is back at 08:59, need no reminder.
func TestK6NoReminder(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]time.Duration{"never picked up": 0, "back at 08:59": 44*time.Hour + 59*time.Minute} {
		e := newEnvironment(t)
		e.ledger.standing = access.Standing{InBox: true}
		if back > 0 {
			e.boxReports(25*time.Hour, access.Standing{KeyOut: start.Add(25 * time.Hour)})
			e.boxReports(back, access.Standing{InBox: true})
		}
		e.reserve(reserved(t))
		e.expectReservation(access.ReservationEnded, access.EventReservationCreated, access.EventReservationEnded)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// K13: a key that is kept is late an hour after the end, and again each day; the
// workflow stays open until it is back.
func TestK13LateKey(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ledger.standing = access.Standing{InBox: true}
	e.boxReports(47*time.Hour, access.Standing{KeyOut: start.Add(47 * time.Hour)})
	e.boxReports(80*time.Hour, access.Standing{InBox: true})
	e.reserve(reserved(t))
	e.expectReservation(access.ReservationEnded, access.EventReservationCreated, access.EventReturnReminderSent, access.EventReservationEnded,
		access.EventKeyLate, access.EventKeyLate)
	if at := e.changeAt(access.EventKeyLate); !at.Equal(start.Add(49 * time.Hour)) {
		t.Errorf("K13: late at %s", at)
	}
}

// K13: two hours before the start the key is not there: the host is warned, once.
func TestK13KeyMissing(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ledger.standing = access.Standing{} // out, and not with this visitor
	e.reserve(reserved(t))
	e.expectReservation(access.ReservationEnded, access.EventReservationCreated, access.EventKeyMissing, access.EventReservationEnded)
	if at := e.changeAt(access.EventKeyMissing); !at.Equal(start.Add(22 * time.Hour)) {
		t.Errorf("K13: warned at %s", at)
	}
}

// K10, K11: a resend within the hour is refused, a queued one leaves exactly when it
// may, and a revocation ends it all.
func TestReservationResendAndRevoke(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ledger.standing = access.Standing{InBox: true}
	e.update(time.Minute, "early", "resend", workflows.ResendRequest{}, refused(t, access.CodeResendCooldown))
	e.mustUpdate(2*time.Minute, "resend", workflows.ResendRequest{WhenAllowed: true})
	e.mustUpdate(2*time.Hour, "revoke", workflows.RevokeRequest{})
	e.update(3*time.Hour, "late", "resend", workflows.ResendRequest{}, func(error) {})
	e.reserve(reserved(t))
	e.expectReservation(access.ReservationRevoked, access.EventReservationCreated, access.EventInstructionsResent, access.EventReservationRevoked)
	if at := e.changeAt(access.EventInstructionsResent); !at.Equal(start.Add(time.Hour)) {
		t.Errorf("K11: the queued message left at %s", at)
	}
}

// K12: a box that reports in the moment in which the workflow is about to close is
// heard: the key is late after all.
func TestReservationHearsTheLastReport(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.ledger.standing = access.Standing{InBox: true}
	e.boxReports(48*time.Hour, access.Standing{KeyOut: start.Add(47 * time.Hour)})
	e.boxReports(60*time.Hour, access.Standing{InBox: true})
	e.reserve(reserved(t))
	if !e.IsWorkflowCompleted() || e.GetWorkflowError() != nil {
		t.Fatalf("completed %v: %v", e.IsWorkflowCompleted(), e.GetWorkflowError())
	}
	if at := e.changeAt(access.EventKeyLate); !at.Equal(start.Add(49 * time.Hour)) {
		t.Errorf("K13: late at %s", at)
	}
}

// The whole state goes into the next run, as it is.
func TestReservationContinuesAsNewWithEverything(t *testing.T) {
	t.Parallel()
	full := reserved(t)
	full.State, full.SentAt, full.ResendAt = access.ReservationScheduled, start.Add(-time.Minute), start.Add(time.Hour)
	full.KeyOut, full.Reminded, full.WarnedFor, full.Place = start.Add(-time.Hour), []string{"2026-12-01"}, full.Plan.Window.Start, 7
	full.LateTold, full.NotesID = start.Add(-2*time.Hour), "note_1"
	full.Document = access.IDDocument{Required: true, Progress: access.IDRejected, NoteID: "note_2"}
	full.Revision, full.Recorded, full.Handled = 9, 9, []string{"a", "b"}
	full.Plan.Window.StartWall, full.Plan.Window.EndWall = "2026-12-02T12:00", "2026-12-03T12:00"
	e := newEnvironment(t)
	e.SetContinueAsNewSuggested(true)
	e.reserve(full)
	var again *workflow.ContinueAsNewError
	if !errors.As(e.GetWorkflowError(), &again) {
		t.Fatalf("ended with %v", e.GetWorkflowError())
	}
	var next access.Reservation
	if err := converter.GetDefaultDataConverter().FromPayloads(again.Input, &next); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(next, full) {
		t.Errorf("the next run begins with\n%+v\ninstead of\n%+v", next, full)
	}
}

// E1: a run that is started from facts that were read a moment before the last run
// recorded something goes on from what was recorded, and loses neither.
func TestReservationStartedTooEarly(t *testing.T) {
	t.Parallel()
	read := reserved(t)
	read.State, read.SentAt, read.KeyOut = access.ReservationEnded, start.Add(-2*time.Hour), start.Add(-time.Hour)
	read.Revision, read.Recorded = 3, 3
	held := read
	held.KeyOut, held.Revision, held.Recorded = time.Time{}, 4, 4
	e := newEnvironment(t)
	e.ledger.held, e.ledger.standing = held, access.Standing{InBox: true}
	e.mustUpdate(0, "resend", workflows.ResendRequest{})
	e.ExecuteWorkflow(workflows.Reservation, read)
	e.expectReservation(access.ReservationEnded, access.EventInstructionsResent)
	if last := e.ledger.held; last.Revision != 5 || !last.KeyOut.IsZero() {
		t.Errorf("recorded revision %d with the key out since %s, want 5 with the key back", last.Revision, last.KeyOut)
	}
}

// E1, K10: a process died after it had recorded that the key is back and before
// Temporal knew. A revocation that comes then is made on top of that.
func TestReservationRevokedAfterACrash(t *testing.T) {
	t.Parallel()
	known := reserved(t)
	known.State, known.SentAt, known.KeyOut, known.Revision, known.Recorded = access.ReservationScheduled, start, start, 2, 2
	known.Plan.Window.End, known.ReturnReminder = time.Time{}, false
	held := known
	held.KeyOut, held.Revision, held.Recorded = time.Time{}, 3, 3
	e := newEnvironment(t)
	e.ledger.held, e.ledger.standing = held, access.Standing{InBox: true}
	e.mustUpdate(time.Minute, "revoke", workflows.RevokeRequest{ActorID: "mem_1"})
	e.ExecuteWorkflow(workflows.Reservation, known)
	e.expectReservation(access.ReservationRevoked, access.EventReservationRevoked)
}

// E1, E2: what the dead process recorded was the very request that is repeated now:
// it is not carried out twice.
func TestReservationRepeatedAfterACrash(t *testing.T) {
	t.Parallel()
	known := reserved(t)
	known.State, known.SentAt, known.Revision, known.Recorded = access.ReservationScheduled, start.Add(-2*time.Hour), 1, 1
	held := known
	held.SentAt, held.Revision, held.Recorded, held.Handled = start, 2, 2, []string{"again"}
	e := newEnvironment(t)
	e.ledger.held, e.ledger.standing = held, access.Standing{InBox: true}
	e.update(0, "again", "resend", workflows.ResendRequest{}, func(err error) {
		if err != nil {
			t.Errorf("the repeated request is answered with %v", err)
		}
	})
	e.ExecuteWorkflow(workflows.Reservation, known)
	e.expectReservation(access.ReservationEnded, access.EventReservationEnded)
	if last := e.ledger.held; !last.SentAt.Equal(start) {
		t.Errorf("the instructions were sent again at %s", last.SentAt)
	}
}

// E2: a run whose claim was given up ends without a trace.
func TestReservationOfAReleasedClaim(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	var outcome error
	e.update(0, "create", "create", workflows.None{}, func(err error) { outcome = err })
	e.ExecuteWorkflow(workflows.Reservation, reserved(t))
	if e.GetWorkflowError() != nil || outcome == nil || len(e.ledger.changes) != 0 {
		t.Errorf("workflow: %v, caller: %v, changes: %d", e.GetWorkflowError(), outcome, len(e.ledger.changes))
	}
}
