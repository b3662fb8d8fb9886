package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// Doors opens doors and slots; *activities.Opener satisfies it.
type Doors interface {
	Unlock(ctx context.Context, q activities.UnlockRequest) (activities.Outcome, error)
	OpenSlot(ctx context.Context, q activities.SlotRequest) (activities.Outcome, error)
}

type entranceInput struct {
	ByID
	Body struct {
		EntranceID string `json:"entrance_id" minLength:"1" maxLength:"64"`
	} `nameHint:"UnlockEntrance"`
}

// Opened is the answer to an unlock that opened the door.
type Opened struct {
	Result  string `json:"result" enum:"opened"`
	EventID string `json:"event_id"`
}

// unlockInvitation opens an entrance for an app that acts for the guest (I7).
func (s *service) unlockInvitation(ctx context.Context, in *entranceInput) (*output[Opened], error) {
	return s.unlock(ctx, activities.UnlockRequest{AccountID: accountID(ctx), InvitationID: in.ID, EntranceID: in.Body.EntranceID})
}

// unlockGuestKey opens an entrance for the signed-in guest (I7).
func (s *service) unlockGuestKey(ctx context.Context, in *entranceInput) (*output[Opened], error) {
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return nil, err
	}
	return s.unlock(ctx, activities.UnlockRequest{GuestIndex: index, InvitationID: in.ID, EntranceID: in.Body.EntranceID})
}

func (s *service) unlock(ctx context.Context, q activities.UnlockRequest) (*output[Opened], error) {
	if c := claimOf(ctx); c != nil {
		q.Scope, q.Key, q.RequestHash = c.Scope, c.Key, c.Request
	}
	outcome, err := s.Doors.Unlock(ctx, q)
	if err != nil {
		return nil, err
	}
	switch outcome.Result {
	case activities.ResultOpened:
		return &output[Opened]{Body: Opened{Result: string(outcome.Result), EventID: outcome.EventID}}, nil
	case activities.ResultDenied:
		return nil, deniedBy(outcome.Decision)
	case activities.ResultRefused, activities.ResultUnreachable:
		return nil, notOpened()
	case activities.ResultUnknown:
	}
	p := newProblem(http.StatusGatewayTimeout, string(activities.ResultUnknown),
		"The panel has not confirmed whether the door opened. Repeat the request with the same Idempotency-Key to find out; a new key could open it twice.")
	p.retryAfter = time.Second
	return nil, p
}

func notOpened() *Problem {
	p := newProblem(http.StatusServiceUnavailable, string(activities.ResultUnreachable),
		"The panel of this entrance did not take the command. Nothing opened. Try again in a moment.")
	p.retryAfter = 2 * time.Second
	return p
}

// deniedBy is a decision as a problem: its code, what to do, and from when it
// may be otherwise.
func deniedBy(d access.Decision) *Problem {
	p := newProblem(http.StatusForbidden, string(d.Code), d.Detail)
	p.From, p.Rule = instant(d.From), d.Rule
	return p
}

// TapToken is what the guest's phone shows to the panel (I9).
type TapToken struct {
	TapToken  string    `json:"tap_token" doc:"Single use; the only live one of the guest at this property"`
	ExpiresAt time.Time `json:"expires_at"`
}

type startVerificationInput struct {
	ByID
	Body *struct {
		EntranceID string `json:"entrance_id,omitempty" maxLength:"64" doc:"The entrance that the guest is about to go to; none: any of theirs"`
	} `nameHint:"StartVerification"`
}

func (s *service) startVerification(ctx context.Context, in *startVerificationInput) (*output[TapToken], error) {
	return s.tapToken(ctx, in, activities.UnlockRequest{AccountID: accountID(ctx), InvitationID: in.ID})
}

func (s *service) startGuestVerification(ctx context.Context, in *startVerificationInput) (*output[TapToken], error) {
	index, err := s.Store.PersonIndex(ctx, personID(ctx))
	if err != nil {
		return nil, err
	}
	return s.tapToken(ctx, in, activities.UnlockRequest{GuestIndex: index, InvitationID: in.ID})
}

func (s *service) tapToken(ctx context.Context, in *startVerificationInput, q activities.UnlockRequest) (*output[TapToken], error) {
	if in.Body != nil {
		q.EntranceID = in.Body.EntranceID
	}
	token, expires, err := s.Store.StartVerification(ctx, q, time.Now())
	var denied *store.DecisionError
	if errors.As(err, &denied) {
		return nil, deniedBy(denied.Decision)
	}
	if err != nil {
		return nil, err
	}
	return &output[TapToken]{Body: TapToken{TapToken: token, ExpiresAt: expires}}, nil
}

// VerificationAttempt is what became of the latest tap token.
type VerificationAttempt struct {
	State         string         `json:"state" enum:"pending,verified,wrong_entrance,expired"`
	ExpiresAt     time.Time      `json:"expires_at"`
	DecidedAt     *time.Time     `json:"decided_at"`
	YourEntrances []YourEntrance `json:"your_entrances,omitempty" doc:"With wrong_entrance: where to go instead"`
}

// YourEntrance tells a guest at the wrong door which one is theirs.
type YourEntrance struct {
	EntranceID string `json:"entrance_id"`
	Name       string `json:"name"`
	Directions string `json:"directions"`
}

func (s *service) getVerification(ctx context.Context, in *ByID) (*output[VerificationAttempt], error) {
	now := time.Now()
	inv, err := s.Store.Invitation(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	return s.verificationAttempt(ctx, inv, now)
}

func (s *service) verificationAttempt(ctx context.Context, inv store.Invitation, now time.Time) (*output[VerificationAttempt], error) {
	q := activities.UnlockRequest{AccountID: inv.Invitation.AccountID, InvitationID: inv.Invitation.ID}
	attempt, found, err := s.Store.LatestVerification(ctx, q, now)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &directory.Error{Code: directory.CodeNotFound, Detail: "Verification was never started for this invitation. Start it with POST on this path."}
	}
	out := VerificationAttempt{State: attempt.Result, ExpiresAt: attempt.ExpiresAt, DecidedAt: instant(attempt.DecidedAt)}
	if attempt.Result == store.VerificationWrongEntrance {
		for _, e := range inv.Entrances {
			out.YourEntrances = append(out.YourEntrances, YourEntrance{EntranceID: e.ID, Name: e.Name, Directions: e.Directions})
		}
	}
	return &output[VerificationAttempt]{Body: out}, nil
}
