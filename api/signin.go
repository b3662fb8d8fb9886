package api

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/text/language"

	"latchkey/internal/store"
)

// Attempt is a sign-in that waits for its code.
type Attempt struct {
	Attempt string `json:"attempt" doc:"Goes into POST /v1/sign-in together with the code from the email"`
}

// Session is a session that has just begun, with its token, which is shown once.
type Session struct {
	Token     string    `json:"token" doc:"What goes after Bearer. Shown once"`
	ExpiresAt time.Time `json:"expires_at"`
}

// SessionInfo is one of the sessions of the signed-in person.
type SessionInfo struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current" doc:"Whether it is the session of this request"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

type sendSignInCodeInput struct {
	AcceptLanguage string `header:"Accept-Language" doc:"The language of the message"`
	Body           struct {
		Email string `json:"email" minLength:"1" maxLength:"320"`
	} `nameHint:"SendSignInCode"`
}

type signInInput struct {
	Body struct {
		Attempt string `json:"attempt" minLength:"1" maxLength:"100"`
		Code    string `json:"code" pattern:"^[0-9]{6}$" patternDescription:"the six digits from the email"`
	} `nameHint:"SignIn"`
}

// sendSignInCode answers the same whether the address is known or not, so that
// nobody learns who is a guest.
func (s *service) sendSignInCode(ctx context.Context, in *sendSignInCodeInput) (*output[Attempt], error) {
	attempt, err := s.Store.StartSignIn(ctx, in.Body.Email, preferredLanguage(in.AcceptLanguage), networkOf(networkAddress(ctx)), time.Now())
	if err != nil {
		return nil, err
	}
	return &output[Attempt]{Body: Attempt{Attempt: attempt}}, nil
}

func (s *service) signIn(ctx context.Context, in *signInInput) (*output[Session], error) {
	token, signedIn, err := s.Store.SignIn(ctx, in.Body.Attempt, in.Body.Code, time.Now())
	if err != nil {
		return nil, err
	}
	return &output[Session]{Body: Session{Token: token, ExpiresAt: signedIn.ExpiresAt.UTC()}}, nil
}

func (s *service) signOut(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, s.Store.SignOut(ctx, callerOf(ctx).sessionID, time.Now())
}

func (s *service) listSessions(ctx context.Context, _ *struct{}) (*output[List[SessionInfo]], error) {
	sessions, err := s.Store.Sessions(ctx, personID(ctx), time.Now())
	if err != nil {
		return nil, err
	}
	current := callerOf(ctx).sessionID
	return listOf(sessions, "", func(held store.Session) SessionInfo {
		return SessionInfo{ID: held.ID, Current: held.ID == current, CreatedAt: held.CreatedAt.UTC(), ExpiresAt: held.ExpiresAt.UTC()}
	}), nil
}

// preferredLanguage is the first language of an Accept-Language header.
func preferredLanguage(header string) string {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 || tags[0] == language.Und {
		return language.English.String()
	}
	return tags[0].String()
}

// networkOf is what counts as one caller in the limits on sign-in codes: an IPv4
// address, or the /64 that one IPv6 customer has.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
