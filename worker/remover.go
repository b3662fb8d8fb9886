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

// Removals is what a remover works on; internal/store satisfies it.
type Removals interface {
	Removals(ctx context.Context) ([]activities.Removal, error)
	RemovedInvitations(ctx context.Context, r activities.Removal, after string, limit int, now time.Time) ([]activities.MovedItem, error)
	RemovedReservations(ctx context.Context, r activities.Removal, after string, limit int) ([]activities.MovedReservation, error)
	EndRemoval(ctx context.Context, r activities.Removal, now time.Time) error
}

// Mover changes items through their workflows.
type Mover interface {
	RevokeInvitation(ctx context.Context, id, updateID string, q workflows.RevokeRequest) error
	MoveInvitation(ctx context.Context, id, updateID string, q workflows.MoveRequest) error
	MoveReservation(ctx context.Context, r access.Reservation, updateID string, q workflows.MoveRequest) error
}

// Remover brings the workflows of a removed member's items in line: revoked, or
// moved to who takes over (I17). Decisions have followed the removal at once; this is
// paced, and goes on where a crash has left it, since what has been done is not
// listed any more.
type Remover struct {
	Removals Removals
	Mover    Mover
	Clock    func() time.Time
	Log      *slog.Logger
}

// Run works until ctx ends.
func (m *Remover) Run(ctx context.Context) {
	every(ctx, replanEvery, m.Log, "items of a removed member wait to be revoked or moved", m.remove)
}

func (m *Remover) remove(ctx context.Context) error {
	waiting, err := m.Removals.Removals(ctx)
	if err != nil {
		return err
	}
	for _, r := range waiting {
		if err := errors.Join(m.invitations(ctx, r), m.reservations(ctx, r)); err != nil {
			return err
		}
		if err := m.Removals.EndRemoval(ctx, r, m.Clock()); err != nil {
			return err
		}
	}
	return nil
}

func (m *Remover) invitations(ctx context.Context, r activities.Removal) error {
	for after := ""; ; {
		items, err := m.Removals.RemovedInvitations(ctx, r, after, replanPage, m.Clock())
		if err != nil {
			return err
		}
		for _, item := range items {
			after = item.ID
			updateID := fmt.Sprintf("%s-%s", r.ID, item.ID)
			if item.To == "" {
				err = m.Mover.RevokeInvitation(ctx, item.ID, updateID, workflows.RevokeRequest{})
			} else {
				err = m.Mover.MoveInvitation(ctx, item.ID, updateID+"-"+item.To, workflows.MoveRequest{To: item.To})
			}
			if err := paced(ctx, err); err != nil {
				return err
			}
		}
		if len(items) < replanPage {
			return nil
		}
	}
}

func (m *Remover) reservations(ctx context.Context, r activities.Removal) error {
	for after := ""; ; {
		items, err := m.Removals.RemovedReservations(ctx, r, after, replanPage)
		if err != nil {
			return err
		}
		for _, item := range items {
			after = item.Reservation.ID
			updateID := fmt.Sprintf("%s-%s-%s", r.ID, after, item.To)
			if err := paced(ctx, m.Mover.MoveReservation(ctx, item.Reservation, updateID, workflows.MoveRequest{To: item.To})); err != nil {
				return err
			}
		}
		if len(items) < replanPage {
			return nil
		}
	}
}
