package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
)

// RecordReservation implements [activities.Records].
func (s *Store) RecordReservation(ctx context.Context, r access.Reservation, now time.Time) (recorded activities.Recorded[access.Reservation], err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		known, err := lockReservation(ctx, tx, r.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return activities.ErrReleased
		}
		if err != nil {
			return err
		}
		stored := r
		stored.Confirm(r.Revision)
		if known.Revision != r.Recorded {
			if recorded.Held, err = unlessSame(&known, &stored); err != nil || recorded.Held != nil {
				return err
			}
		} else if known.Revision < r.Revision {
			if err := recordReservation(ctx, tx, &known, &stored, r.Pending, now); err != nil {
				return err
			}
		}
		recorded.Place, err = placeAmongEnds(ctx, tx, &r)
		return err
	})
	return recorded, err
}

func lockReservation(ctx context.Context, tx pgx.Tx, id string) (r access.Reservation, err error) {
	var facts []byte
	if err = tx.QueryRow(ctx, `SELECT facts FROM reservations WHERE id = $1 FOR UPDATE`, id).Scan(&facts); err == nil {
		err = json.Unmarshal(facts, &r)
	}
	return r, err
}

func recordReservation(ctx context.Context, tx pgx.Tx, known, r *access.Reservation, changes []access.Change, now time.Time) error {
	facts, err := json.Marshal(r)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE reservations SET state = $2, revision = $3, facts = $4, starts_at = $5, ends_at = $6, updated_at = $7, over_at = $8 WHERE id = $1`,
		r.ID, r.State, r.Revision, facts, orNull(r.Plan.Window.Start), orNull(r.Plan.Window.End), r.UpdatedAt, orNull(overAt(r, now)))
	queueItemRevision(batch, r.ID, known.Revision, r.Revision, facts, now)
	if r.State.Over() || r.Document.State() != access.IDSubmitted { // decided, or not needed any more (K7)
		batch.Queue(`DELETE FROM visitor_photos WHERE reservation_id = $1`, r.ID)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if err := keepWindow(ctx, tx, r); err != nil {
		return err
	}
	if err := desireReservation(ctx, tx, r, now); err != nil {
		return err
	}
	return recordChanges(ctx, tx, item{r.ID, r.AccountID, r.PropertyID}, changes, known.Revision, now)
}

// desireReservation tells the boxes, unless the reservation is a tombstone already:
// its code may be somebody else's by now (P3).
func desireReservation(ctx context.Context, tx pgx.Tx, r *access.Reservation, now time.Time) error {
	var retired bool
	err := tx.QueryRow(ctx, `SELECT retired_at IS NOT NULL FROM reservations WHERE id = $1`, r.ID).Scan(&retired)
	if err != nil || retired {
		return err
	}
	return desireAtBoxes(ctx, tx, r.AccountID, r.GrantFor(), now)
}

// overAt is from when the 30 days count after which boxes may forget the code (P3).
func overAt(r *access.Reservation, now time.Time) time.Time {
	if !r.State.Over() || !r.KeyOut.IsZero() {
		return time.Time{}
	}
	return now
}

// mostPlaces is where counting stops: everybody behind it takes the same place.
const mostPlaces = 10_000

// placeAmongEnds counts the reservations that end in the same instant and come
// before this one, so that their bookkeeping is spread.
func placeAmongEnds(ctx context.Context, tx pgx.Tx, r *access.Reservation) (place int, err error) {
	if r.State != access.ReservationScheduled || r.Plan.Window.End.IsZero() {
		return 0, nil
	}
	err = tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM reservations WHERE state = 'scheduled' AND ends_at = $1 AND id < $2 LIMIT $3) before`,
		instant(r.Plan.Window.End), r.ID, mostPlaces).Scan(&place)
	return place, err
}

// ReservationStanding implements [activities.Records].
func (s *Store) ReservationStanding(ctx context.Context, reservationID string) (standing access.Standing, err error) {
	var state access.CustodyState
	var holder string
	var since time.Time
	err = s.pool.QueryRow(ctx, `SELECT c.state, c.holder_id, c.since FROM reservations r JOIN custody c ON c.key_id = r.key_id WHERE r.id = $1`, reservationID).
		Scan(&state, &holder, &since)
	if err != nil {
		return standing, err
	}
	standing.InBox = state == access.CustodyInBox
	if state == access.CustodyOut && holder == reservationID {
		standing.KeyOut = since.UTC()
	}
	return standing, nil
}

// ReservationFacts reads what Postgres holds of a reservation, in whatever
// account: the engine itself asks. One that does not exist is empty.
func (s *Store) ReservationFacts(ctx context.Context, id string) (access.Reservation, error) {
	var r access.Reservation
	var facts []byte
	err := s.pool.QueryRow(ctx, `SELECT facts FROM reservations WHERE id = $1`, id).Scan(&facts)
	if isNoRows(err) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(facts, &r)
}
