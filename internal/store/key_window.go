package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// CodeWindowTaken refuses a window in which the key is somebody else's (K14).
const CodeWindowTaken = "window_taken"

// WindowTaken says which window stands in the way (K14).
type WindowTaken struct {
	ReservationID string
	StartsAt      time.Time
	EndsAt        time.Time
}

func (e *WindowTaken) Error() string {
	return CodeWindowTaken + ": another reservation has the key from " + e.StartsAt.Format(time.RFC3339) + " to " + e.EndsAt.Format(time.RFC3339)
}

// windowClaim is how long the claim of a changed window holds while the change is
// under way. A change that comes later than windowClaimUsed is refused, so that a
// claim is never taken away under one.
const (
	windowClaim     = 10 * time.Minute
	windowClaimUsed = time.Minute
)

// claimWindowSQL takes its turn at the key first: of several that insert windows in
// each other's way at once, each would wait for the others, and only the database's
// search for deadlocks would end that, a second at a time.
const claimWindowSQL = `INSERT INTO key_windows (id, reservation_id, key_id, during, lanes, claimed_until)
	SELECT $1, $2, $3, tstzrange($4, $5), CASE WHEN $6 THEN int8range(0, NULL) ELSE int8range(lane, lane + 1) END, $7
	FROM (SELECT FROM keys WHERE id = $3 FOR NO KEY UPDATE) turn, nextval('key_window_lanes') AS lane`

// claimWindow claims the key for a one-time reservation in the transaction of its
// creation. The database refuses it if another stands in the way: ask
// [Store.windowInTheWay] which, outside the transaction.
func claimWindow(ctx context.Context, q querier, r *access.Reservation, w access.Window, until time.Time) error {
	if w.End.IsZero() {
		return nil
	}
	_, err := q.Exec(ctx, claimWindowSQL, newID("win"), r.ID, r.KeyID, orNull(w.Start), orNull(w.End), r.Exclusive, orNull(until))
	return err
}

// windowInTheWay turns the database's refusal into what the caller can act on.
func (s *Store) windowInTheWay(ctx context.Context, err error, r *access.Reservation, w access.Window) error {
	if !violates(err, "key_windows_exclusive") {
		return err
	}
	taken := &WindowTaken{}
	readErr := s.pool.QueryRow(ctx, `SELECT reservation_id, lower(during), upper(during) FROM key_windows
		WHERE key_id = $1 AND reservation_id <> $2 AND during && tstzrange($3, $4) AND ($5 OR lower(lanes) = 0 AND upper_inf(lanes))
		ORDER BY lower(during) LIMIT 1`, r.KeyID, r.ID, orNull(w.Start), orNull(w.End), r.Exclusive).
		Scan(&taken.ReservationID, &taken.StartsAt, &taken.EndsAt)
	if isNoRows(readErr) { // it was given up in this moment
		return &directory.Error{Code: directory.CodeConflict, Detail: "Somebody else was booking the same time at this moment. Try again."}
	}
	if readErr != nil {
		return readErr
	}
	taken.StartsAt, taken.EndsAt = taken.StartsAt.UTC(), taken.EndsAt.UTC()
	return taken
}

// ClaimNewWindow claims the window that a reservation is to be moved to (K14) and
// says until when the change must be made. The old window stays claimed until the
// change is recorded; what does not come to that is given up by itself.
func (s *Store) ClaimNewWindow(ctx context.Context, r access.Reservation, w access.Window, now time.Time) (until time.Time, err error) {
	err = claimWindow(ctx, s.pool, &r, w, now.Add(windowClaim))
	return instant(now.Add(windowClaimUsed)), s.windowInTheWay(ctx, err, &r, w)
}

// GiveUpWindow gives up the claim of a change that was refused.
func (s *Store) GiveUpWindow(ctx context.Context, reservationID string, w access.Window) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM key_windows WHERE reservation_id = $1 AND during = tstzrange($2, $3) AND claimed_until IS NOT NULL`,
		reservationID, orNull(w.Start), orNull(w.End))
	return err
}

// keepWindow leaves a reservation the window that was recorded, and claims of
// changes that are still under way.
func keepWindow(ctx context.Context, tx pgx.Tx, r *access.Reservation) error {
	w := r.Plan.Window
	if r.State == access.ReservationRevoked || w.End.IsZero() {
		_, err := tx.Exec(ctx, `DELETE FROM key_windows WHERE reservation_id = $1`, r.ID)
		return err
	}
	tag, err := tx.Exec(ctx, `UPDATE key_windows SET claimed_until = NULL WHERE reservation_id = $1 AND during = tstzrange($2, $3)`, r.ID, orNull(w.Start), orNull(w.End))
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		if err := claimWindow(ctx, tx, r, w, time.Time{}); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM key_windows WHERE reservation_id = $1 AND during <> tstzrange($2, $3) AND claimed_until IS NULL`, r.ID, orNull(w.Start), orNull(w.End))
	return err
}
