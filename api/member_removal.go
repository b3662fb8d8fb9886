package api

import (
	"context"
	"net/http"
	"time"

	"latchkey/internal/store"
)

type deleteMemberInput struct {
	ByID
	MoveTo  string `query:"move_to" maxLength:"64" doc:"The member who takes over the live invitations and reservations; without one, the invitations are revoked"`
	Preview bool   `query:"preview" doc:"Say what would be revoked or moved, and change nothing"`
}

// MemberRemoval is what removing a member would revoke or move (I17).
type MemberRemoval struct {
	Invitations  []RemovedInvitation `json:"invitations" doc:"The live invitations, newest first"`
	Reservations int                 `json:"reservations" doc:"How many live reservations the member is host of; they need move_to"`
	Total        int                 `json:"total" doc:"How many live invitations there are"`
	Truncated    bool                `json:"truncated" doc:"Whether there are more than are listed"`
}

// RemovedInvitation is a live invitation of a member who may be removed.
type RemovedInvitation struct {
	ID         string     `json:"id"`
	State      string     `json:"state" enum:"invited,accepted"`
	Guest      Guest      `json:"guest"`
	PropertyID string     `json:"property_id"`
	StartsAt   *time.Time `json:"starts_at" doc:"None: from the acceptance on"`
	EndsAt     *time.Time `json:"ends_at" doc:"None: until revoked"`
}

// removalOutput has a body for a preview only.
type removalOutput struct {
	Status int
	Body   *MemberRemoval
}

// deleteMember removes a member, with what is live revoked or moved, or shows what
// that would be (I17).
func (s *service) deleteMember(ctx context.Context, in *deleteMemberInput) (*removalOutput, error) {
	now := time.Now()
	if !in.Preview {
		return &removalOutput{Status: http.StatusNoContent}, s.Store.RemoveMember(ctx, accountID(ctx), in.ID, in.MoveTo, now)
	}
	removal, err := s.Store.PreviewRemoval(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	shown := &MemberRemoval{
		Invitations: make([]RemovedInvitation, 0, len(removal.Invitations)), Reservations: removal.Reservations,
		Total: removal.Total, Truncated: removal.Total > len(removal.Invitations),
	}
	for _, inv := range removal.Invitations {
		shown.Invitations = append(shown.Invitations, removedInvitation(inv, now))
	}
	return &removalOutput{Status: http.StatusOK, Body: shown}, nil
}

func removedInvitation(inv store.Invitation, now time.Time) RemovedInvitation {
	i := invitationOf(inv, now)
	return RemovedInvitation{ID: i.ID, State: i.State, Guest: i.Guest, PropertyID: i.PropertyID, StartsAt: i.StartsAt, EndsAt: i.EndsAt}
}
