package api_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is a person's, without JavaScript.
type browser struct {
	t      *testing.T
	client *http.Client
	at     string // the engine's address
}

// shown is a page as it came.
type shown struct {
	status int
	path   string // after redirects
	header http.Header
	body   string
}

func (e *engine) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return &browser{t: e.t, at: e.url, client: &http.Client{Jar: jar}}
}

func (b *browser) send(method, path string, form url.Values, headers ...header) shown {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.at+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		request.Header.Set(h[0], h[1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err != nil || closeErr != nil {
		b.t.Fatal(err, closeErr)
	}
	return shown{response.StatusCode, response.Request.URL.Path, response.Header, string(body)}
}

func (b *browser) get(path string) shown { return b.send(http.MethodGet, path, nil) }

var attemptField = regexp.MustCompile(`name="attempt" value="([^"]+)"`)

// askCode types an address and gives the attempt that the next page carries.
func (b *browser) askCode(address, next string) (attempt string) {
	b.t.Helper()
	page := b.send(http.MethodPost, "/sign-in/code", url.Values{"email": {address}, "next": {next}})
	found := attemptField.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || found == nil {
		b.t.Fatalf("asking for a code was answered %d:\n%s", page.status, page.body)
	}
	return found[1]
}

func (b *browser) session() string {
	b.t.Helper()
	at, err := url.Parse(b.at)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.client.Jar.Cookies(at) {
		if cookie.Name == "latchkey" {
			return cookie.Value
		}
	}
	return ""
}

func TestSignInInABrowser(t *testing.T) {
	e := start(t)
	b := e.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if page := b.get("/sign-in?next=/i/secret"); page.status != http.StatusOK || !strings.Contains(page.body, `value="/i/secret"`) {
		t.Fatalf("the page is %d:\n%s", page.status, page.body)
	}
	attempt := b.askCode("ana@example.com", "/i/secret")
	wrong := b.send(http.MethodPost, "/sign-in", url.Values{"attempt": {attempt}, "code": {"12"}, "email": {"ana@example.com"}})
	if wrong.status != http.StatusUnauthorized || !strings.Contains(wrong.body, `role="alert"`) || b.session() != "" {
		t.Errorf("a wrong code is answered %d, the session is %q", wrong.status, b.session())
	}
	right := b.send(http.MethodPost, "/sign-in", url.Values{"attempt": {attempt}, "code": {e.codeFor("ana@example.com")}, "next": {"/i/secret"}})
	if right.status != http.StatusSeeOther || right.header.Get("Location") != "/i/secret" {
		t.Fatalf("signing in is answered %d to %q", right.status, right.header.Get("Location"))
	}
	cookie := right.header.Get("Set-Cookie")
	for _, attribute := range []string{"HttpOnly", "SameSite=Lax", "Path=/", "Expires="} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("the cookie %q lacks %s", regexp.MustCompile(`=[^;]+`).ReplaceAllString(cookie, "=…"), attribute)
		}
	}

	// A second sign-in is a session of its own, and the first one has ended.
	first := b.session()
	attempt = b.askCode("ana@example.com", "")
	b.send(http.MethodPost, "/sign-in", url.Values{"attempt": {attempt}, "code": {e.codeFor("ana@example.com")}})
	if second := b.session(); second == first || second == "" {
		t.Errorf("the session was not changed at sign-in")
	}
	e.call(http.MethodGet, "/v1/me/sessions", first, nil).refused(http.StatusUnauthorized, "unauthorized")

	last := b.session()
	b.send(http.MethodPost, "/sign-out", nil)
	if b.session() != "" {
		t.Error("the cookie outlives the session")
	}
	e.call(http.MethodGet, "/v1/me/sessions", last, nil).refused(http.StatusUnauthorized, "unauthorized")
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	e := start(t)
	b := e.browser()
	page := b.send(http.MethodPost, "/sign-in/code", url.Values{"email": {"ana@example.com"}}, header{"Sec-Fetch-Site", "cross-site"})
	if page.status != http.StatusForbidden || strings.Contains(page.body, "attempt") {
		t.Errorf("a form of another site is answered %d", page.status)
	}
	page = b.send(http.MethodPost, "/sign-in/code", url.Values{"email": {strings.Repeat("a", 20<<10)}})
	if page.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of 20 kB is answered %d", page.status)
	}
	if page = b.send(http.MethodPost, "/sign-in/code", url.Values{"email": {"nobody"}}); page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, `role="alert"`) {
		t.Errorf("no address is answered %d", page.status)
	}
}

// Where a person is led after signing in is a page of this server.
func TestSignInLeadsNowhereElse(t *testing.T) {
	e := start(t)
	for _, next := range []string{"https://evil.example/", "//evil.example/guest", `/\evil.example`, "/guest/../../x", "javascript:alert(1)", "/v1/me/sessions", ""} {
		page := e.browser().get("/sign-in?next=" + url.QueryEscape(next))
		if !strings.Contains(page.body, `name="next" value="/guest"`) {
			t.Errorf("%q is where a person would be led", next)
		}
	}
}
