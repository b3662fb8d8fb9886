package api

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
	"latchkey/workflows"
)

// Reservations is the way to the workflows that own reservations;
// *workflows.Client satisfies it. A call is given what Postgres holds of the
// reservation, and returns when its change is durable, with a rule's refusal or
// [workflows.ErrUnavailable].
type Reservations interface {
	CreateReservation(ctx context.Context, r access.Reservation) error
	EditReservation(ctx context.Context, r access.Reservation, updateID string, q workflows.EditReservationRequest) error
	ResendReservation(ctx context.Context, r access.Reservation, updateID string, q workflows.ResendRequest) error
	RevokeReservation(ctx context.Context, r access.Reservation, updateID string, q workflows.RevokeRequest) error
	SubmitVisitorID(ctx context.Context, r access.Reservation, updateID string) error
	DecideVisitorID(ctx context.Context, r access.Reservation, updateID string, q workflows.DecideIDRequest) error
}

// NewVisitor is the person who is to have the key: an address or a number (K1).
type NewVisitor struct {
	Name   string `json:"name" minLength:"1" maxLength:"200"`
	Email  string `json:"email,omitempty" maxLength:"320" doc:"Or mobile; with both, messages go by email"`
	Mobile string `json:"mobile,omitempty" maxLength:"16" pattern:"^\\+[1-9][0-9]{6,14}$" patternDescription:"an international number such as +34600111222"`
	Locale string `json:"locale,omitempty" maxLength:"35" default:"en" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" patternDescription:"a language tag like en or ja"`
}

type createReservationInput struct {
	Body struct {
		KeyID            string     `json:"key_id" minLength:"1" maxLength:"64"`
		HostID           string     `json:"host_id,omitempty" maxLength:"64" doc:"None: the manager of the key's property"`
		Kind             string     `json:"kind" enum:"one_time,ongoing"`
		Visitor          NewVisitor `json:"visitor"`
		StartsAt         *string    `json:"starts_at,omitempty" maxLength:"40" doc:"RFC 3339, or local to the property without an offset; none: at once" example:"2026-12-01T15:00"`
		EndsAt           *string    `json:"ends_at,omitempty" maxLength:"40" doc:"One-time reservations only, and needed there" example:"2026-12-03T11:00"`
		ReturnReminder   bool       `json:"return_reminder,omitempty" doc:"Remind the visitor on the day on which access ends (K6)"`
		RequireVisitorID bool       `json:"require_visitor_id,omitempty" doc:"No pickup before a photo ID was supplied and confirmed (K7)"`
		AccessNotes      string     `json:"access_notes,omitempty" maxLength:"2000" doc:"Told to the visitor"`
		Code             string     `json:"code,omitempty" maxLength:"16" doc:"A booking code of 6 to 16 digits; none: a random one of 8" example:"40718263"`
		Exclusive        *bool      `json:"exclusive,omitempty" default:"true" doc:"One-time: nobody else may have the key in this window (K14)"`
	} `nameHint:"CreateReservation"`
}

