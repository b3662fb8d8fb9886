package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Question asks whether somebody may do something, and why (E5): the guest of an
// invitation at an entrance, or the visitor of a reservation with its key.
type Question struct {
	AccountID  string
	ItemID     string
	EntranceID string
	Op         access.Operation
	At         time.Time
}

// Explanation is a decision, and for a reservation the key that it is about.
type Explanation struct {
	access.Decision
	KeyID string
}

// IsInvitation and IsReservation say what an item is by its id.
func IsInvitation(itemID string) bool  { return strings.HasPrefix(itemID, "inv_") }
func IsReservation(itemID string) bool { return strings.HasPrefix(itemID, "res_") }

// Explain decides as unlock and pickup do: before now on what was committed at the
// instant in question; from now on on what is committed now, with nothing but time
// going on.
func (s *Store) Explain(ctx context.Context, q Question, now time.Time) (x Explanation, err error) {
	q.At, now = instant(q.At), instant(now)
	past := q.At.Before(now)
	if IsReservation(q.ItemID) {
		f, err := s.keyFactsAt(ctx, q, past)
		if err != nil {
			return x, err
		}
		return Explanation{access.DecideAboutKey(q.Op, f, q.At), f.Reservation.KeyID}, nil
	}
	f, e, err := s.doorFactsAt(ctx, q, past)
	if err != nil {
		return x, err
	}
	x.Decision = access.DecideAtEntrance(q.Op, f, e, q.At)
	return x, nil
}

func (s *Store) doorFactsAt(ctx context.Context, q Question, past bool) (access.Facts, access.Entrance, error) {
	if !past {
		d, err := s.door(ctx, s.pool, activities.UnlockRequest{AccountID: q.AccountID, InvitationID: q.ItemID, EntranceID: q.EntranceID})
		if err == nil {
			return d.facts, d.entrance, nil
		}
		var e *directory.Error
		if !errors.As(err, &e) || e.Code != directory.CodeNotFound {
			return access.Facts{}, access.Entrance{}, err
		}
	} // what is not there any more is in the history, if it ever was
	h, err := s.InvitationHistory(ctx, q.AccountID, q.ItemID, q.EntranceID)
	if err != nil {
		return access.Facts{}, access.Entrance{}, err
	}
	return h.At(q.EntranceID, q.At)
}

func (s *Store) keyFactsAt(ctx context.Context, q Question, past bool) (f access.KeyFacts, err error) {
	if past {
		h, err := s.KeyHistory(ctx, q.AccountID, q.ItemID)
		if err != nil {
			return f, err
		}
		return h.At(q.At)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		b, err := s.boxFor(ctx, tx, activities.SlotRequest{AccountID: q.AccountID, ReservationID: q.ItemID, Purpose: activities.Pickup})
		if err == nil {
			f = b.facts
		}
		return err
	})
	return f, err
}
