package api

import (
	"context"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
)

// listMyInvitations lists what was sent to the signed-in guest's address, in
// whatever account (I6).
func (s *service) listMyInvitations(ctx context.Context, in *Paging) (*output[List[Invitation]], error) {
	now := time.Now()
	list, next, err := s.myInvitations(ctx, in.page(), now)
	if err != nil {
		return nil, err
	}
	return listOf(list, next, func(inv store.Invitation) Invitation { return invitationOf(inv, now) }), nil
}

func (s *service) myInvitations(ctx context.Context, page store.Page, now time.Time) ([]store.Invitation, string, error) {
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return nil, "", err
	}
	return s.Store.ListInvitations(ctx, store.InvitationFilter{GuestIndex: index}, page, now)
}

// mine reads an invitation for the signed-in guest. One that was sent to another
// address is told apart from none only where the caller knows its id already: I3
// asks for a clear answer.
func (s *service) mine(ctx context.Context, id string, now time.Time) (store.Invitation, error) {
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return store.Invitation{}, err
	}
	return s.Store.InvitationOfGuest(ctx, index, id, now)
}

func (s *service) acceptMyInvitation(ctx context.Context, in *ByID) (*entity[Invitation], error) {
	return s.answerMine(ctx, in.ID, s.Items.AcceptInvitation, (*access.Invitation).Accept)
}

func (s *service) declineMyInvitation(ctx context.Context, in *ByID) (*entity[Invitation], error) {
	return s.answerMine(ctx, in.ID, s.Items.DeclineInvitation, (*access.Invitation).Decline)
}

func (s *service) answerMine(ctx context.Context, id string, ask func(context.Context, string, string) error, rule func(*access.Invitation, time.Time) error) (*entity[Invitation], error) {
	if _, err := s.mine(ctx, id, time.Now()); missing(err) {
		if exists, existsErr := s.Store.InvitationExists(ctx, id); existsErr != nil || exists {
			return nil, firstError(existsErr, emailMismatch())
		}
		return nil, err
	} else if err != nil {
		return nil, err
	}
	read := func() (store.Invitation, error) { return s.mine(ctx, id, time.Now()) }
	if err := settle(func() error { return ask(ctx, id, s.updateID(ctx)) }, read, rule); err != nil {
		return nil, err
	}
	inv, err := read()
	if err != nil {
		return nil, err
	}
	return entityOf(inv.Invitation.Revision, invitationOf(inv, time.Now())), nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// GuestKeys is a location and every entrance that is shared with the guest there.
type GuestKeys struct {
	PropertyID  string          `json:"property_id"`
	Name        string          `json:"name"`
	TimeZone    string          `json:"time_zone"`
	Invitations []GuestKeysItem `json:"invitations"`
}

// GuestKeysItem is one accepted invitation of a location.
type GuestKeysItem struct {
	InvitationID  string          `json:"invitation_id"`
	InviterName   string          `json:"inviter_name"`
	StartsAt      *time.Time      `json:"starts_at"`
	EndsAt        *time.Time      `json:"ends_at"`
	StartsAtLocal *string         `json:"starts_at_local"`
	EndsAtLocal   *string         `json:"ends_at_local"`
	Verification  Verification    `json:"verification"`
	Entrances     []GuestEntrance `json:"entrances"`
}

// guestKeysMost bounds how many invitations the guest keys show: a person with
// more has the paged list of invitations.
const guestKeysMost = 200

// listGuestKeys shows the signed-in guest's locations with their entrances (I6).
func (s *service) listGuestKeys(ctx context.Context, _ *struct{}) (*output[List[GuestKeys]], error) {
	now := time.Now()
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return nil, err
	}
	list, _, err := s.Store.ListInvitations(ctx, store.InvitationFilter{GuestIndex: index, State: access.InvitationAccepted}, store.Page{Limit: guestKeysMost}, now)
	if err != nil {
		return nil, err
	}
	places := map[string]int{}
	var keys []GuestKeys
	for _, inv := range list {
		shown := invitationOf(inv, now)
		place, known := places[shown.PropertyID]
		if !known {
			place = len(keys)
			places[shown.PropertyID] = place
			keys = append(keys, GuestKeys{PropertyID: shown.PropertyID, Name: shown.PropertyName, TimeZone: inv.Zone.String()})
		}
		keys[place].Invitations = append(keys[place].Invitations, GuestKeysItem{
			InvitationID: shown.ID, InviterName: shown.Inviter.Name, StartsAt: shown.StartsAt, EndsAt: shown.EndsAt,
			StartsAtLocal: shown.StartsAtLocal, EndsAtLocal: shown.EndsAtLocal, Verification: shown.Verification, Entrances: shown.Entrances,
		})
	}
	return listOf(keys, "", func(k GuestKeys) GuestKeys { return k }), nil
}

// leaveGuestKey gives the access up for the guest who has it (I17). Somebody
// else's is not found.
func (s *service) leaveGuestKey(ctx context.Context, in *ByID) (*entity[Invitation], error) {
	read := func() (store.Invitation, error) { return s.mine(ctx, in.ID, time.Now()) }
	if _, err := read(); err != nil {
		return nil, err
	}
	if err := settle(func() error { return s.Items.LeaveInvitation(ctx, in.ID, s.updateID(ctx)) }, read, (*access.Invitation).Leave); err != nil {
		return nil, err
	}
	inv, err := read()
	if err != nil {
		return nil, err
	}
	return entityOf(inv.Invitation.Revision, invitationOf(inv, time.Now())), nil
}

func (s *service) getGuestVerification(ctx context.Context, in *ByID) (*output[VerificationAttempt], error) {
	now := time.Now()
	inv, err := s.mine(ctx, in.ID, now)
	if err != nil {
		return nil, err
	}
	return s.verificationAttempt(ctx, inv, now)
}
