package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/directory"
)

// who may call a route.
type who int

const (
	anybody who = iota
	account     // an API key
	guest       // the session of a signed-in person
)

// needs is what a route asks of its caller: an API key with one of the scopes
// (admin always will do), a guest's session, or nothing.
type needs struct {
	who    who
	scopes []directory.Scope
}

// The columns of the route table. Whoever may change a resource may read it.
var (
	public        = needs{who: anybody}
	session       = needs{who: guest}
	admin         = keyWith()
	readEvents    = keyWith(directory.ScopeRead)
	readDirectory = keyWith(directory.ScopeRead, directory.ScopeDirectory)
	editDirectory = keyWith(directory.ScopeDirectory)

	readInvitations = keyWith(directory.ScopeRead, directory.ScopeInvitations)
	editInvitations = keyWith(directory.ScopeInvitations)
	unlock          = keyWith(directory.ScopeUnlock)

	readReservations = keyWith(directory.ScopeRead, directory.ScopeReservations)
	editReservations = keyWith(directory.ScopeReservations)

	readItems = keyWith(directory.ScopeRead, directory.ScopeInvitations, directory.ScopeReservations)
)

// keyWith asks for an API key with at least one of the scopes.
func keyWith(scopes ...directory.Scope) needs { return needs{who: account, scopes: scopes} }

const (
	schemeKey     = "apiKey"
	schemeSession = "session"
)

func (n needs) security() []map[string][]string {
	switch n.who {
	case account:
		return []map[string][]string{{schemeKey: {}}}
	case guest:
		return []map[string][]string{{schemeSession: {}}}
	case anybody:
	}
	return []map[string][]string{}
}

func (n needs) describe() string {
	if n.who != account {
		return ""
	}
	names := make([]string, 0, len(n.scopes)+1)
	for _, scope := range append(slices.Clone(n.scopes), directory.ScopeAdmin) {
		names = append(names, "`"+string(scope)+"`")
	}
	return "Scope: " + strings.Join(names, " or ") + "."
}

// caller is who was authenticated: an account by its key, or a person by a
// session. The other half is empty.
type caller struct {
	accountID string
	keyID     string
	scopes    []directory.Scope // of the key
	personID  string
	sessionID string
}

// accountID is the account that the API key of the request belongs to. Routes
// that need a key always have one.
func accountID(ctx context.Context) string { return callerOf(ctx).accountID }

// personID is the signed-in person of the request. Routes that need a session
// always have one.
func personID(ctx context.Context) string { return callerOf(ctx).personID }

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(keyCaller).(caller) // a public route has nobody
	return c
}

// authenticate lets only those pass whom the route needs, and puts them in the
// context.
func (s *service) authenticate(n needs) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		var who caller
		var err error
		switch n.who {
		case account:
			who, err = s.byKey(c.Context(), c.Header("Authorization"), n.scopes)
		case guest:
			who, err = s.bySession(c.Context(), c.Header("Authorization"))
		case anybody:
			next(c)
			return
		}
		if err != nil {
			writeProblem(c, s.explainInside(c, err))
			return
		}
		next(huma.WithValue(c, keyCaller, who))
	}
}

func (s *service) byKey(ctx context.Context, authorization string, scopes []directory.Scope) (caller, error) {
	secret, err := bearer(authorization)
	if err != nil {
		return caller{}, err
	}
	key, err := s.Store.Authenticate(ctx, secret)
	if missing(err) {
		return caller{}, unauthorized("This API key is unknown or was deleted.")
	}
	if err != nil {
		return caller{}, fmt.Errorf("authenticate: %w", err)
	}
	who := caller{accountID: key.AccountID, keyID: key.ID, scopes: key.Scopes}
	return who, who.needs(keyWith(scopes...))
}

// needs refuses what no scope of the caller's key allows.
func (c caller) needs(n needs) error {
	allowed := slices.ContainsFunc(c.scopes, func(has directory.Scope) bool {
		return has == directory.ScopeAdmin || slices.Contains(n.scopes, has)
	})
	if !allowed {
		return &directory.Error{Code: directory.CodeForbidden,
			Detail: "This API key's scopes do not allow this call. " + n.describe()}
	}
	return nil
}

func (s *service) bySession(ctx context.Context, authorization string) (caller, error) {
	token, err := bearer(authorization)
	if err != nil {
		return caller{}, err
	}
	signedIn, err := s.Store.Session(ctx, token, time.Now())
	if missing(err) {
		return caller{}, unauthorized("The session is unknown or has ended. Sign in again.")
	}
	if err != nil {
		return caller{}, fmt.Errorf("session: %w", err)
	}
	return caller{personID: signedIn.PersonID, sessionID: signedIn.ID}, nil
}

// bearer takes the token out of the Authorization header.
func bearer(authorization string) (string, error) {
	scheme, token, found := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 256 {
		return "", unauthorized("Send the header Authorization: Bearer, followed by the API key or the session token.")
	}
	return token, nil
}

// missing says whether the store knows no such credential.
func missing(err error) bool {
	var e *directory.Error
	return errors.As(err, &e) && (e.Code == directory.CodeNotFound || e.Code == codeUnauthorized)
}

func unauthorized(detail string) *Problem {
	return newProblem(http.StatusUnauthorized, codeUnauthorized, detail)
}
