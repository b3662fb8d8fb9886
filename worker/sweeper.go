package worker

import (
	"context"
	"log/slog"
	"time"

	"latchkey/internal/access"
)

// Claims is what a sweeper looks after.
type Claims interface {
	// StaleClaims lists invitations that were claimed before an instant and that no
	// workflow has recorded.
	StaleClaims(ctx context.Context, before time.Time, limit int) ([]access.Invitation, error)
	// SweepExpired forgets what has served its time: idempotency keys after 24 hours,
	// ids of panel messages, ended sign-in attempts and sessions.
	SweepExpired(ctx context.Context, now time.Time) error
	// StaleReservations is StaleClaims for reservations.
	StaleReservations(ctx context.Context, before time.Time, limit int) ([]access.Reservation, error)
	// RetireReservations turns reservations into tombstones 30 days after all of
	// them was over, at most limit (P3).
	RetireReservations(ctx context.Context, limit int, now time.Time) (retired int, err error)
	// RetireEngineKeys ends the trust in engine keys that no panel needs any more (P1).
	RetireEngineKeys(ctx context.Context, now time.Time) (retired int, err error)
}

// Creator starts the workflow of a claimed item.
type Creator interface {
	CreateInvitation(ctx context.Context, s access.Invitation) error
	CreateReservation(ctx context.Context, s access.Reservation) error
}

// Sweeper completes what a crash left half made: a claim that Postgres holds and
// Temporal has not heard of becomes the invitation that somebody asked for (E2).
type Sweeper struct {
	Claims  Claims
	Creator Creator
	Clock   func() time.Time
	Log     *slog.Logger
}

const (
	sweepEvery = 10 * time.Second
	// staleAfter is longer than any request that is still creating may take.
	staleAfter = 30 * time.Second
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	every(ctx, sweepEvery, s.Log, "what a crash left half made is to be finished", s.sweep)
}

func (s *Sweeper) sweep(ctx context.Context) error {
	stale, err := s.Claims.StaleClaims(ctx, s.Clock().Add(-staleAfter), 100)
	if err != nil {
		return err
	}
	for _, claim := range stale {
		if err := s.Creator.CreateInvitation(ctx, claim); err != nil {
			return err
		}
	}
	reservations, err := s.Claims.StaleReservations(ctx, s.Clock().Add(-staleAfter), 100)
	if err != nil {
		return err
	}
	for _, claim := range reservations {
		if err := s.Creator.CreateReservation(ctx, claim); err != nil {
			return err
		}
	}
	if _, err := s.Claims.RetireReservations(ctx, 500, s.Clock()); err != nil {
		return err
	}
	if _, err := s.Claims.RetireEngineKeys(ctx, s.Clock()); err != nil {
		return err
	}
	return s.Claims.SweepExpired(ctx, s.Clock())
}
