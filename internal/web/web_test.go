package web_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/web"
)

type answer struct {
	status int
	header http.Header
	body   string
}

// get asks for a page over real HTTP, as a browser with this language.
func get(t *testing.T, method, language string, handler http.Handler, path string) answer {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Language", language)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func outbox(messages ...notify.Message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { web.OutboxPage(w, r, messages) }
}

func invitation(v web.InvitationView) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { web.InvitationPage(w, r, v) }
}

func tokyo(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func view(t *testing.T) web.InvitationView {
	t.Helper()
	return web.InvitationView{
		State: access.InvitationInvited, InviterName: "Ben O’Hara", PropertyName: "Harbour House",
		EntranceNames: []string{"Main door", "Bicycle room"}, Zone: tokyo(t), Locale: "en",
		StartsAt:  time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC),
		ExpiresAt: time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC),
	}
}

func message(t *testing.T) notify.Message {
	t.Helper()
	m, err := notify.Render(notify.ChannelEmail, access.TemplateInvitation, "en", tokyo(t), notify.Data{
		InviterName: "Ben O’Hara", GuestName: "Ana", GuestEmail: "ana@example.com", PropertyName: "Harbour House",
		EntranceNames: []string{"Main door"}, ExpiresAt: time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC),
		AcceptURL: "https://door.example/i/secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	m.ID, m.To, m.At = "msg_1", "ana@example.com", time.Date(2026, 11, 23, 9, 30, 5, 0, time.UTC)
	return m
}

// Every page forbids scripts, frames around it and loads from elsewhere, and is
// neither stored nor named to another site.
func TestPagesAreLockedDown(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"outbox":     outbox(message(t)),
		"empty":      outbox(),
		"invitation": invitation(view(t)),
		"not found":  http.HandlerFunc(web.InvitationNotFoundPage),
	} {
		a := get(t, http.MethodGet, "en", handler, "/")
		csp := a.header.Get("Content-Security-Policy")
		forms := "form-action 'none'"
		if strings.Contains(a.body, "<form") {
			forms = "form-action 'self'"
		}
		for _, directive := range []string{"default-src 'none'", "base-uri 'none'", forms, "frame-ancestors 'none'"} {
			if !strings.Contains(csp, directive) {
				t.Errorf("%s: the policy %q lacks %q", name, csp, directive)
			}
		}
		if strings.Contains(csp, "script-src") || strings.Contains(csp, "http") || strings.Contains(a.body, "<script") {
			t.Errorf("%s: scripts or foreign loads are allowed: %s", name, csp)
		}
		for header, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		if a := get(t, http.MethodHead, "en", handler, "/"); a.body != "" || a.header.Get("Content-Type") == "" {
			t.Errorf("%s: HEAD answered %+v", name, a)
		}
	}
}

var assetLink = regexp.MustCompile(`"(/assets/[^"]+)"`)

