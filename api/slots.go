package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
)

// SlotOpened is the answer to a pickup or drop-off that opened a slot.
type SlotOpened struct {
	Result  string `json:"result" enum:"opened"`
	EventID string `json:"event_id"`
	PanelID string `json:"panel_id"`
	Slot    int    `json:"slot" doc:"Which slot is open, from 1"`
}

// PanelCode is the number that a SmartBox shows (P10).
type PanelCode struct {
	PanelCode string `json:"panel_code" minLength:"1" maxLength:"16" doc:"The number on the box: it changes, and shows that somebody stands there"`
}

// DropOff says at which box.
type DropOff struct {
	PanelCode string `json:"panel_code" minLength:"1" maxLength:"16" doc:"The number on the box: it changes, and shows that somebody stands there"`
	PanelID   string `json:"panel_id,omitempty" maxLength:"64" doc:"None: the box where the key lives"`
}

type pickupInput struct {
	ByID
	Body PanelCode
}

type dropOffInput struct {
	ByID
	Body DropOff
}

// pickUp opens the slot of the key for an app of the host (K3), who may know who
// else has the key (K12).
func (s *service) pickUp(ctx context.Context, in *pickupInput) (*output[SlotOpened], error) {
	opened, err := s.openSlot(ctx, activities.SlotRequest{AccountID: accountID(ctx), ReservationID: in.ID, Purpose: activities.Pickup, PanelCode: in.Body.PanelCode})
	var p *Problem
	if errors.As(err, &p) && p.Code == string(access.CodeKeyNotAvailable) {
		if err := s.nameHolder(ctx, p, in.ID); err != nil {
			return nil, err
		}
	}
	return opened, err
}

// nameHolder says who is expected to return the key of a reservation (K12). Visitors
// are never told.
func (s *service) nameHolder(ctx context.Context, p *Problem, reservationID string) error {
	now := time.Now()
	asked, err := s.Store.ReservationOf(ctx, accountID(ctx), reservationID, now)
	if err != nil {
		return err
	}
	c := asked.Custody
	switch {
	case c.State == access.CustodyUnknown || c.State == access.CustodyOut && c.HolderID == "":
		p.Detail = "The key is not available yet: it is in no SmartBox, and nobody is known to have it. Look for it, then correct where it is."
		return nil
	case c.State != access.CustodyOut || c.HolderID == reservationID:
		return nil
	}
	holder, err := s.Store.ReservationOf(ctx, accountID(ctx), c.HolderID, now)
	if err != nil {
		return err
	}
	end := holder.Reservation.Plan.Window.End
	p.Holder = &Holder{ReservationID: c.HolderID, VisitorName: holder.Visitor.Name, Since: c.Since, EndsAt: instant(end)}
	switch {
	case !holder.Reservation.OverSince(now).IsZero():
		p.Detail = fmt.Sprintf("The key is not available yet: %s has it and should have returned it already. Ask for it.", holder.Visitor.Name)
	case end.IsZero():
		p.Detail = fmt.Sprintf("The key is not available yet: %s has it, until further notice. Ask for it.", holder.Visitor.Name)
	default:
		p.Detail = fmt.Sprintf("The key is not available yet: %s is expected to return it by %s.", holder.Visitor.Name, *local(end, holder.Zone))
	}
	return nil
}

// dropOff opens a free slot to return the key (K8).
func (s *service) dropOff(ctx context.Context, in *dropOffInput) (*output[SlotOpened], error) {
	return s.openSlot(ctx, activities.SlotRequest{
		AccountID: accountID(ctx), ReservationID: in.ID, Purpose: activities.DropOff, PanelID: in.Body.PanelID, PanelCode: in.Body.PanelCode,
	})
}

func (s *service) openSlot(ctx context.Context, q activities.SlotRequest) (*output[SlotOpened], error) {
	if c := claimOf(ctx); c != nil {
		q.Scope, q.Key, q.RequestHash = c.Scope, c.Key, c.Request
	}
	return s.openSlotFor(ctx, q)
}

func (s *service) openSlotFor(ctx context.Context, q activities.SlotRequest) (*output[SlotOpened], error) {
	outcome, err := s.Doors.OpenSlot(ctx, q)
	if err != nil {
		return nil, err
	}
	switch outcome.Result {
	case activities.ResultOpened:
		return &output[SlotOpened]{Body: SlotOpened{
			Result: string(outcome.Result), EventID: outcome.EventID, PanelID: outcome.PanelID, Slot: outcome.Slot,
		}}, nil
	case activities.ResultDenied:
		return nil, deniedBy(outcome.Decision)
	case activities.ResultRefused:
		return nil, refusedByBox(outcome.Code)
	case activities.ResultUnreachable:
		return nil, slotNotOpened()
	case activities.ResultUnknown:
	}
	p := newProblem(http.StatusGatewayTimeout, string(activities.ResultUnknown),
		"The box has not confirmed whether the slot opened. Repeat the request with the same Idempotency-Key to find out; a new key could open it twice.")
	p.retryAfter = time.Second
	return nil, p
}

// refusedByBox is a box's own no, where the person in front of it can do something
// about it.
func refusedByBox(code string) *Problem {
	switch code {
	case "wrong_panel_code":
		return newProblem(http.StatusForbidden, code, "This is not the number that the box shows now. Read it again: it changes.")
	case "key_not_here":
		return newProblem(http.StatusForbidden, string(access.CodeKeyNotAvailable), "The key is not in this box. It is not available yet.") // as the engine's own refusal (K12)
	case "no_free_slot":
		return newProblem(http.StatusConflict, code, "All slots of this box are taken. Return the key at another SmartBox, or try again later.")
	}
	return slotNotOpened()
}

func slotNotOpened() *Problem {
	p := newProblem(http.StatusServiceUnavailable, string(activities.ResultUnreachable),
		"The box did not take the command. Nothing opened. Type the booking code at the box, or try again in a moment.")
	p.retryAfter = 2 * time.Second
	return p
}
