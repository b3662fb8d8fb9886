package api

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
	"latchkey/workflows"
)

type changeReservationInput struct {
	ByID
	Matching
	Body struct {
		StartsAt         OmittableNullable[string] `json:"starts_at,omitempty" maxLength:"40" doc:"null: at once"`
		EndsAt           OmittableNullable[string] `json:"ends_at,omitempty" maxLength:"40" doc:"null: ongoing"`
		ReturnReminder   Optional[bool]            `json:"return_reminder,omitempty"`
		RequireVisitorID Optional[bool]            `json:"require_visitor_id,omitempty"`
		AccessNotes      OmittableNullable[string] `json:"access_notes,omitempty" maxLength:"2000"`
	} `nameHint:"ChangeReservation"`
}

// changeReservation edits times, reminder, photo ID and notes (K5). A new window is
// claimed before the workflow is asked, so that two edits cannot both have it (K14).
func (s *service) changeReservation(ctx context.Context, in *changeReservationInput) (*entity[Reservation], error) {
	now := time.Now()
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	seen, err := in.revision()
	if err != nil {
		return nil, err
	}
	if seen != 0 && seen != r.Reservation.Revision {
		return nil, preconditionFailed()
	}
	edit, err := s.reservationEdit(ctx, in, r, now)
	if err != nil {
		return nil, err
	}
	edit.Revision = seen
	trial := r.Reservation
	if err := trial.Edit(now, edit, ""); err != nil {
		return nil, err
	}
	claimed := edit.Plan != nil && !edit.Plan.Window.Same(r.Reservation.Plan.Window)
	if claimed {
		if edit.Until, err = s.Store.ClaimNewWindow(ctx, r.Reservation, edit.Plan.Window, now); err != nil {
			return nil, err
		}
	}
	changed, err := s.changeOf(ctx, in.ID, func(r access.Reservation, updateID string) error {
		return s.Reservations.EditReservation(ctx, r, updateID, workflows.EditReservationRequest{ReservationEdit: edit})
	})
	var refusal *access.Refusal
	if claimed && errors.As(err, &refusal) { // whatever else went wrong, the change may still come
		err = errors.Join(err, s.Store.GiveUpWindow(ctx, in.ID, edit.Plan.Window))
	}
	return changed, err
}

// reservationEdit resolves what the caller wrote. Whatever is changed, the plan is
// made anew, so that it is the property's present one.
func (s *service) reservationEdit(ctx context.Context, in *changeReservationInput, r store.Reservation, now time.Time) (edit access.ReservationEdit, err error) {
	b := &in.Body
	trial := r.Reservation
	if err := trial.Edit(now, edit, ""); err != nil { // over already: say so before anything else
		return edit, err
	}
	if b.StartsAt.Sent || b.EndsAt.Sent || b.ReturnReminder.Sent {
		property, err := s.Store.Property(ctx, accountID(ctx), r.Reservation.PropertyID)
		if err != nil {
			return edit, err
		}
		window, err := changedWindow(r.Reservation.Plan.Window, property.TimeZone, b.StartsAt, b.EndsAt)
		if err != nil {
			return edit, err
		}
		if window.Start.IsZero() {
			window.Start = now
		}
		zone, err := time.LoadLocation(property.TimeZone)
		if err != nil {
			return edit, err
		}
		plan, err := access.PlanReservation(window, zone, property.Policy, now)
		if err != nil {
			return edit, err
		}
		edit.Plan = &plan
	}
	if b.ReturnReminder.Sent {
		edit.ReturnReminder = &b.ReturnReminder.Value
	}
	if b.RequireVisitorID.Sent {
		edit.RequireID = &b.RequireVisitorID.Value
	}
	if b.AccessNotes.Sent && b.AccessNotes.Value != r.AccessNotes {
		noteID := ""
		if b.AccessNotes.Value != "" {
			if noteID, err = s.Store.AddNote(ctx, accountID(ctx), r.Visitor.ID, b.AccessNotes.Value, now); err != nil {
				return edit, err
			}
		}
		edit.NotesID = &noteID
	}
	return edit, nil
}
