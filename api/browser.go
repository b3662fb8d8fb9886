package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/internal/store"
	"latchkey/internal/web"
)

// What pages in a browser share: who is signed in, and how forms are taken in. The
// session in the cookie is the one of the API (POST /v1/sign-in), hashed at rest.

// afterSignIn is where a person is led who came from nowhere in particular.
const afterSignIn = "/guest"

// cookieName is that of the session. Where pages are served over TLS the browser
// holds it to this host and to TLS.
func (s *service) cookieName() string {
	if s.overTLS() {
		return "__Host-latchkey"
	}
	return "latchkey"
}

func (s *service) overTLS() bool { return strings.HasPrefix(s.BaseURL, "https://") }

func (s *service) setSession(c *gin.Context, token string, expires time.Time) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: s.cookieName(), Value: token, Path: "/", Expires: expires, HttpOnly: true, Secure: s.overTLS(), SameSite: http.SameSiteLaxMode,
	})
}

// signedIn is the session of the browser, and whether there is one.
func (s *service) signedIn(ctx context.Context, c *gin.Context) (store.Session, bool, error) {
	cookie, err := c.Request.Cookie(s.cookieName())
	if err != nil || cookie.Value == "" || len(cookie.Value) > 256 {
		return store.Session{}, false, nil //nolint:nilerr // no cookie is nobody, not a failure
	}
	session, err := s.Store.Session(ctx, cookie.Value, time.Now())
	if missing(err) {
		return store.Session{}, false, nil
	}
	return session, err == nil, err
}

// visitor is who looks at a page, with the request it belongs to.
type visitor struct {
	*gin.Context
	personID  string // empty: nobody is signed in
	sessionID string
}

// form is a field of the form that was sent, without spaces around it.
func (v *visitor) form(name string) string { return strings.TrimSpace(v.Request.PostForm.Get(name)) }

// seeOther leads on to another page of this server after a form, so that a reload
// does not send the form again.
func (v *visitor) seeOther(path string) { v.Redirect(http.StatusSeeOther, path) }

// forAnyone serves a page, or what a form of a page asks for. A form that another
// site has sent is refused; one that is too large as well. An error is a page of its own.
func (s *service) forAnyone(show func(ctx context.Context, v *visitor) error) gin.HandlerFunc {
	crossOrigin := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), handlerTimeout)
		defer cancel()
		c.Writer.Header().Del("Content-Security-Policy") // the page has its own
		if err := crossOrigin.Check(c.Request); err != nil {
			web.FailurePage(c.Writer, c.Request, http.StatusForbidden, afterSignIn)
			return
		}
		v := &visitor{Context: c}
		err := s.readForm(c)
		if err == nil {
			var session store.Session
			if session, _, err = s.signedIn(ctx, c); err == nil {
				v.personID, v.sessionID = session.PersonID, session.ID
				err = show(ctx, v)
			}
		}
		if err != nil {
			back := c.Request.URL.Path
			if c.Request.Method == http.MethodPost {
				back = path.Dir(back)
			}
			web.FailurePage(c.Writer, c.Request, problemOf(s.explain(ctx, err)).Status, back)
		}
	}
}

// forSignedIn is forAnyone for who is signed in; others are led to the sign-in page
// and back.
func (s *service) forSignedIn(show func(ctx context.Context, v *visitor) error) gin.HandlerFunc {
	return s.forAnyone(func(ctx context.Context, v *visitor) error {
		if v.personID != "" {
			return show(ctx, v)
		}
		next := afterSignIn
		if v.Request.Method == http.MethodGet {
			next = v.Request.URL.RequestURI()
		}
		v.seeOther("/sign-in?next=" + url.QueryEscape(next))
		return nil
	})
}

// readForm reads the fields of a form within the limits.
func (s *service) readForm(c *gin.Context) error {
	if c.Request.Method != http.MethodPost {
		return nil
	}
	if err := http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyReadTimeout)); err != nil {
		return err
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxFormBytes)
	if err := c.Request.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return bodyTooLarge(maxFormBytes)
		}
		return newProblem(http.StatusBadRequest, "invalid", "The form ended before it was complete. Send it again.")
	}
	return nil
}

// signInPages are how a person signs in and out in a browser.
func (s *service) signInPages(engine *gin.Engine) {
	engine.GET("/sign-in", s.forAnyone(func(_ context.Context, v *visitor) error {
		web.SignInPage(v.Writer, v.Request, web.SignInView{Next: nextPath(v.Query("next"))})
		return nil
	}))
	engine.POST("/sign-in/code", s.forAnyone(s.pressSendCode))
	engine.POST("/sign-in", s.forAnyone(s.pressSignIn))
	engine.POST("/sign-out", s.forAnyone(func(ctx context.Context, v *visitor) error {
		if err := s.Store.SignOut(ctx, v.sessionID, time.Now()); err != nil {
			return err
		}
		s.setSession(v.Context, "", time.Unix(1, 0))
		v.seeOther("/sign-in")
		return nil
	}))
}

// pressSendCode sends a code and asks for it.
func (s *service) pressSendCode(ctx context.Context, v *visitor) error {
	view := web.SignInView{Email: v.form("email"), Next: nextPath(v.form("next"))}
	attempt, err := s.Store.StartSignIn(ctx, view.Email, preferredLanguage(v.GetHeader("Accept-Language")), networkOf(networkAddress(ctx)), time.Now())
	if err != nil {
		p := problemOf(s.explain(ctx, err))
		view.Notice, view.Status = p.Code, p.Status
	}
	view.Attempt = attempt
	web.SignInPage(v.Writer, v.Request, view)
	return nil
}

// pressSignIn begins a session of its own and ends the one that the browser had, so
// that none that somebody else has planted becomes a signed-in one.
func (s *service) pressSignIn(ctx context.Context, v *visitor) error {
	view := web.SignInView{Email: v.form("email"), Attempt: v.form("attempt"), Next: nextPath(v.form("next"))}
	token, session, err := s.Store.SignIn(ctx, view.Attempt, strings.ReplaceAll(v.form("code"), " ", ""), time.Now())
	if err != nil {
		p := problemOf(s.explain(ctx, err))
		view.Notice, view.Status = p.Code, p.Status
		web.SignInPage(v.Writer, v.Request, view)
		return nil
	}
	if v.sessionID != "" {
		if err := s.Store.SignOut(ctx, v.sessionID, time.Now()); err != nil {
			return err
		}
	}
	s.setSession(v.Context, token, session.ExpiresAt)
	v.seeOther(view.Next)
	return nil
}

// nextPath is a page of this server to go on to: what is asked for if it is one, and
// nothing that leads elsewhere.
func nextPath(asked string) string {
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsAny(asked, "\\\r\n\t") || len(asked) > 1000 {
		return afterSignIn
	}
	for _, begins := range []string{"/guest", "/i/", "/console"} {
		if path.Clean(u.Path) == u.Path && strings.HasPrefix(u.Path, begins) {
			return u.RequestURI()
		}
	}
	return afterSignIn
}
