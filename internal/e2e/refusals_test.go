package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/keyset"
	"latchkey/internal/store"
	"latchkey/internal/story"
)

// TestE6Refusals sends what is wrong: each is refused with its code and a sentence,
// and nothing has changed afterwards.
func TestE6Refusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	s.playSteps(play.Steps()[:6]) // accepted and confirmed
	app := play.Engine
	closed := must(app.Post(t.Context(), "/v1/entrances", "", map[string]any{
		"property_id": play.Property, "panel_id": s.panels["Garage"].id, "name": "Roof", "shareable": false,
	}))(t).Body.Text("id")
	other := app.As(s.otherAccount())
	if seen := must(other.Get(t.Context(), "/v1/invitations"))(t); seen.Status != http.StatusOK || len(seen.Body.List("items")) != 0 {
		t.Errorf("E8: another account sees %v", seen.Body)
	}
	ben := func(change map[string]any) map[string]any {
		return s.invitation(play, "Ben", "ben@example.com", change)
	}
	invitations, mine := "/v1/invitations", "/v1/invitations/"+play.Invitation

	people := func() int { return ask[int](t, s.cluster().AdminDSN("latchkey"), `SELECT count(*) FROM people`) }
	before, persons := s.records(), people()
	for _, c := range []struct {
		name, path string
		app        *story.Client
		body       any
		status     int
		code       string
	}{
		{"no key", invitations, app.As(""), ben(nil), http.StatusUnauthorized, "unauthorized"},
		{"wrong key", invitations, app.As("lk_wrong"), ben(nil), http.StatusUnauthorized, "unauthorized"},
		{"another account's property", invitations, other, ben(nil), http.StatusNotFound, "not_found"},
		{"another account revokes", mine + "/revoke", other, nil, http.StatusNotFound, "not_found"},
		{"another account accepts", mine + "/accept", other, map[string]any{"guest_email": play.GuestMail}, http.StatusNotFound, "not_found"},
		{"another account unlocks", mine + "/unlock", other, map[string]any{"entrance_id": play.Lobby}, http.StatusNotFound, "not_found"},
		{"another account verifies", mine + "/verification", other, nil, http.StatusNotFound, "not_found"},
		{"end before start", invitations, app, ben(map[string]any{"starts_at": "2050-01-02T00:00", "ends_at": "2050-01-01T00:00"}), http.StatusUnprocessableEntity, "invalid_window"},
		{"end in the past", invitations, app, ben(map[string]any{"ends_at": "2020-01-01T00:00"}), http.StatusUnprocessableEntity, "invalid"},
		{"a time that is none", invitations, app, ben(map[string]any{"ends_at": "tomorrow"}), http.StatusUnprocessableEntity, "invalid"},
		{"not shareable", invitations, app, ben(map[string]any{"entrance_ids": []string{closed}}), http.StatusUnprocessableEntity, "entrance_not_shareable"},
		{"no entrance", invitations, app, ben(map[string]any{"entrance_ids": []string{}}), http.StatusUnprocessableEntity, "invalid"},
		{"unknown entrance", invitations, app, ben(map[string]any{"entrance_ids": []string{"ent_unknown"}}), http.StatusNotFound, "not_found"},
		{"an email that is none", invitations, app, ben(map[string]any{"guest": map[string]any{"name": "Ben", "email": "ben at example"}}), http.StatusUnprocessableEntity, "invalid"},
		{"an inviter's email that is none", invitations, app, ben(map[string]any{"inviter": map[string]any{"name": "Rosa", "email": "@"}}), http.StatusUnprocessableEntity, "invalid"},
		{"an unknown field", invitations, app, ben(map[string]any{"colour": "red"}), http.StatusUnprocessableEntity, "invalid"},
		{"10 MB", invitations, app, ben(map[string]any{"guest": map[string]any{"name": strings.Repeat("x", 10<<20), "email": "ben@example.com"}}), http.StatusRequestEntityTooLarge, "body_too_large"},
		{"the wrong address accepts", mine + "/accept", app, map[string]any{"guest_email": "bob@example.net"}, http.StatusForbidden, "email_mismatch"},
		{"declining what was accepted", mine + "/decline", app, map[string]any{"guest_email": play.GuestMail}, http.StatusConflict, "already_accepted"},
		{"unlocking an entrance that does not exist", mine + "/unlock", app, map[string]any{"entrance_id": "ent_unknown"}, http.StatusNotFound, "not_found"},
		{"a wrong sign-in code", "/v1/sign-in", app.As(""), map[string]any{"attempt": "sia_unknown", "code": "123456"}, http.StatusUnauthorized, "invalid_code"},
	} {
		answer, err := c.app.Post(t.Context(), c.path, "", c.body)
		if err != nil || answer.Status != c.status || answer.Code() != c.code || answer.Body.Text("detail") == "" {
			t.Errorf("%s: answered %d %s %q, %v; want %d %s", c.name, answer.Status, answer.Code(), answer.Body.Text("detail"), err, c.status, c.code)
		}
	}
	if a := must(other.Get(t.Context(), mine))(t); a.Status != http.StatusNotFound {
		t.Errorf("E8: another account's id is answered with %d", a.Status)
	}
	s.checkPanelMessages(play)
	if after := s.records(); after != before || people() != persons {
		t.Errorf("E6: something changed:\n%s\n%s", before, after)
	}
	s.checkSpentToken(play)
}

