package api

import (
	"context"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/store"
)

// ByToken names a reservation by the secret of its booking URL.
type ByToken struct {
	Token string `path:"token" minLength:"1" maxLength:"128" doc:"The secret of the booking URL"`
}

// Visit is a reservation as its visitor sees it.
type Visit struct {
	State         string            `json:"state" enum:"scheduled,active,ended,revoked"`
	Kind          string            `json:"kind" enum:"one_time,ongoing"`
	KeyName       string            `json:"key_name"`
	PropertyName  string            `json:"property_name"`
	HostName      string            `json:"host_name"`
	VisitorName   string            `json:"visitor_name"`
	StartsAt      *time.Time        `json:"starts_at"`
	EndsAt        *time.Time        `json:"ends_at" doc:"null: until revoked"`
	StartsAtLocal *string           `json:"starts_at_local"`
	EndsAtLocal   *string           `json:"ends_at_local"`
	Code          string            `json:"code" doc:"To type at the box"`
	AccessNotes   string            `json:"access_notes"`
	VisitorID     VisitorIDProgress `json:"visitor_id"`
	HasKey        bool              `json:"has_key"`
	CanPickUp     bool              `json:"can_pick_up"`
	Reason        *string           `json:"reason" doc:"The code of the refusal; null if it can be picked up"`
	Detail        *string           `json:"detail" doc:"What to do about it"`
	From          *time.Time        `json:"from" doc:"From when it can be, if time alone decides"`
	Boxes         []VisitBox        `json:"boxes" doc:"Where the key can be returned: always (K8)"`
	Next          []ComingAction    `json:"next"`
}

// VisitBox is a SmartBox that takes keys back.
type VisitBox struct {
	PanelID string `json:"panel_id"`
	Name    string `json:"name"`
}

// getVisit shows a reservation to whoever has its URL. Looking changes nothing, so
// that a mail scanner may.
func (s *service) getVisit(ctx context.Context, in *ByToken) (*output[Visit], error) {
	return s.showVisit(ctx, in.Token)
}

func (s *service) showVisit(ctx context.Context, token string) (*output[Visit], error) {
	now := time.Now()
	r, err := s.Store.ReservationByToken(ctx, token, now)
	if err != nil {
		return nil, err
	}
	boxes, err := s.Store.SmartBoxes(ctx, r.Reservation.AccountID)
	if err != nil {
		return nil, err
	}
	return &output[Visit]{Body: visitOf(r, boxes, now)}, nil
}

func visitOf(r store.Reservation, boxes []store.SmartBox, now time.Time) Visit {
	i := &r.Reservation
	w := i.Plan.Window
	decision := access.DecidePickup(r.KeyFacts, now)
	v := Visit{
		State: string(i.StateAt(now)), Kind: string(i.Kind), KeyName: r.KeyName, PropertyName: r.PropertyName,
		HostName: r.Host.Name, VisitorName: r.Visitor.Name,
		StartsAt: instant(w.Start), EndsAt: instant(w.End), StartsAtLocal: local(w.Start, r.Zone), EndsAtLocal: local(w.End, r.Zone),
		Code: r.Code, AccessNotes: r.AccessNotes, VisitorID: visitorIDOf(r),
		HasKey:    r.VisitorHasKey(),
		CanPickUp: decision.Allowed, Reason: orNull(string(decision.Code)), From: instant(decision.From),
		Boxes: make([]VisitBox, 0, len(boxes)), Next: []ComingAction{},
	}
	if !decision.Allowed {
		v.Detail = orNull(decision.Detail)
	}
	for _, b := range boxes {
		v.Boxes = append(v.Boxes, VisitBox{PanelID: b.ID, Name: b.Name})
	}
	for _, d := range access.ComingOf(i, now) {
		if d.What != access.ActionCheckKey { // the host's concern
			v.Next = append(v.Next, ComingAction{At: d.At.UTC(), What: string(d.What)})
		}
	}
	return v
}

type visitPickupInput struct {
	ByToken
	Body PanelCode
}

func (s *service) visitPickUp(ctx context.Context, in *visitPickupInput) (*output[SlotOpened], error) {
	return s.openSlot(ctx, activities.SlotRequest{Token: in.Token, Purpose: activities.Pickup, PanelCode: in.Body.PanelCode})
}

type visitDropOffInput struct {
	ByToken
	Body DropOff
}

func (s *service) visitDropOff(ctx context.Context, in *visitDropOffInput) (*output[SlotOpened], error) {
	return s.openSlot(ctx, activities.SlotRequest{Token: in.Token, Purpose: activities.DropOff, PanelID: in.Body.PanelID, PanelCode: in.Body.PanelCode})
}
