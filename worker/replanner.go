package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/workflows"
)

// Plans is what a replanner works on; internal/store satisfies it.
type Plans interface {
	Replans(ctx context.Context) ([]activities.Replan, error)
	EndReplan(ctx context.Context, r activities.Replan) error
	LiveReservations(ctx context.Context, propertyID, after string, limit int, now time.Time) ([]access.Reservation, error)
	LocalInvitations(ctx context.Context, propertyID, after string, limit int, now time.Time) ([]access.Invitation, error)
	// MistimedInvitations lists a property's unanswered invitations with other periods
	// than its policy has, in the order of their ids, after one.
	MistimedInvitations(ctx context.Context, r activities.Replan, after string, limit int, now time.Time) ([]string, error)
	MoveWindows(ctx context.Context, moved []activities.MovedWindow) (taken bool, err error)
}

// Editor changes items through their workflows.
type Editor interface {
	EditReservation(ctx context.Context, r access.Reservation, updateID string, q workflows.EditReservationRequest) error
	EditInvitation(ctx context.Context, id, updateID string, q workflows.EditRequest) error
	RetimeInvitation(ctx context.Context, id, updateID string, q workflows.RetimeRequest) error
}

// Replanner works out windows and deadlines of live items anew when the zone or
// the policy of their property has changed (T4): those given in local time move,
// those given with an offset never do; periods of answers and resends follow the
// policy (I5, K11). It is paced, so that a property with very many
// items does not slow down its doors; decisions follow the policy at once anyway.
type Replanner struct {
	Plans  Plans
	Editor Editor
	Clock  func() time.Time
	Log    *slog.Logger
}

const (
	replanEvery = time.Second
	replanPage  = 200
	replanPause = 20 * time.Millisecond // at most 50 items a second
)

// Run replans until ctx ends.
func (p *Replanner) Run(ctx context.Context) {
	every(ctx, replanEvery, p.Log, "items of a changed property wait to be worked out anew", p.replan)
}

func (p *Replanner) replan(ctx context.Context) error {
	waiting, err := p.Plans.Replans(ctx)
	if err != nil {
		return err
	}
	for _, r := range waiting {
		if err := errors.Join(p.reservations(ctx, r), p.invitations(ctx, r), p.answers(ctx, r)); err != nil {
			return err
		}
		if err := p.Plans.EndReplan(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// planned is a reservation and the plan that it should have.
type planned struct {
	reservation access.Reservation
	plan        access.Plan
}

func (p *Replanner) reservations(ctx context.Context, r activities.Replan) error {
	changed, err := p.changedPlans(ctx, r)
	if err != nil {
		return err
	}
	fixed, err := p.moveWindows(ctx, changed)
	if err != nil {
		return err
	}
	for _, c := range changed {
		if fixed[c.reservation.KeyID] {
			continue
		}
		request := workflows.EditReservationRequest{ReservationEdit: access.ReservationEdit{Plan: &c.plan}}
		id := fmt.Sprintf("replan-%s-%d", c.reservation.ID, r.ChangedAt.UnixMicro())
		if err := paced(ctx, p.Editor.EditReservation(ctx, c.reservation, id, request)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Replanner) changedPlans(ctx context.Context, r activities.Replan) (changed []planned, err error) {
	for after := ""; ; {
		now := p.Clock()
		live, err := p.Plans.LiveReservations(ctx, r.PropertyID, after, replanPage, now)
		if err != nil {
			return nil, err
		}
		for _, item := range live {
			after = item.ID
			plan, err := access.PlanReservation(item.Plan.Window, r.Zone, r.Policy, now)
			if err != nil {
				return nil, err
			}
			if !plan.Same(item.Plan) {
				changed = append(changed, planned{item, plan})
			}
		}
		if len(live) < replanPage {
			return changed, nil
		}
	}
}

// moveWindows claims the moved windows, key by key. A key whose windows would
// overlap, because some of them were given with an offset, keeps them all.
func (p *Replanner) moveWindows(ctx context.Context, changed []planned) (fixed map[string]bool, err error) {
	byKey := map[string][]activities.MovedWindow{}
	for _, c := range changed {
		if !c.plan.Window.Same(c.reservation.Plan.Window) {
			byKey[c.reservation.KeyID] = append(byKey[c.reservation.KeyID], activities.MovedWindow{Reservation: c.reservation, Window: c.plan.Window})
		}
	}
	fixed = map[string]bool{}
	for keyID, moved := range byKey {
		taken, err := p.Plans.MoveWindows(ctx, moved)
		if err != nil {
			return nil, err
		}
		if taken {
			fixed[keyID] = true
			p.Log.LogAttrs(ctx, slog.LevelWarn, "reservations of a key keep their times, because moved with the zone they would overlap", slog.String("key_id", keyID))
		}
	}
	return fixed, nil
}

func (p *Replanner) invitations(ctx context.Context, r activities.Replan) error {
	for after := ""; ; {
		local, err := p.Plans.LocalInvitations(ctx, r.PropertyID, after, replanPage, p.Clock())
		if err != nil {
			return err
		}
		for _, item := range local {
			after = item.ID
			window, err := item.Window.In(r.Zone)
			if err != nil {
				return err
			}
			if window.Same(item.Window) {
				continue
			}
			id := fmt.Sprintf("replan-%s-%d", item.ID, r.ChangedAt.UnixMicro())
			if err := paced(ctx, p.Editor.EditInvitation(ctx, item.ID, id, workflows.EditRequest{Edit: access.Edit{Window: &window}})); err != nil {
				return err
			}
		}
		if len(local) < replanPage {
			return nil
		}
	}
}

// answers hands the periods of the policy on to unanswered invitations (I5, K11).
func (p *Replanner) answers(ctx context.Context, r activities.Replan) error {
	for after := ""; ; {
		mistimed, err := p.Plans.MistimedInvitations(ctx, r, after, replanPage, p.Clock())
		if err != nil {
			return err
		}
		for _, id := range mistimed {
			after = id
			q := workflows.RetimeRequest{ChangedAt: r.ChangedAt, TTL: r.Policy.InvitationTTL, Cooldown: r.Policy.ResendCooldown}
			updateID := fmt.Sprintf("retime-%s-%d", id, r.ChangedAt.UnixMicro())
			if err := paced(ctx, p.Editor.RetimeInvitation(ctx, id, updateID, q)); err != nil {
				return err
			}
		}
		if len(mistimed) < replanPage {
			return nil
		}
	}
}

// paced holds the pace of many changes of items, and lets pass what ended in this
// moment.
func paced(ctx context.Context, err error) error {
	var refusal *access.Refusal
	if errors.As(err, &refusal) || errors.Is(err, workflows.ErrClosed) {
		err = nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(replanPause):
		return err
	}
}