// The files that a page names exist, may be kept for ever, and no other address
// under /assets/ answers.
func TestAssets(t *testing.T) {
	page := get(t, http.MethodGet, "en", outbox(), "/")
	links := assetLink.FindAllStringSubmatch(page.body, -1)
	if len(links) != 2 {
		t.Fatalf("the page names %q, want a style sheet and an icon", links)
	}
	for _, link := range links {
		a := get(t, http.MethodGet, "en", web.Assets(), link[1])
		if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.body == "" {
			t.Errorf("%s: %d %v", link[1], a.status, a.header)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(a.header.Get("Content-Type"), "html") {
			t.Errorf("%s has the headers %v", link[1], a.header)
		}
	}
	for _, path := range []string{"/assets/", "/assets/latchkey.css", "/assets/0000000000000000-latchkey.css", "/assets/../doc.go"} {
		if a := get(t, http.MethodGet, "en", web.Assets(), path); a.status != http.StatusNotFound {
			t.Errorf("%s answered %d, want 404", path, a.status)
		}
	}
}

// A developer sees who was told what, how and when, and can follow the link.
func TestOutboxPage(t *testing.T) {
	m := message(t)
	older := notify.Message{
		ID: "msg_0", To: "+81 90 0000 0000", Channel: notify.ChannelSMS, Template: access.TemplateSignInCode,
		Locale: "ja", Subject: "<b>older</b>", Text: "コード </pre><script>1</script>",
		Links: []string{"javascript:alert(1)"}, At: m.At.Add(-time.Hour),
	}
	a := get(t, http.MethodGet, "en", outbox(m, older), "/dev/outbox")
	if a.status != http.StatusOK {
		t.Fatalf("status %d", a.status)
	}
	for _, want := range []string{
		"ana@example.com", "email", "invitation", m.Subject, "23 Nov 2026, 09:30:05 UTC", `datetime="2026-11-23T09:30:05Z"`,
		`<a href="https://door.example/i/secret"`, "Harbour House", "sms", "sign_in_code", "コード",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Index(a.body, "msg_1") > strings.Index(a.body, "msg_0") {
		t.Error("the messages are not in the order given")
	}
	if strings.Contains(a.body, "<b>") || strings.Contains(a.body, "<script") || strings.Contains(a.body, `href="javascript:`) {
		t.Error("a message changed the page")
	}
	if strings.Count(a.body, "<iframe") != 1 {
		t.Error("want a frame for the message with HTML and none for the other")
	}
}

// The HTML of a message arrives whole in a frame that may do nothing, and its
// style block is allowed by the page's policy.
func TestOutboxFrameIsSandboxed(t *testing.T) {
	m := message(t)
	a := get(t, http.MethodGet, "en", outbox(m), "/dev/outbox")
	if !strings.Contains(a.body, `<iframe sandbox="" `) {
		t.Error("the frame is not fully sandboxed")
	}
	_, rest, _ := strings.Cut(a.body, `srcdoc="`)
	quoted, _, _ := strings.Cut(rest, `"`)
	if html.UnescapeString(quoted) != m.HTML {
		t.Error("the frame does not hold the message's HTML")
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, notify.StyleSource()) {
		t.Errorf("the policy %q does not allow the message's styles", csp)
	}
}

// An empty outbox says how to get a first message.
func TestOutboxPageEmpty(t *testing.T) {
	a := get(t, http.MethodGet, "en", outbox(), "/dev/outbox")
	if !strings.Contains(a.body, "No messages yet") || !strings.Contains(a.body, "POST /v1/invitations") {
		t.Errorf("the empty page says:\n%s", a.body)
	}
}

// I2: the link shows who invites, to what, when, and until when it is answered;
// each state says so and has its status.
func TestInvitationPage(t *testing.T) {
	for state, want := range map[access.InvitationState]struct {
		status int
		says   string
	}{
		access.InvitationInvited:  {http.StatusOK, "You can accept or decline"},
		access.InvitationAccepted: {http.StatusOK, "You have accepted"},
		access.InvitationDeclined: {http.StatusOK, "You have declined"},
		access.InvitationExpired:  {http.StatusGone, "can no longer be accepted"},
		access.InvitationRevoked:  {http.StatusGone, "has been withdrawn"},
		access.InvitationEnded:    {http.StatusGone, "is over"},
	} {
		v := view(t)
		v.State = state
		a := get(t, http.MethodGet, "en", invitation(v), "/i/token")
		if a.status != want.status || !strings.Contains(a.body, want.says) {
			t.Errorf("%s: status %d, want %d and %q in:\n%s", state, a.status, want.status, want.says, a.body)
		}
		for _, fact := range []string{"Ben O’Hara", "Harbour House", "Main door, Bicycle room", "Tue 1 December 2026, 15:00 (JST)", "no end date"} {
			if !strings.Contains(a.body, fact) {
				t.Errorf("%s: the page does not show %q", state, fact)
			}
		}
		if asks := strings.Contains(a.body, "Please answer by"); asks != (state == access.InvitationInvited) {
			t.Errorf("%s: asks for an answer: %t", state, asks)
		}
		live := state == access.InvitationInvited || state == access.InvitationAccepted
		if asks := strings.Contains(a.body, `action="/sign-in/code"`); asks != live {
			t.Errorf("%s: asks to sign in: %t", state, asks)
		}
	}
}

// Who is signed in with the invited address can answer, or goes on to their keys (I4,
// I16); with another address they are told whom to ask (I3).
func TestInvitationPageAsksTheRightPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  access.InvitationState
		as     string
		theirs bool
		want   string
	}{
		"I4: theirs, unanswered": {access.InvitationInvited, "ana@example.com", true, `action="/i/token/accept"`},
		"I16: theirs, accepted":  {access.InvitationAccepted, "ana@example.com", true, `href="/guest"`},
		"I3: somebody else's":    {access.InvitationInvited, "bea@example.com", false, "ask Ben O’Hara to invite bea@example.com instead"},
	} {
		v := view(t)
		v.State, v.SignedInAs, v.Theirs, v.Path = c.state, c.as, c.theirs, "/i/token"
		a := get(t, http.MethodGet, "en", invitation(v), "/i/token")
		if !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %q is not in:\n%s", name, c.want, a.body)
		}
		if answers := strings.Contains(a.body, "/accept"); answers != (c.theirs && c.state == access.InvitationInvited) {
			t.Errorf("%s: can be answered: %t", name, answers)
		}
	}
}

