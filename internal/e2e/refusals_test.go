package e2e

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/panel"
	"latchkey/internal/story"
)

// TestE6Refusals sends what is wrong: each is refused with its code, and nothing
// has changed afterwards.
func TestE6Refusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	for _, step := range play.Steps()[:6] { // accepted and confirmed
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := step.Play(ctx); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
		cancel()
	}
	app := play.Engine
	closed := must(app.Post(t.Context(), "/v1/entrances", "", map[string]any{
		"property_id": play.Property, "panel_id": panelOf(t, app), "name": "Roof", "shareable": false,
	}))(t).Body.Text("id")
	state := func() string {
		invitations := must(app.Get(t.Context(), "/v1/invitations"))(t)
		events := must(app.Get(t.Context(), "/v1/events?limit=200"))(t)
		text, err := json.Marshal([]any{invitations.Body, len(events.Body.List("items"))})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	invitation := func(change map[string]any) map[string]any {
		body := map[string]any{
			"property_id": play.Property, "inviter": map[string]any{"name": "Rosa", "email": play.HostMail},
			"guest": map[string]any{"name": "Ben", "email": "ben@example.com"}, "entrance_ids": []string{play.Lobby},
		}
		for name, value := range change {
			body[name] = value
		}
		return body
	}
	before := state()
	cases := []struct {
		name   string
		app    *story.Client
		body   map[string]any
		status int
		code   string
	}{
		{"no key", app.As(""), invitation(nil), http.StatusUnauthorized, "unauthorized"},
		{"wrong key", app.As("lk_wrong"), invitation(nil), http.StatusUnauthorized, "unauthorized"},
		{"end before start", app, invitation(map[string]any{"starts_at": "2030-01-02T00:00", "ends_at": "2030-01-01T00:00"}), http.StatusUnprocessableEntity, "invalid_window"},
		{"end in the past", app, invitation(map[string]any{"ends_at": "2020-01-01T00:00"}), http.StatusUnprocessableEntity, "invalid"},
		{"a time that is none", app, invitation(map[string]any{"ends_at": "tomorrow"}), http.StatusUnprocessableEntity, "invalid"},
		{"not shareable", app, invitation(map[string]any{"entrance_ids": []string{closed}}), http.StatusUnprocessableEntity, "entrance_not_shareable"},
		{"unknown entrance", app, invitation(map[string]any{"entrance_ids": []string{"ent_of_somebody_else"}}), http.StatusNotFound, "not_found"},
		{"unknown property", app, invitation(map[string]any{"property_id": "prop_of_somebody_else"}), http.StatusNotFound, "not_found"},
		{"an email that is none", app, invitation(map[string]any{"guest": map[string]any{"name": "Ben", "email": "ben at example"}}), http.StatusUnprocessableEntity, "invalid"},
		{"an unknown field", app, invitation(map[string]any{"colour": "red"}), http.StatusUnprocessableEntity, "invalid"},
		{"10 MB", app, invitation(map[string]any{"guest": map[string]any{"name": strings.Repeat("x", 10<<20), "email": "ben@example.com"}}), http.StatusRequestEntityTooLarge, "body_too_large"},
	}
	for _, c := range cases {
		answer, err := c.app.Post(t.Context(), "/v1/invitations", "", c.body)
		if err != nil || answer.Status != c.status || answer.Code() != c.code || answer.Body.Text("detail") == "" {
			t.Errorf("%s: answered %d %s %q, %v; want %d %s", c.name, answer.Status, answer.Code(), answer.Body.Text("detail"), err, c.status, c.code)
		}
	}
	s.checkPanelMessages(play)
	if after := state(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	// A tap token that could open nothing yet is refused with the reason (I1, I9).
	path := "/v1/invitations/" + play.Invitation
	moved := must(app.Do(t.Context(), http.MethodPatch, path, "", map[string]any{"starts_at": "2099-01-01T10:00", "ends_at": "2099-01-02T10:00"}))(t)
	token := must(app.Post(t.Context(), path+"/verification", "", nil))(t)
	if moved.Status != http.StatusOK || token.Status != http.StatusForbidden || token.Code() != "outside_window" || token.Body.Text("from") == "" {
		t.Errorf("a tap token before the window: edit %d, token %d %s from %q", moved.Status, token.Status, token.Code(), token.Body.Text("from"))
	}
}

func panelOf(t *testing.T, app *story.Client) string {
	t.Helper()
	return must(app.Get(t.Context(), "/v1/panels"))(t).Body.List("items")[0].Text("id")
}

// checkPanelMessages sends the engine messages in a panel's name: forged, meant for
// somebody else, expired, and one that is good but sent twice (P1).
func (s *stage) checkPanelMessages(play *story.Story) {
	s.t.Helper()
	id, key := s.stolenIdentity("Garage")
	_, forger, err := ed25519.GenerateKey(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now()
	batch := panel.EventBatch{BootID: "boot-of-a-thief", Events: []panel.Event{}}
	sign := func(key ed25519.PrivateKey, audience string, at time.Time) string {
		token, _, err := panel.Signer{Name: id, Key: key}.Sign(audience, panel.TypeEvents, "", batch, at)
		if err != nil {
			s.t.Fatal(err)
		}
		return token
	}
	good := sign(key, panel.EngineName, now)
	for _, c := range []struct{ name, token, code string }{
		{"forged", sign(forger, panel.EngineName, now), "bad_signature"},
		{"for another receiver", sign(key, "pan_other", now), "wrong_audience"},
		{"expired", sign(key, panel.EngineName, now.Add(-time.Hour)), "expired_message"},
		{"no message at all", "hello", "malformed"},
		{"good", good, ""},
		{"replayed", good, "replayed"},
	} {
		if code := s.sendAsPanel(c.token); code != c.code {
			s.t.Errorf("P1: a message that is %s is answered with %q, want %q", c.name, code, c.code)
		}
	}
	// The panel itself refuses what the engine did not sign.
	for _, path := range []string{"/commands", "/grants/" + play.Invitation} {
		method := http.MethodPost
		if path != "/commands" {
			method = http.MethodPut
		}
		token, _, err := panel.Signer{Name: panel.EngineName, Key: forger}.Sign(id, panel.TypeCommand, "", panel.Command{CommandID: "cmd_thief", Op: panel.OpUnlock}, now)
		if err != nil {
			s.t.Fatal(err)
		}
		if code := send(s.t, method, play.GaragePanel.URL+path, token); code != "bad_signature" {
			s.t.Errorf("P1: the panel answers a forged %s with %q", path, code)
		}
	}
}

// stolenIdentity reads a panel's id and key from its state.
func (s *stage) stolenIdentity(name string) (id string, key ed25519.PrivateKey) {
	s.t.Helper()
	document, err := os.ReadFile(filepath.Join(s.dir, name+".panel"))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(document)) {
		var entry struct {
			Identity struct {
				PanelID string `json:"panel_id"`
				Key     []byte `json:"key"`
			} `json:"identity"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Identity.PanelID != "" {
			return entry.Identity.PanelID, ed25519.NewKeyFromSeed(entry.Identity.Key)
		}
	}
	s.t.Fatalf("no identity in the state of %s", name)
	return "", nil
}

func (s *stage) sendAsPanel(token string) (code string) {
	return send(s.t, http.MethodPost, s.url+"/panel/v1/events", token)
}

// send posts a signed message and gives the code of the refusal, empty if it was taken.
func send(t *testing.T, method, url, token string) (code string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(token))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", panel.ContentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if response.StatusCode == http.StatusOK {
		return ""
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(document, &problem); err != nil {
		t.Fatalf("%s: %s", response.Status, document)
	}
	return problem.Code
}
