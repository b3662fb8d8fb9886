package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/worker"
	"latchkey/workflows"
)

// left is what a removed member has given and has yet to follow the removal; it is
// store and workflows in one.
type left struct {
	invitations  []activities.MovedItem
	reservations []activities.MovedReservation
	away         int // how many calls find Temporal away
	done         []string
	ended        chan struct{}
}

func (l *left) Removals(context.Context) ([]activities.Removal, error) {
	select {
	case <-l.ended:
		return nil, nil
	default:
		return []activities.Removal{{ID: "rem_1", MemberID: "mem_1"}}, nil
	}
}

func (l *left) RemovedInvitations(_ context.Context, _ activities.Removal, after string, limit int, _ time.Time) (page []activities.MovedItem, err error) {
	for _, i := range l.invitations {
		if i.ID > after && len(page) < limit {
			page = append(page, i)
		}
	}
	return page, nil
}

func (l *left) RemovedReservations(context.Context, activities.Removal, string, int) ([]activities.MovedReservation, error) {
	return l.reservations, nil
}

func (l *left) EndRemoval(context.Context, activities.Removal, time.Time) error {
	if len(l.invitations)+len(l.reservations) == 0 {
		close(l.ended)
	}
	return nil
}

func (l *left) change(id, what string) error {
	if l.away > 0 {
		l.away--
		return workflows.ErrUnavailable
	}
	l.done = append(l.done, what+" "+id)
	l.invitations = slices.DeleteFunc(slices.Clone(l.invitations), func(i activities.MovedItem) bool { return i.ID == id })
	return nil
}

func (l *left) RevokeInvitation(_ context.Context, id, _ string, _ workflows.RevokeRequest) error {
	return l.change(id, "revoke")
}

func (l *left) MoveInvitation(_ context.Context, id, _ string, q workflows.MoveRequest) error {
	return errors.Join(l.change(id, "move to "+q.To), &access.Refusal{Code: access.CodeInvitationEnded}) // it ended in this moment
}

func (l *left) MoveReservation(_ context.Context, r access.Reservation, _ string, q workflows.MoveRequest) error {
	l.reservations = nil
	return l.change(r.ID, "move to "+q.To)
}

// I17, E9: what a removed member has given is revoked or moved, each once, also where
// Temporal was away in the middle, and what ended by itself is no obstacle.
func TestI17RemoverGoesOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := &left{away: 1, ended: make(chan struct{}),
		invitations:  []activities.MovedItem{{ID: "inv_1"}, {ID: "inv_2", To: "mem_2"}, {ID: "inv_3"}},
		reservations: []activities.MovedReservation{{Reservation: access.Reservation{ID: "res_1"}, To: "mem_2"}}}
	stopped := make(chan struct{})
	go func() {
		(&worker.Remover{Removals: l, Mover: l, Clock: time.Now, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		close(stopped)
	}()
	select {
	case <-l.ended:
	case <-ctx.Done():
		t.Fatal("the removal does not end")
	}
	cancel()
	<-stopped
	slices.Sort(l.done)
	if want := []string{"move to mem_2 inv_2", "move to mem_2 res_1", "revoke inv_1", "revoke inv_3"}; !slices.Equal(l.done, want) {
		t.Errorf("done: %v, want %v", l.done, want)
	}
}

// changes counts whom is still to be told.
type changes struct {
	left, most int
	failures   int
	done       chan struct{}
}

func (c *changes) TellOfChange(_ context.Context, limit int, _ time.Time) (int, error) {
	c.most = max(c.most, limit)
	if c.failures > 0 {
		c.failures--
		return 0, errors.New("the store is away")
	}
	step := min(limit, c.left)
	if c.left -= step; c.left == 0 && step > 0 {
		close(c.done)
	}
	return step, nil
}

// I12: telling goes on after a failure, in small steps.
func TestI12TellerGoesOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &changes{left: 35, failures: 1, done: make(chan struct{})}
	stopped := make(chan struct{})
	go func() {
		(&worker.Teller{Changes: c, Clock: time.Now, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		close(stopped)
	}()
	select {
	case <-c.done:
	case <-ctx.Done():
		t.Fatal("not everybody was told")
	}
	cancel()
	<-stopped
	if c.most > 50 {
		t.Errorf("tells %d at once, more than fifty a second", c.most)
	}
}
