package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
)

// deliver does what the outbox's workflow does with a sign-in code: it renders
// the queued message and keeps it in the development outbox.
func (e *engine) deliver(to string) {
	e.t.Helper()
	ctx, now := e.t.Context(), time.Now()
	due, _, err := e.store.DueMessages(ctx, 10, now)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, queued := range due {
		if queued.Template != access.TemplateSignInCode {
			continue // what an invitation says has tests of its own
		}
		code, err := e.store.MessageSecret(queued)
		if err != nil {
			e.t.Fatal(err)
		}
		m, err := notify.Render(notify.ChannelEmail, notify.Template(queued.Template), "en", time.UTC, notify.Data{Code: code, CodeMinutes: 10})
		if err != nil {
			e.t.Fatal(err)
		}
		m.ID, m.To, m.At = queued.ID, to, now
		if err := e.store.Keep(ctx, m); err != nil {
			e.t.Fatal(err)
		}
		if err := e.store.MessageSent(ctx, queued.ID, now); err != nil {
			e.t.Fatal(err)
		}
	}
}

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// codeFor reads the newest code that was sent, from the outbox as a person does.
func (e *engine) codeFor(to string) string {
	e.t.Helper()
	e.deliver(to)
	outbox := e.raw(http.MethodGet, "/dev/outbox", "", nil).want(http.StatusOK)
	newest, ok := outbox.items()[0].(map[string]any)
	if !ok || newest["to"] != to || newest["template"] != "sign_in_code" || newest["channel"] != "email" {
		e.t.Fatalf("the newest message is %v, want a code to %s", newest, to)
	}
	code := sixDigits.FindString(newest["text"].(string))
	if code == "" {
		e.t.Fatalf("no code in %v", newest["text"])
	}
	return code
}

// signIn signs a guest in and gives the session's token.
func (e *engine) signIn(address string) (token string) {
	e.t.Helper()
	attempt := e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": address}).want(http.StatusAccepted).text("attempt")
	return e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": attempt, "code": e.codeFor(address)}).want(http.StatusOK).text("token")
}

func TestSignInWithTheCodeFromTheEmail(t *testing.T) {
	e := start(t)
	token := e.signIn("ana@example.com")
	sessions := e.call(http.MethodGet, "/v1/me/sessions", token, nil).want(http.StatusOK).items()
	if len(sessions) != 1 || sessions[0].(map[string]any)["current"] != true {
		t.Errorf("sessions are %v, want this one", sessions)
	}
	e.signIn("ana@example.com")
	if sessions := e.call(http.MethodGet, "/v1/me/sessions", token, nil).items(); len(sessions) != 2 {
		t.Errorf("%d sessions after a second sign-in of the same person, want 2", len(sessions))
	}

	// I15: a guest's session is no key of an account, nor the other way round.
	e.call(http.MethodGet, "/v1/properties", token, nil).refused(http.StatusUnauthorized, "unauthorized")
	e.call(http.MethodGet, "/v1/events", token, nil).refused(http.StatusUnauthorized, "unauthorized")
	e.call(http.MethodGet, "/v1/me/sessions", e.key, nil).refused(http.StatusUnauthorized, "unauthorized")

	e.call(http.MethodPost, "/v1/sign-out", token, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, "/v1/me/sessions", token, nil).refused(http.StatusUnauthorized, "unauthorized")
}

func TestTheOutboxPage(t *testing.T) {
	e := start(t)
	e.signIn("ana@example.com")
	page := e.raw(http.MethodGet, "/dev/outbox", "", nil, header{"Accept", "text/html"}).want(http.StatusOK)
	if page.header.Get("Content-Security-Policy") == "" || page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of the page: %v", page.header)
	}
	if !regexp.MustCompile(`ana@example\.com`).Match(page.body) {
		t.Error("the message is not on the page")
	}
}

func TestSignInRefusesWrongCodes(t *testing.T) {
	e := start(t)
	attempt := e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "ana@example.com"}).want(http.StatusAccepted).text("attempt")
	right := e.codeFor("ana@example.com")
	wrong := "000000"
	if right == wrong {
		wrong = "000001"
	}
	for range 5 { // five tries
		e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": attempt, "code": wrong}).refused(http.StatusUnauthorized, "invalid_code")
	}
	e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": attempt, "code": right}).refused(http.StatusUnauthorized, "invalid_code")
	e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": attempt, "code": "12345"}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.code")
	e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "not an address"}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.email")
}

func TestANewCodeVoidsTheOld(t *testing.T) {
	e := start(t)
	first := e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "ana@example.com"}).want(http.StatusAccepted).text("attempt")
	old := e.codeFor("ana@example.com")
	second := e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "ana@example.com"}).want(http.StatusAccepted).text("attempt")
	e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": first, "code": old}).refused(http.StatusUnauthorized, "invalid_code")
	e.call(http.MethodPost, "/v1/sign-in", "", object{"attempt": second, "code": e.codeFor("ana@example.com")}).want(http.StatusOK)
}

func TestSignInCodesAreLimited(t *testing.T) {
	e := start(t)
	for range 5 { // per address and hour
		e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "ana@example.com"}).want(http.StatusAccepted)
	}
	e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "Ana@Example.com"}).refused(http.StatusTooManyRequests, "rate_limited")
	for i := range 15 { // 20 per network address and hour
		e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": fmt.Sprintf("guest%d@example.com", i)}).want(http.StatusAccepted)
	}
	over := e.call(http.MethodPost, "/v1/sign-in/code", "", object{"email": "another@example.com"}).refused(http.StatusTooManyRequests, "rate_limited")
	if over.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