// otherAccount is the admin key of a second tenant.
func (s *stage) otherAccount() (key string) {
	s.t.Helper()
	_, err := s.store().CreateAccount(s.t.Context(), "Another tenant", func(secret string) error {
		key = secret
		return nil
	}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// store opens the running engine's database with the engine's own keys.
func (s *stage) store() *store.Store {
	s.t.Helper()
	keys := must(keyset.Load(filepath.Join(s.data, "keyset.json")))(s.t)
	opened := must(store.Open(s.t.Context(), s.cluster().DSN("latchkey"), keys))(s.t)
	s.t.Cleanup(opened.Close)
	return opened
}

// records is a digest of all that a refused request must not touch, table by table.
func (s *stage) records() string {
	s.t.Helper()
	return ask[string](s.t, s.cluster().AdminDSN("latchkey"), `SELECT concat_ws(', ',
		(SELECT 'invitations ' || count(*) || ' ' || md5(string_agg(t::text, '|' ORDER BY id)) FROM invitations t),
		(SELECT 'members ' || count(*) || ' ' || md5(string_agg(t::text, '|' ORDER BY id)) FROM members t),
		(SELECT 'entrances ' || count(*) || ' ' || md5(string_agg(t::text, '|' ORDER BY id)) FROM entrances t),
		(SELECT 'grants ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY grant_id, panel_id)), '') FROM grants t),
		(SELECT 'panels ' || count(*) || ' ' || md5(string_agg(id || encode(coalesce(public_key, ''), 'hex') || address, '|' ORDER BY id)) FROM panels),
		'messages ' || (SELECT count(*) FROM messages),
		'commands ' || (SELECT count(*) FROM commands), 'events ' || (SELECT string_agg(type, ' ' ORDER BY id) FROM events WHERE type <> 'message.sent'))`)
}

// checkSpentToken holds a tap token to the panel twice (I9): the second time nothing
// opens and nothing changes.
func (s *stage) checkSpentToken(play *story.Story) {
	s.t.Helper()
	token := must(play.Engine.Post(s.t.Context(), "/v1/invitations/"+play.Invitation+"/verification", "", nil))(s.t).Body.Text("tap_token")
	hold := func() string {
		s.t.Helper()
		return must(play.LobbyPanel.Post(s.t.Context(), "/sim/tap", "", map[string]any{"tap_token": token, "entrance_id": play.Lobby}))(s.t).Body.Text("result")
	}
	if result := hold(); result != "verified" {
		s.t.Fatalf("I9: the tap is answered with %q", result)
	}
	if err := await(s.t.Context(), func() bool { return len(s.opened(play)) == 1 }); err != nil {
		s.t.Fatal(err)
	}
	before := s.records()
	if result := hold(); result != "expired" {
		s.t.Errorf("I9: the same token is answered with %q again", result)
	}
	if after := s.records(); after != before {
		s.t.Errorf("I9: a spent token changed something:\n%s\n%s", before, after)
	}
	if opened := must(play.LobbyPanel.Get(s.t.Context(), "/sim"))(s.t).Body.List("opened"); len(opened) != 1 {
		s.t.Errorf("I9: the door opened %d times", len(opened))
	}
}
