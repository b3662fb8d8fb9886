package api

import (
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
)

// Invitation is an invitation on the wire. Its state and every answer in it hold
// at the instant of the answer (T0).
type Invitation struct {
	ID              string           `json:"id" example:"inv_d4k2m1c7h1qg00f3v5tg"`
	State           string           `json:"state" enum:"invited,accepted,declined,expired,revoked,ended"`
	PropertyID      string           `json:"property_id"`
	PropertyName    string           `json:"property_name"`
	Inviter         Inviter          `json:"inviter"`
	Guest           Guest            `json:"guest"`
	Entrances       []GuestEntrance  `json:"entrances"`
	StartsAt        *time.Time       `json:"starts_at" doc:"None: from the acceptance on"`
	EndsAt          *time.Time       `json:"ends_at" doc:"None: until revoked"`
	StartsAtLocal   *string          `json:"starts_at_local" doc:"In the property's zone"`
	EndsAtLocal     *string          `json:"ends_at_local" doc:"In the property's zone"`
	Verification    Verification     `json:"verification"`
	ResendAllowedAt *time.Time       `json:"resend_allowed_at"`
	ExpiresAt       *time.Time       `json:"expires_at" doc:"When it expires unanswered"`
	Next            []ComingDeadline `json:"next" doc:"What happens by itself, soonest first"`
	CreatedAt       time.Time        `json:"created_at"`
	UpdatedAt       time.Time        `json:"updated_at"`
	Revision        int64            `json:"revision"`
}

// Inviter is the member who gives the access.
type Inviter struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Guest is the person who receives it.
type Guest struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Locale string `json:"locale"`
}

// GuestEntrance is an entrance of an invitation: how to find it, whether it opens
// now and if not why and from when (I6), and how far its panel is (P5).
type GuestEntrance struct {
	EntranceID string     `json:"entrance_id"`
	Name       string     `json:"name"`
	Directions string     `json:"directions"`
	CanUnlock  bool       `json:"can_unlock"`
	Reason     *string    `json:"reason" doc:"The code of the refusal; null if it can be unlocked"`
	From       *time.Time `json:"from" doc:"From when it can be, if time alone decides"`
	Sync       string     `json:"sync" enum:"pending,confirmed,failing"`
	SyncDetail *string    `json:"sync_detail"`
}

// Verification is how the guest stands with on-site verification (I9, I10).
type Verification struct {
	Required   bool       `json:"required" doc:"Whether the property asks for it"`
	State      string     `json:"state" enum:"not_required,required,verified"`
	ValidUntil *time.Time `json:"valid_until" doc:"When it lapses without use"`
}

// ComingDeadline is something that will happen by itself (T3).
type ComingDeadline struct {
	At   time.Time `json:"at"`
	What string    `json:"what" enum:"expire,resend,start,verification_warning,verification_lapse,end"`
}

func invitationOf(inv store.Invitation, now time.Time) Invitation {
	i := &inv.Invitation
	status := access.VerificationAt(inv.Facts, now)
	out := Invitation{
		ID: i.ID, State: string(i.StateAt(now)), PropertyID: i.PropertyID, PropertyName: inv.PropertyName,
		Inviter:   Inviter{ID: inv.InviterID, Name: inv.Inviter.Name, Email: inv.Inviter.Email},
		Guest:     Guest{ID: inv.Guest.ID, Name: inv.Guest.Name, Email: inv.Guest.Email, Locale: inv.Guest.Locale},
		Entrances: guestEntrances(inv, now),
		StartsAt:  instant(i.Window.Start), EndsAt: instant(i.Window.End),
		StartsAtLocal: local(i.Window.Start, inv.Zone), EndsAtLocal: local(i.Window.End, inv.Zone),
		Verification: Verification{
			Required: status.State != access.VerificationNotNeeded, State: string(status.State), ValidUntil: instant(status.ValidUntil),
		},
		Next: []ComingDeadline{}, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, Revision: i.Revision,
	}
	if i.StateAt(now) == access.InvitationInvited {
		out.ResendAllowedAt, out.ExpiresAt = instant(i.ResendAllowedAt()), instant(i.ExpiresAt)
	}
	for _, d := range access.Coming(inv.Facts, now) {
		out.Next = append(out.Next, ComingDeadline{At: d.At.UTC(), What: string(d.What)})
	}
	return out
}

func guestEntrances(inv store.Invitation, now time.Time) []GuestEntrance {
	list := make([]GuestEntrance, 0, len(inv.Entrances))
	for _, e := range inv.Entrances {
		decision := access.Decide(inv.Facts, e.Entrance, now)
		list = append(list, GuestEntrance{
			EntranceID: e.ID, Name: e.Name, Directions: e.Directions,
			CanUnlock: decision.Allowed, Reason: orNull(string(decision.Code)), From: instant(decision.From),
			Sync: string(e.Sync.State), SyncDetail: orNull(e.Sync.Detail),
		})
	}
	return list
}

// local writes an instant as a wall clock of the zone shows it, with its offset (T1).
func local(t time.Time, zone *time.Location) *string {
	if t.IsZero() {
		return nil
	}
	text := t.In(zone).Format(time.RFC3339)
	return &text
}
