package e2e

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/story"
)

// browser is a person's, without JavaScript.
type browser struct {
	*stage
	ctx    context.Context
	client *http.Client
}

func (s *stage) browser(ctx context.Context) *browser {
	jar := must(cookiejar.New(nil))(s.t)
	return &browser{stage: s, ctx: ctx, client: &http.Client{Jar: jar, Timeout: 15 * time.Second}}
}

// send asks for a page, or sends a form, and follows where it leads.
func (b *browser) send(method, at string, form url.Values) (status int, path, text string) {
	b.t.Helper()
	request := must(http.NewRequestWithContext(b.ctx, method, b.url+at, strings.NewReader(form.Encode())))(b.t)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response := must(b.client.Do(request))(b.t)
	content := must(io.ReadAll(response.Body))(b.t)
	if err := response.Body.Close(); err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, response.Request.URL.Path, html.UnescapeString(string(content))
}

func (b *browser) expect(status int, text string, want int, says string) {
	b.t.Helper()
	if status != want || !strings.Contains(text, says) {
		b.t.Fatalf("the page answers %d, want %d and %q in\n%s", status, want, says, text)
	}
}

var attemptField = regexp.MustCompile(`name="attempt" value="([^"]+)"`)
var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// signIn signs in with the code from the mail and is led on.
func (b *browser) signIn(play *story.Story, address, next string) (path, text string) {
	b.t.Helper()
	before := len(must(play.Messages(b.ctx, address, "sign_in_code"))(b.t))
	_, _, page := b.send(http.MethodPost, "/sign-in/code", url.Values{"email": {address}, "next": {next}})
	attempt := attemptField.FindStringSubmatch(page)
	if attempt == nil {
		b.t.Fatalf("the page asks for no code:\n%s", page)
	}
	var code string
	err := await(b.ctx, func() bool {
		sent := must(play.Messages(b.ctx, address, "sign_in_code"))(b.t)
		if len(sent) > before {
			code = sixDigits.FindString(sent[0].Text("text"))
		}
		return code != ""
	})
	if err != nil {
		b.t.Fatal("no code arrived")
	}
	_, path, text = b.send(http.MethodPost, "/sign-in", url.Values{"attempt": {attempt[1]}, "code": {code}, "email": {address}, "next": {next}})
	return path, text
}

// TestGuestPages is the story of an invitation in a browser without JavaScript: a link
// that nobody answers by looking at it (I2), the wrong account (I3), accepting (I4),
// the guest keys (I6, I16), verification (I9), unlocking (I7), a reload that opens
// nothing again (E2) and leaving (I17).
func TestGuestPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(5*time.Minute, time.Minute)
	s.playSteps(play.Steps()[:3])
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	mail := must(play.Messages(ctx, play.GuestMail, "invitation"))(t)[0]
	link := must(url.Parse(regexp.MustCompile(`https?://\S+/i/\S+`).FindString(mail.Text("text"))))(t).Path

	wrong := s.browser(ctx)
	status, _, text := wrong.send(http.MethodGet, link, nil)
	wrong.expect(status, text, http.StatusOK, "Rosa Marques")
	status, path, _ := wrong.send(http.MethodPost, link+"/accept", nil)
	if path != "/sign-in" {
		t.Fatalf("somebody who is not signed in is led to %s (%d)", path, status)
	}
	if path, text = wrong.signIn(play, "bob@example.net", link); path != link || !strings.Contains(text, "invite bob@example.net instead") || strings.Contains(text, link+"/accept") {
		t.Fatalf("I3: at %s the wrong account reads\n%s", path, text)
	}
	wrong.send(http.MethodPost, link+"/accept", nil)
	if state := must(play.Engine.Get(ctx, "/v1/invitations/"+play.Invitation))(t).Body.Text("state"); state != "invited" {
		t.Fatalf("I3: after looking and the wrong account the invitation is %s", state)
	}

	ana := s.browser(ctx)
	if path, text = ana.signIn(play, play.GuestMail, link); path != link || !strings.Contains(text, link+"/accept") {
		t.Fatalf("I4: at %s Ana reads\n%s", path, text)
	}
	status, path, text = ana.send(http.MethodPost, link+"/accept", nil)
	if path != "/guest" {
		t.Fatalf("I16: after accepting she is led to %s", path)
	}
	ana.expect(status, text, http.StatusOK, "The glass door on the quay side")
	ana.expect(status, text, http.StatusOK, "Your phone cannot tap?")
	key := "/guest/" + play.Invitation
	unlock := func(press string) (int, string) {
		status, _, text := ana.send(http.MethodPost, key+"/unlock", url.Values{"entrance_id": {play.Lobby}, "press": {press}})
		return status, text
	}
	status, text = unlock("first")
	ana.expect(status, text, http.StatusForbidden, "please verify on site first")

	tap := func(panel *story.Client, entrance string) string {
		t.Helper()
		status, _, page := ana.send(http.MethodPost, key+"/verification", nil)
		ana.expect(status, page, http.StatusOK, "Ready to tap")
		token := regexp.MustCompile(`tap_[A-Za-z0-9_-]+`).FindString(page)
		must(panel.Post(ctx, "/sim/tap", "", map[string]any{"tap_token": token, "entrance_id": entrance}))(t)
		_, _, page = ana.send(http.MethodGet, key+"/verification", nil)
		return page
	}
	if page := tap(play.GaragePanel, play.Garage); !strings.Contains(page, "Not one of your entrances") || !strings.Contains(page, "The glass door on the quay side") {
		t.Fatalf("I9: at the wrong entrance she reads\n%s", page)
	}
	if page := tap(play.LobbyPanel, play.Lobby); !strings.Contains(page, "You are verified, and the door opened") {
		t.Fatalf("I9: at the right entrance she reads\n%s", page)
	}
	for range 2 { // the second is a reload
		status, text = unlock("second")
		ana.expect(status, text, http.StatusOK, "Lobby is open.")
	}
	if opened := must(play.LobbyPanel.Get(ctx, "/sim"))(t).Body.List("opened"); len(opened) != 2 {
		t.Errorf("E2: a tap, an unlock and a reload opened the door %d times", len(opened))
	}

	// E8: of a door that is not hers she learns no more than that it does not open.
	status, _, text = ana.send(http.MethodPost, key+"/unlock", url.Values{"entrance_id": {play.Garage}, "press": {"garage"}})
	if status != http.StatusForbidden || strings.Contains(text, "Garage") {
		t.Errorf("another door answers %d\n%s", status, text)
	}

	status, _, text = ana.send(http.MethodPost, key+"/leave", nil)
	ana.expect(status, text, http.StatusOK, "No guest keys yet")
	status, text = unlock("third")
	if status != http.StatusForbidden {
		t.Errorf("I17: after she left the door answers %d\n%s", status, text)
	}
}
