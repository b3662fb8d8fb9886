package api

import (
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
)

// Reservation is a reservation on the wire. Its state and every answer in it hold
// at the instant of the answer (T0).
type Reservation struct {
	ID               string            `json:"id" example:"res_d4k2m1c7h1qg00f3v5tg"`
	State            string            `json:"state" enum:"scheduled,active,ended,revoked"`
	Kind             string            `json:"kind" enum:"one_time,ongoing"`
	KeyID            string            `json:"key_id"`
	KeyName          string            `json:"key_name"`
	PropertyID       string            `json:"property_id"`
	PropertyName     string            `json:"property_name"`
	Host             Inviter           `json:"host"`
	Visitor          Visitor           `json:"visitor"`
	StartsAt         *time.Time        `json:"starts_at"`
	EndsAt           *time.Time        `json:"ends_at" doc:"null: until revoked"`
	StartsAtLocal    *string           `json:"starts_at_local" doc:"As the clocks of the property show it"`
	EndsAtLocal      *string           `json:"ends_at_local"`
	Code             string            `json:"code" doc:"The booking code (K3); empty once it was given up, 30 days after all was over (P3)"`
	URL              string            `json:"url" doc:"The booking URL (K3)"`
	AccessNotes      string            `json:"access_notes"`
	Exclusive        bool              `json:"exclusive" doc:"Nobody else may have the key in this window (K14)"`
	ReturnReminder   bool              `json:"return_reminder"`
	RequireVisitorID bool              `json:"require_visitor_id"`
	VisitorID        VisitorIDProgress `json:"visitor_id"`
	Custody          KeyStanding       `json:"custody" doc:"Where the key is, seen from this reservation (K12)"`
	CanPickUp        bool              `json:"can_pick_up"`
	Reason           *string           `json:"reason" doc:"The code of the refusal; null if it can be picked up"`
	From             *time.Time        `json:"from" doc:"From when it can be, if time alone decides"`
	Sync             string            `json:"sync" enum:"pending,confirmed,failing"`
	SyncDetail       *string           `json:"sync_detail"`
	ResendAllowedAt  *time.Time        `json:"resend_allowed_at"`
	Next             []ComingAction    `json:"next" doc:"What will happen by itself, soonest first (T3)"`
	CreatedAt        time.Time         `json:"created_at"`
	UpdatedAt        time.Time         `json:"updated_at"`
	Revision         int64             `json:"revision"`
}

// Visitor is the person who receives a key.
type Visitor struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email,omitempty"`
	Mobile  string `json:"mobile,omitempty"`
	Locale  string `json:"locale"`
	Channel string `json:"channel" enum:"email,sms" doc:"How messages reach the visitor"`
}

// VisitorIDProgress is how far the photo ID is (K7).
type VisitorIDProgress struct {
	State  string  `json:"state" enum:"not_required,needed,submitted,confirmed,rejected"`
	Reason *string `json:"reason" doc:"Why it was rejected"`
}

// KeyStanding is where a key is, seen from one reservation (K12).
type KeyStanding struct {
	State   string    `json:"state" enum:"in_box,with_visitor,with_other,unknown"`
	Since   time.Time `json:"since"`
	PanelID *string   `json:"panel_id" doc:"The box, while the key is in one"`
	Slot    *int      `json:"slot"`
}

// ComingAction is something that will happen to a reservation by itself (T3).
type ComingAction struct {
	At   time.Time `json:"at"`
	What string    `json:"what" enum:"start,end,return_key_reminder,resend,key_late,key_check"`
}

func (s *service) reservationOf(r store.Reservation, now time.Time) Reservation {
	i := &r.Reservation
	w := i.Plan.Window
	decision := access.DecidePickup(r.KeyFacts, now)
	out := Reservation{
		ID: i.ID, State: string(i.StateAt(now)), Kind: string(i.Kind), KeyID: i.KeyID, KeyName: r.KeyName, PropertyID: i.PropertyID, PropertyName: r.PropertyName,
		Host: Inviter{ID: i.HostID, Name: r.Host.Name, Email: r.Host.Email},
		Visitor: Visitor{
			ID: r.Visitor.ID, Name: r.Visitor.Name, Email: r.Visitor.Email, Mobile: r.Visitor.Mobile, Locale: r.Visitor.Locale, Channel: string(r.Channel),
		},
		StartsAt: instant(w.Start), EndsAt: instant(w.End), StartsAtLocal: local(w.Start, r.Zone), EndsAtLocal: local(w.End, r.Zone),
		Code: r.Code, URL: s.bookingURL(r.Token), AccessNotes: r.AccessNotes, Exclusive: i.Exclusive,
		ReturnReminder: i.ReturnReminder, RequireVisitorID: i.Document.Required,
		VisitorID: visitorIDOf(r), Custody: standingOf(r),
		CanPickUp: decision.Allowed, Reason: orNull(string(decision.Code)), From: instant(decision.From),
		Sync: string(r.Sync.State), SyncDetail: orNull(r.Sync.Detail),
		Next: []ComingAction{}, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, Revision: i.Revision,
	}
	if i.State != access.ReservationRevoked {
		out.ResendAllowedAt = instant(i.ResendAllowedAt())
	}
	for _, d := range access.ComingOf(i, now) {
		out.Next = append(out.Next, ComingAction{At: d.At.UTC(), What: string(d.What)})
	}
	return out
}

func (s *service) bookingURL(token string) string { return s.BaseURL + "/r/" + token }

func visitorIDOf(r store.Reservation) VisitorIDProgress {
	p := VisitorIDProgress{State: string(r.Reservation.Document.State())}
	if r.Reservation.Document.State() == access.IDRejected {
		p.Reason = orNull(r.IDReason)
	}
	return p
}

// standingOf says who has the key from the point of view of one visitor.
func standingOf(r store.Reservation) KeyStanding {
	c := r.Custody
	k := KeyStanding{State: string(c.State), Since: c.Since}
	switch c.State {
	case access.CustodyInBox:
		k.PanelID, k.Slot = orNull(c.PanelID), &c.Slot
	case access.CustodyOut:
		k.State = "with_other"
		if c.HolderID == r.Reservation.ID {
			k.State = "with_visitor"
		}
	case access.CustodyUnknown:
	}
	return k
}