// A link that leads nowhere, or not yet, is not found and gives nothing away.
func TestInvitationPageUnknown(t *testing.T) {
	creating := view(t)
	creating.State = access.InvitationCreating
	for name, handler := range map[string]http.Handler{
		"unknown": http.HandlerFunc(web.InvitationNotFoundPage), "creating": invitation(creating),
	} {
		a := get(t, http.MethodGet, "ja-JP,ja;q=0.9", handler, "/i/nothing")
		if a.status != http.StatusNotFound || !strings.Contains(a.body, "招待が見つかりません") || strings.Contains(a.body, "Harbour") {
			t.Errorf("%s: %d\n%s", name, a.status, a.body)
		}
	}
}

// The guest's language is the record's, else the browser's, else English.
func TestInvitationPageLanguage(t *testing.T) {
	for _, c := range []struct{ locale, browser, want string }{
		{"ja", "en", "ja"}, {"", "ja-JP,en;q=0.5", "ja"}, {"", "fr", "en"}, {"en-GB", "ja", "en"}, {"fr", "ja", "ja"},
	} {
		v := view(t)
		v.Locale = c.locale
		a := get(t, http.MethodGet, c.browser, invitation(v), "/i/token")
		if !strings.Contains(a.body, `<html lang="`+c.want+`">`) || a.header.Get("Content-Language") != c.want {
			t.Errorf("record %q, browser %q: want %s, got %q", c.locale, c.browser, c.want, a.header.Get("Content-Language"))
		}
	}
}

// Names are shown, not obeyed.
func TestInvitationPageEscapes(t *testing.T) {
	v := view(t)
	v.InviterName, v.EntranceNames = `<script>alert(1)</script>`, []string{`"><img src=x>`}
	a := get(t, http.MethodGet, "en", invitation(v), "/i/token")
	if strings.Contains(a.body, "<script") || strings.Contains(a.body, "<img") {
		t.Error("a name became markup")
	}
}

// Every state is said in every language, and no language lacks a phrase.
func TestPhrases(t *testing.T) {
	var english []string
	for _, language := range []string{"en", "ja"} {
		var file map[string]any
		meta, err := toml.DecodeFile(filepath.Join("locales", language+".toml"), &file)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, key := range meta.Keys() {
			keys = append(keys, key.String())
		}
		slices.Sort(keys)
		if english == nil {
			english = keys
		}
		if !slices.Equal(keys, english) {
			t.Errorf("%s has the phrases %q, English has %q", language, keys, english)
		}
	}
	files, err := os.ReadDir("locales")
	if err != nil || len(files) != 2 {
		t.Errorf("%d message files (%v), want 2 compared here", len(files), err)
	}
}
