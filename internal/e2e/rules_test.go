package e2e

import (
	"context"
	"net/http"
	"regexp"
	"testing"
	"time"

	"latchkey/internal/story"
)

// TestRulesOnLiveAccess is a manager who changes the rules while guests have access,
// a guest who leaves, and a member who is removed: each holds at once, and everybody
// whom it concerns is told once, whatever happens to the engine meanwhile (I5, I12, I17).
func TestRulesOnLiveAccess(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	s.playSteps(play.Steps()[:11]) // until Rosa has been told that Ana unlocked from her phone
	app := play.Engine
	ask := func(method, path string, body any) story.Answer {
		t.Helper()
		return must(app.Do(t.Context(), method, path, "", body))(t)
	}
	invite := func(name, address string) string {
		t.Helper()
		return ask(http.MethodPost, "/v1/invitations", s.invitation(play, name, address, nil)).Body.Text("id")
	}
	unlock := func(id string) string {
		t.Helper()
		a := ask(http.MethodPost, "/v1/invitations/"+id+"/unlock", map[string]any{"entrance_id": play.Lobby})
		return a.Code() + a.Body.Text("result")
	}
	property := "/v1/properties/" + play.Property
	ben := invite("Ben", "ben@example.com")
	s.accepts(ben, "ben@example.com")
	cleo := invite("Cleo", "cleo@example.com")

	ask(http.MethodPost, property+"/lockdown", map[string]any{"on": true})
	if got := unlock(play.Invitation); got != "locked_down" {
		t.Errorf("I17: locked down, the door answers %s", got)
	}
	ask(http.MethodPost, property+"/lockdown", map[string]any{"on": false})
	if got := unlock(play.Invitation); got != "opened" {
		t.Errorf("I17: lifted, the door answers %s", got)
	}
	ask(http.MethodPatch, property, map[string]any{"policy": map[string]any{"verification": "none"}})
	if got := unlock(ben); got != "opened" {
		t.Errorf("I12: without verification, the door answers %s", got)
	}
	s.engine.kill()
	s.engine.start()
	s.heard(play, "access_rules_changed", map[string]int{play.GuestMail: 3, "ben@example.com": 3, "cleo@example.com": 2, play.HostMail: 3})

	ask(http.MethodPatch, property, map[string]any{"policy": map[string]any{"invitation_ttl": "1s"}})
	s.becomes(play, cleo, "expired", "")
	s.heard(play, "invitation_expired", map[string]int{play.HostMail: 1})
	ask(http.MethodPatch, property, map[string]any{"policy": map[string]any{"invitation_ttl": "336h"}})

	guest := s.signsIn(play, "ben@example.com")
	for range 2 {
		if a := must(guest.Post(t.Context(), "/v1/me/guest-keys/"+ben+"/leave", "", nil))(t); a.Body.Text("state") != "ended" {
			t.Errorf("I17: leaving is answered with %d %s", a.Status, a.Code())
		}
	}
	if got := unlock(ben); got != "not_active" {
		t.Errorf("I17: after leaving, the door answers %s", got)
	}
	s.heard(play, "invitation_left", map[string]int{play.HostMail: 1})

	rosa := ask(http.MethodGet, "/v1/invitations/"+play.Invitation, nil).Body.Text("inviter", "id")
	ines := ask(http.MethodPost, "/v1/members", map[string]any{"name": "Inés", "email": "ines@example.com", "role": "resident", "property_ids": []string{play.Property}}).Body.Text("id")
	preview := ask(http.MethodDelete, "/v1/members/"+rosa+"?preview=true", nil).Body.List("invitations")
	if len(preview) != 1 || preview[0].Text("id") != play.Invitation {
		t.Errorf("I17: the preview lists %v", preview)
	}
	if a := ask(http.MethodDelete, "/v1/members/"+rosa+"?move_to="+ines, nil); a.Status != http.StatusNoContent {
		t.Fatalf("I17: moving is answered with %d %s", a.Status, a.Code())
	}
	if got := unlock(play.Invitation); got != "opened" {
		t.Errorf("I17: moved, the door answers %s", got)
	}
	s.heard(play, "invitations_moved", map[string]int{"ines@example.com": 1})
	s.heard(play, "entrance_unlocked", map[string]int{"ines@example.com": 1, play.HostMail: 4})
	s.becomes(play, play.Invitation, "accepted", "invitation.edited") // its workflow has heard of it
	if a := ask(http.MethodDelete, "/v1/members/"+ines, nil); a.Status != http.StatusNoContent {
		t.Fatalf("I17: removing is answered with %d %s", a.Status, a.Code())
	}
	if got := unlock(play.Invitation); got != "not_active" {
		t.Errorf("I17: removed, the door answers %s", got)
	}
	s.becomes(play, play.Invitation, "revoked", "invitation.revoked")
	s.heard(play, "invitation_revoked", map[string]int{play.GuestMail: 1})
}

// heard waits until people have got as many messages of a template, and no others have
// any.
func (s *stage) heard(play *story.Story, template string, want map[string]int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var got map[string]int
	err := await(ctx, func() bool {
		answer, err := play.Engine.Get(ctx, "/dev/outbox")
		if err != nil {
			return false
		}
		got = map[string]int{}
		for _, m := range answer.Body.List("items") {
			if m.Text("template") == template {
				got[m.Text("to")]++
			}
		}
		for address, count := range want {
			if got[address] != count {
				return false
			}
		}
		return true
	})
	if err != nil || len(got) != len(want) {
		s.t.Errorf("%s went to %v, want %v", template, got, want)
	}
}

// becomes waits until an invitation is in a state and its log has an event, if one is
// named.
func (s *stage) becomes(play *story.Story, id, state, event string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	err := await(ctx, func() bool {
		shown, err := play.Engine.Get(ctx, "/v1/invitations/"+id)
		if err != nil || shown.Body.Text("state") != state || event == "" {
			return err == nil && shown.Body.Text("state") == state
		}
		log, err := play.Engine.Get(ctx, "/v1/events?item_id="+id+"&type="+event)
		return err == nil && len(log.Body.List("items")) == 1
	})
	if err != nil {
		s.t.Errorf("%s did not become %s with %q", id, state, event)
	}
}

var signInCode = regexp.MustCompile(`\b\d{6}\b`)

// signsIn signs a person in by the first code that is sent to them.
func (s *stage) signsIn(play *story.Story, address string) *story.Client {
	s.t.Helper()
	ctx := s.t.Context()
	asked := must(play.Engine.As("").Post(ctx, "/v1/sign-in/code", "", map[string]any{"email": address}))(s.t)
	s.heard(play, "sign_in_code", map[string]int{play.GuestMail: 1, "bob@example.net": 1, address: 1}) // those of the story, and this one
	codes := must(play.Messages(ctx, address, "sign_in_code"))(s.t)
	answer := must(play.Engine.As("").Post(ctx, "/v1/sign-in", "", map[string]any{
		"attempt": asked.Body.Text("attempt"), "code": signInCode.FindString(codes[0].Text("text")),
	}))(s.t)
	return play.Engine.As(answer.Body.Text("token"))
}