// createReservation claims the reservation in Postgres, then starts its workflow.
// If the workflow cannot be started the claim is given up, so that nothing is half
// done (E2, E6).
func (s *service) createReservation(ctx context.Context, in *createReservationInput) (*entity[Reservation], error) {
	n, err := s.newReservation(ctx, in)
	if err != nil {
		return nil, err
	}
	select { // doors first: creating many must not slow down one that is to open
	case s.creating <- struct{}{}:
		defer func() { <-s.creating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	claimed, err := s.Store.ClaimReservation(ctx, n, claimOf(ctx).forStore(), time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.Reservations.CreateReservation(ctx, claimed); err != nil {
		if recorded := s.giveUpClaim(ctx, claimed.ID, s.Store.ReleaseReservation); !recorded {
			return nil, err
		}
	}
	return s.showReservation(ctx, claimed.ID)
}

// newReservation checks and resolves what the caller wrote (K1, K2, K3, T1).
func (s *service) newReservation(ctx context.Context, in *createReservationInput) (n store.NewReservation, err error) {
	b := &in.Body
	if b.Visitor.Email == "" && b.Visitor.Mobile == "" {
		return n, directory.Invalid("body.visitor", "Say where the visitor gets the code: give email or mobile.")
	}
	if b.Code != "" {
		if err := access.CheckBookingCode(b.Code); err != nil {
			return n, err
		}
	}
	window, err := s.windowOfKey(ctx, b.KeyID, b.StartsAt, b.EndsAt)
	if err != nil {
		return n, err
	}
	now := time.Now()
	if window.Start.IsZero() {
		window.Start = now
	}
	oneTime := access.ReservationKind(b.Kind) == access.OneTime
	switch {
	case oneTime && window.End.IsZero():
		return n, directory.Invalid("body.ends_at", "A one-time reservation needs ends_at. For one without end choose kind ongoing.")
	case !oneTime && !window.End.IsZero():
		return n, directory.Invalid("body.ends_at", "An ongoing reservation has no ends_at. For one with an end choose kind one_time.")
	case !oneTime && b.ReturnReminder:
		return n, directory.Invalid("body.return_reminder", "An ongoing reservation has no end to remind of. Leave return_reminder off, or choose kind one_time.")
	case oneTime && !window.End.After(now):
		return n, directory.Invalid("body.ends_at", "ends_at has passed already. Give an end in the future.")
	}
	if err := window.Check(); err != nil {
		return n, err
	}
	return store.NewReservation{
		AccountID: accountID(ctx), KeyID: b.KeyID, HostID: b.HostID, Window: window,
		Visitor:        directory.Person{Name: b.Visitor.Name, Email: b.Visitor.Email, Mobile: b.Visitor.Mobile, Locale: b.Visitor.Locale},
		ReturnReminder: b.ReturnReminder, RequireID: b.RequireVisitorID, AccessNotes: b.AccessNotes, Code: b.Code,
		Exclusive: b.Exclusive == nil || *b.Exclusive,
	}, nil
}

// windowOfKey resolves a window in the zone of a key's property (T1).
func (s *service) windowOfKey(ctx context.Context, keyID string, startsAt, endsAt *string) (w access.Window, err error) {
	key, err := s.Store.Key(ctx, accountID(ctx), keyID)
	if err != nil {
		return w, err
	}
	property, err := s.Store.Property(ctx, accountID(ctx), key.PropertyID)
	if err != nil {
		return w, err
	}
	return windowIn(property.TimeZone, w, startsAt, endsAt)
}

// showReservation answers with the reservation as the next read would find it.
func (s *service) showReservation(ctx context.Context, id string) (*entity[Reservation], error) {
	now := time.Now()
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), id, now)
	if err != nil {
		return nil, err
	}
	return entityOf(r.Reservation.Revision, s.reservationOf(r, now)), nil
}

func (s *service) getReservation(ctx context.Context, in *ByID) (*entity[Reservation], error) {
	return s.showReservation(ctx, in.ID)
}

type listReservationsInput struct {
	Paging
	State      string `query:"state" enum:"scheduled,active,ended,revoked"`
	KeyID      string `query:"key_id" maxLength:"64"`
	PropertyID string `query:"property_id" maxLength:"64"`
	Visitor    string `query:"visitor" maxLength:"320" doc:"An address, a number, or a visitor's id"`
}

func (s *service) listReservations(ctx context.Context, in *listReservationsInput) (*output[List[Reservation]], error) {
	return s.reservations(ctx, store.ReservationFilter{
		AccountID: accountID(ctx), State: access.ReservationState(in.State), KeyID: in.KeyID, PropertyID: in.PropertyID, Visitor: in.Visitor,
	}, in.page())
}

func (s *service) reservations(ctx context.Context, f store.ReservationFilter, page store.Page) (*output[List[Reservation]], error) {
	now := time.Now()
	list, next, err := s.Store.ListReservations(ctx, f, page, now)
	if err != nil {
		return nil, err
	}
	return listOf(list, next, func(r store.Reservation) Reservation { return s.reservationOf(r, now) }), nil
}

type keyVisitorsInput struct {
	ByID
	Paging
	State string `query:"state" enum:"scheduled,active,ended,revoked"`
}

// listKeyVisitors lists a key's reservations, newest first (K4).
func (s *service) listKeyVisitors(ctx context.Context, in *keyVisitorsInput) (*output[List[Reservation]], error) {
	if _, err := s.Store.Key(ctx, accountID(ctx), in.ID); err != nil {
		return nil, err
	}
	return s.reservations(ctx, store.ReservationFilter{AccountID: accountID(ctx), KeyID: in.ID, State: access.ReservationState(in.State)}, in.page())
}

func (s *service) resendReservation(ctx context.Context, in *resendInput) (*entity[Reservation], error) {
	return s.changeOf(ctx, in.ID, func(r access.Reservation, updateID string) error {
		return s.Reservations.ResendReservation(ctx, r, updateID, workflows.ResendRequest{WhenAllowed: in.When == "allowed"})
	})
}

func (s *service) revokeReservation(ctx context.Context, in *revokeInput) (*entity[Reservation], error) {
	now := time.Now()
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	var q workflows.RevokeRequest
	if in.Body != nil && in.Body.Reason != "" && r.Reservation.State != access.ReservationRevoked {
		if q.NoteID, err = s.Store.AddNote(ctx, accountID(ctx), r.Visitor.ID, in.Body.Reason, now); err != nil {
			return nil, err
		}
	}
	return s.changeOf(ctx, in.ID, func(r access.Reservation, updateID string) error {
		return s.Reservations.RevokeReservation(ctx, r, updateID, q)
	})
}

type idCheckInput struct {
	ByID
	Body struct {
		Decision string `json:"decision" enum:"confirm,reject"`
		Reason   string `json:"reason,omitempty" maxLength:"1000" doc:"Told to the visitor"`
	} `nameHint:"CheckVisitorID"`
}

// checkVisitorID is the host's decision about a photo ID (K7).
func (s *service) checkVisitorID(ctx context.Context, in *idCheckInput) (*entity[Reservation], error) {
	now := time.Now()
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	q := workflows.DecideIDRequest{Confirm: in.Body.Decision == "confirm"}
	trial := r.Reservation
	if err := trial.DecideID(now, q.Confirm, "", ""); err != nil {
		return nil, err
	}
	if in.Body.Reason != "" && !q.Confirm {
		if q.NoteID, err = s.Store.AddNote(ctx, accountID(ctx), r.Visitor.ID, in.Body.Reason, now); err != nil {
			return nil, err
		}
	}
	return s.changeOf(ctx, in.ID, func(r access.Reservation, updateID string) error {
		return s.Reservations.DecideVisitorID(ctx, r, updateID, q)
	})
}

// changeOf carries out a change of a reservation of the caller's account.
func (s *service) changeOf(ctx context.Context, id string, ask func(r access.Reservation, updateID string) error) (*entity[Reservation], error) {
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), id, time.Now())
	if err != nil {
		return nil, err // another account's reservation is not found, whatever its workflow would say (E8)
	}
	if r.Retired {
		return nil, errRetired
	}
	if err := closedIsBusy(ask(r.Reservation, s.updateID(ctx))); err != nil {
		return nil, err
	}
	return s.showReservation(ctx, id)
}

// errRetired refuses what only makes sense while boxes know the code (P3).
var errRetired = &access.Refusal{
	Code:   access.CodeReservationEnded,
	Detail: "This reservation has been over for 30 days and its code was given up. Make a new one if the visitor needs the key again.",
}

// closedIsBusy: a workflow that ended between the look and the request is started
// again by the next one.
func closedIsBusy(err error) error {
	if errors.Is(err, workflows.ErrClosed) {
		return errors.Join(workflows.ErrUnavailable, err)
	}
	return err
}
