package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"latchkey/activities"
	"latchkey/internal/access"
)

// records refers to the activities by type; it is never called on.
var records *activities.Activities

// Invitation is the life of one invitation, from the claim that the API made in
// Postgres until it has been answered with no, has expired, was revoked or its
// window is over. The rules are in [access.Invitation]; here is only when they are
// asked and that their answers are kept.
func Invitation(ctx workflow.Context, s access.Invitation) error {
	r := newInvitationRun(ctx, &s)
	if err := r.register(ctx); err != nil {
		return err
	}
	err := r.loop(ctx)
	if isReleased(err) {
		return nil // the API gave up the claim before the workflow could keep it: there is no invitation
	}
	return err
}

type invitationRun struct {
	run
	s *access.Invitation
}

func newInvitationRun(ctx workflow.Context, s *access.Invitation) *invitationRun {
	r := &invitationRun{s: s}
	r.run = run{
		item:  s,
		wakes: workflow.GetSignalChannel(ctx, signalWake),
		perform: map[access.Action]func(workflow.Context) error{
			access.ActionRecord:             r.recordInvitation,
			access.ActionReviewVerification: r.reviewVerification,
		},
		woken: r.lookAtVerification,
		show:  r.show,
		again: func(ctx workflow.Context) error { return workflow.NewContinueAsNewError(ctx, Invitation, *s) },
	}
	return r
}

func (r *invitationRun) recordInvitation(ctx workflow.Context) error {
	return r.record(ctx, string(r.s.State), func(ctx workflow.Context) (adopted bool, err error) {
		var recorded activities.Recorded[access.Invitation]
		if err := workflow.ExecuteLocalActivity(ctx, records.RecordInvitation, *r.s).Get(ctx, &recorded); err != nil || recorded.Held == nil {
			return false, err
		}
		*r.s = *recorded.Held
		r.lookAtVerification(ctx) // what this run has learned of it is not in what is held
		return true, nil
	})
}

// reviewVerification asks Postgres whether the guest's verification has lapsed
// meanwhile: unlocks restart the period without telling the workflow (I10).
func (r *invitationRun) reviewVerification(ctx workflow.Context) error {
	ctx = recordOptions(ctx, "has verification lapsed?")
	var next time.Time
	if err := workflow.ExecuteLocalActivity(ctx, records.ReviewVerification, r.s.ID).Get(ctx, &next); err != nil {
		return err
	}
	r.s.LapseAt = next
	return nil
}

// lookAtVerification is what a wake-up is about: a tap has verified the guest.
func (r *invitationRun) lookAtVerification(ctx workflow.Context) {
	if r.s.State == access.InvitationAccepted {
		r.s.LapseAt = workflow.Now(ctx)
	}
}

// show keeps what the operator sees in the Temporal UI true.
func (r *invitationRun) show(ctx workflow.Context, next access.Deadline) error {
	text := fmt.Sprintf("**%s**, revision %d, %d entrance(s)", r.s.State, r.s.Revision, len(r.s.Entrances))
	for _, d := range r.s.Deadlines() {
		text += fmt.Sprintf("\n- %s: %s", d.At.UTC().Format(time.RFC3339), d.What)
	}
	workflow.SetCurrentDetails(ctx, text)
	return showState(ctx, string(r.s.State), next)
}

// register installs the handlers of everything that can be asked of an
// invitation. Validators refuse early and leave no trace in the history.
func (r *invitationRun) register(ctx workflow.Context) error {
	s := r.s
	return errors.Join(
		handle(ctx, &r.run, updateCreate, always[None],
			func(workflow.Context, None) error { return nil }),
		handle(ctx, &r.run, updateAccept,
			try(s, func(i *access.Invitation, now time.Time, _ None) error { return i.Accept(now) }),
			func(ctx workflow.Context, _ None) error { return s.Accept(workflow.Now(ctx)) }),
		handle(ctx, &r.run, updateDecline,
			try(s, func(i *access.Invitation, now time.Time, _ None) error { return i.Decline(now) }),
			func(ctx workflow.Context, _ None) error { return s.Decline(workflow.Now(ctx)) }),
		handle(ctx, &r.run, updateEdit,
			try(s, func(i *access.Invitation, now time.Time, e EditRequest) error { return i.Edit(now, e.Edit, e.ActorID) }),
			func(ctx workflow.Context, e EditRequest) error { return s.Edit(workflow.Now(ctx), e.Edit, e.ActorID) }),
		handle(ctx, &r.run, updateResend,
			try(s, func(i *access.Invitation, now time.Time, q ResendRequest) error {
				return i.Resend(now, q.WhenAllowed, q.ActorID)
			}),
			func(ctx workflow.Context, q ResendRequest) error {
				return s.Resend(workflow.Now(ctx), q.WhenAllowed, q.ActorID)
			}),
		handle(ctx, &r.run, updateRevoke,
			try(s, func(i *access.Invitation, now time.Time, q RevokeRequest) error {
				return i.Revoke(now, q.ActorID, q.NoteID)
			}),
			func(ctx workflow.Context, q RevokeRequest) error {
				return s.Revoke(workflow.Now(ctx), q.ActorID, q.NoteID)
			}),
		handle(ctx, &r.run, updateRequireVerification,
			try(s, func(i *access.Invitation, now time.Time, q ActorRequest) error {
				return i.RequireVerification(now, q.ActorID)
			}),
			func(ctx workflow.Context, q ActorRequest) error {
				return s.RequireVerification(workflow.Now(ctx), q.ActorID)
			}),
		invitationRule(ctx, r, updateLeave, func(i *access.Invitation, now time.Time, _ None) error { return i.Leave(now) }),
		invitationRule(ctx, r, updateRetime, func(i *access.Invitation, now time.Time, q RetimeRequest) error {
			return i.Retime(now, q.ChangedAt, q.TTL, q.Cooldown)
		}),
		invitationRule(ctx, r, updateMove, func(i *access.Invitation, now time.Time, q MoveRequest) error {
			return i.Move(now, q.To, q.ActorID)
		}),
	)
}

// invitationRule makes an update of a rule: tried on a copy by the validator,
// applied by the handler.
func invitationRule[Q any](ctx workflow.Context, r *invitationRun, name string, apply func(*access.Invitation, time.Time, Q) error) error {
	return handle(ctx, &r.run, name, try(r.s, apply),
		func(ctx workflow.Context, q Q) error { return apply(r.s, workflow.Now(ctx), q) })
}
