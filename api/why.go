package api

import (
	"context"
	"slices"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// Explanation answers "why?" on the wire (E5).
type Explanation struct {
	Allowed    bool       `json:"allowed"`
	Rule       string     `json:"rule" doc:"The rule that decides" example:"I10"`
	Code       *string    `json:"code" doc:"Why not, as the call itself would be refused; null when allowed" example:"verification_required"`
	Detail     string     `json:"detail" doc:"The same in a sentence"`
	From       *time.Time `json:"from" doc:"The earliest instant at which time alone may change the answer; null: it does not"`
	At         time.Time  `json:"at" doc:"The instant that was asked about"`
	ItemID     string     `json:"item_id"`
	EntranceID string     `json:"entrance_id,omitempty" doc:"Of an invitation"`
	KeyID      string     `json:"key_id,omitempty" doc:"Of a reservation"`
	Op         string     `json:"op" enum:"unlock,tap,pickup,dropoff"`
}

type whyInput struct {
	ItemID     string `query:"item_id" required:"true" minLength:"1" maxLength:"64" doc:"An invitation or a reservation"`
	EntranceID string `query:"entrance_id" maxLength:"64" doc:"Needed for an invitation"`
	KeyID      string `query:"key_id" maxLength:"64" doc:"For a reservation, which has one key: if given, it must be that one"`
	Op         string `query:"op" enum:"unlock,tap,pickup,dropoff" doc:"unlock (the default) or tap for an invitation, pickup (the default) or dropoff for a reservation; a tap is an unlock by a guest who is verifying at that moment"`
	At         string `query:"at" format:"date-time" maxLength:"40" doc:"Past: decided on what was committed then, to the milliseconds in which it was written down. Now (the default) or future: on what is committed now, with only time going on" example:"2026-12-01T15:00:00Z"`
}

// why decides for any instant as unlock, tap, pickup and drop-off decide for the
// present.
func (s *service) why(ctx context.Context, in *whyInput) (*output[Explanation], error) {
	now := time.Now()
	q := store.Question{AccountID: accountID(ctx), ItemID: in.ItemID, EntranceID: in.EntranceID, Op: access.Operation(in.Op), At: now}
	var err error
	if in.At != "" {
		if q.At, err = time.Parse(time.RFC3339, in.At); err != nil {
			return nil, directory.Invalid("query.at", "at must be an instant with an offset, such as 2026-12-01T15:00:00Z.")
		}
	}
	switch {
	case store.IsInvitation(in.ItemID):
		err = aboutInvitation(ctx, in, &q)
	case store.IsReservation(in.ItemID):
		err = s.aboutReservation(ctx, in, &q)
	default:
		err = directory.NotFound("invitation or reservation", in.ItemID)
	}
	if err != nil {
		return nil, err
	}
	x, err := s.Store.Explain(ctx, q, now)
	if err != nil {
		return nil, err
	}
	if in.KeyID != "" && in.KeyID != x.KeyID {
		return nil, directory.Invalid("query.key_id", "The reservation is of another key. Give that one, or leave key_id out.")
	}
	return &output[Explanation]{Body: Explanation{
		Allowed: x.Allowed, Rule: x.Rule, Code: orNull(string(x.Code)), Detail: x.Detail, From: instant(x.From), At: q.At.UTC().Truncate(time.Microsecond),
		ItemID: in.ItemID, EntranceID: in.EntranceID, KeyID: x.KeyID, Op: string(q.Op),
	}}, nil
}

func aboutInvitation(ctx context.Context, in *whyInput, q *store.Question) error {
	if err := callerOf(ctx).needs(readInvitations); err != nil {
		return err
	}
	switch {
	case in.EntranceID == "":
		return directory.Invalid("query.entrance_id", "An invitation is to entrances: say which in entrance_id.")
	case in.KeyID != "":
		return directory.Invalid("query.key_id", "An invitation has no key. Leave key_id out.")
	}
	return operation(q, "an invitation", access.OpUnlock, access.OpTap)
}

// aboutReservation refuses the id of a key that the account does not have; whether
// it is the reservation's is seen when that is read (E8).
func (s *service) aboutReservation(ctx context.Context, in *whyInput, q *store.Question) error {
	if err := callerOf(ctx).needs(readReservations); err != nil {
		return err
	}
	if in.EntranceID != "" {
		return directory.Invalid("query.entrance_id", "A reservation is of a key and opens no entrance. Leave entrance_id out.")
	}
	if in.KeyID != "" {
		if _, err := s.Store.Key(ctx, accountID(ctx), in.KeyID); err != nil {
			return err
		}
	}
	return operation(q, "a reservation", access.OpPickup, access.OpDropOff)
}

// operation fills in the first of the operations that an item has, and refuses others.
func operation(q *store.Question, item string, ops ...access.Operation) error {
	if q.Op == "" {
		q.Op = ops[0]
	}
	if !slices.Contains(ops, q.Op) {
		return directory.Invalid("query.op", "Of "+item+" op is "+string(ops[0])+" or "+string(ops[1])+".")
	}
	return nil
}
