package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
	"latchkey/internal/access"
)

// Reservation is the life of one reservation of a key, from the claim that the API
// made in Postgres until picking up has ended and the key is back (K12): the
// visitor gets their instructions, is reminded on the last day (K6), the end comes
// (K8), and whoever keeps the key is told of it (K13). The rules are in
// [access.Reservation]; here is only when they are asked and that their answers are
// kept.
//
// A reservation that is over is started again from what Postgres holds when
// something more happens to it: a box reports late that the key was taken, a host
// has the instructions sent again.
func Reservation(ctx workflow.Context, s access.Reservation) error {
	r := newReservationRun(ctx, &s)
	if err := r.register(ctx); err != nil {
		return err
	}
	err := r.loop(ctx)
	if isReleased(err) {
		return nil // the API gave up the claim before the workflow could keep it: there is no reservation
	}
	return err
}

type reservationRun struct {
	run
	s *access.Reservation
}

func newReservationRun(ctx workflow.Context, s *access.Reservation) *reservationRun {
	r := &reservationRun{s: s}
	r.run = run{
		item:  s,
		wakes: workflow.GetSignalChannel(ctx, signalWake),
		perform: map[access.Action]func(workflow.Context) error{
			access.ActionRecord:   r.recordReservation,
			access.ActionLook:     r.look,
			access.ActionCheckKey: r.checkKey,
		},
		woken: func(workflow.Context) { s.Look = true }, // a box has reported the key
		show:  r.show,
		again: func(ctx workflow.Context) error { return workflow.NewContinueAsNewError(ctx, Reservation, *s) },
	}
	return r
}

func (r *reservationRun) recordReservation(ctx workflow.Context) error {
	return r.record(ctx, string(r.s.State), func(ctx workflow.Context) (adopted bool, err error) {
		var recorded activities.Recorded[access.Reservation]
		if err := workflow.ExecuteLocalActivity(ctx, records.RecordReservation, *r.s).Get(ctx, &recorded); err != nil {
			return false, err
		}
		if recorded.Held == nil {
			r.s.Place = recorded.Place
			return false, nil
		}
		*r.s = *recorded.Held
		r.s.Look = true // what this run has learned of the key is not in what is held
		return true, nil
	})
}

// look reads where the key is (K12).
func (r *reservationRun) look(ctx workflow.Context) error {
	standing, err := r.standing(ctx)
	if err == nil {
		r.s.Learn(standing, workflow.Now(ctx))
	}
	return err
}

// checkKey warns the host if the key is not there shortly before the start (K13).
func (r *reservationRun) checkKey(ctx workflow.Context) error {
	due := r.s.Next(workflow.Now(ctx)).At
	standing, err := r.standing(ctx)
	if err == nil {
		r.s.CheckKey(standing, due, workflow.Now(ctx))
	}
	return err
}

func (r *reservationRun) standing(ctx workflow.Context) (s access.Standing, err error) {
	ctx = recordOptions(ctx, "where is the key?")
	err = workflow.ExecuteLocalActivity(ctx, records.LookAtKey, r.s.ID).Get(ctx, &s)
	return s, err
}

// show keeps what the operator sees in the Temporal UI true.
func (r *reservationRun) show(ctx workflow.Context, next access.Deadline) error {
	text := fmt.Sprintf("**%s** (%s), revision %d", r.s.State, r.s.Kind, r.s.Revision)
	if !r.s.KeyOut.IsZero() {
		text += "\n- the visitor has the key since " + r.s.KeyOut.UTC().Format(time.RFC3339)
	}
	for _, d := range r.s.Deadlines() {
		text += fmt.Sprintf("\n- %s: %s", d.At.UTC().Format(time.RFC3339), d.What)
	}
	workflow.SetCurrentDetails(ctx, text)
	return showState(ctx, string(r.s.State), next)
}

// register installs the handlers of everything that can be asked of a
// reservation. Validators refuse early and leave no trace in the history.
func (r *reservationRun) register(ctx workflow.Context) error {
	return errors.Join(
		handle(ctx, &r.run, updateCreate, always[None], func(workflow.Context, None) error { return nil }),
		rule(ctx, r, updateEdit, func(s *access.Reservation, now time.Time, q EditReservationRequest) error {
			return s.Edit(now, q.ReservationEdit, q.ActorID)
		}),
		rule(ctx, r, updateResend, func(s *access.Reservation, now time.Time, q ResendRequest) error {
			return s.Resend(now, q.WhenAllowed, q.ActorID)
		}),
		rule(ctx, r, updateRevoke, func(s *access.Reservation, now time.Time, q RevokeRequest) error {
			return s.Revoke(now, q.ActorID, q.NoteID)
		}),
		rule(ctx, r, updateMove, func(s *access.Reservation, now time.Time, q MoveRequest) error {
			return s.Move(now, q.To, q.ActorID)
		}),
		rule(ctx, r, updateSubmitID, func(s *access.Reservation, now time.Time, _ None) error {
			return s.SubmitID(now)
		}),
		rule(ctx, r, updateDecideID, func(s *access.Reservation, now time.Time, q DecideIDRequest) error {
			return s.DecideID(now, q.Confirm, q.ActorID, q.NoteID)
		}),
	)
}

// rule makes an update of a rule: tried on a copy by the validator, applied by the
// handler.
func rule[Q any](ctx workflow.Context, r *reservationRun, name string, apply func(*access.Reservation, time.Time, Q) error) error {
	return handle(ctx, &r.run, name, try(r.s, apply),
		func(ctx workflow.Context, q Q) error { return apply(r.s, workflow.Now(ctx), q) })
}
