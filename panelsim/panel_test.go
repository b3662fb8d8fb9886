package panelsim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/panel"
)

func grant(revision int64, entrances ...string) panel.Grant {
	return panel.Grant{GrantID: "inv_1", Kind: "invitation", Revision: revision, EntranceIDs: entrances}
}

// P1: a panel enrols once, is told what to hold, and is itself again after a
// restart of its process.
func TestEnrolment(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	e.grants = []panel.Grant{grant(2, "ent_1")}
	e.fail("/panel/v1/enrol", 2) // answers are lost; the same request is repeated
	s := e.start(e.code, file)
	first := s.state()
	if first.Kind != "door" || first.PanelID != "pan_1" || len(first.Entrances) != 2 || len(first.Grants) != 1 {
		t.Errorf("the panel is %+v", first)
	}
	if e.address != s.panel.URL() || e.enrolled != 3 {
		t.Errorf("it announced %q and enrolled %d times", e.address, e.enrolled)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state file is %v (%v)", info, err)
	}
	key := e.panelKey
	s.stop()
	again := e.start("", file).state()
	if again.PanelID != "pan_1" || again.BootID == first.BootID || len(again.Grants) != 1 || e.enrolled != 3 || !key.Equal(e.panelKey) {
		t.Errorf("after a restart it is %+v, enrolled %d times", again, e.enrolled)
	}
}

// P1: a panel does not believe an engine that its code was not made by, and stops
// when its code is refused.
func TestEnrolmentRefused(t *testing.T) {
	e, other := startEngine(t), startEngine(t)
	t.Run("another engine's fingerprint", func(t *testing.T) {
		file := stateFile(t)
		e.code = other.code // the engine in between knows the code and has its own key
		p, err := newPanel(e, other.code, file)
		if err != nil {
			t.Fatal(err)
		}
		refusal, ok := panel.AsError(p.Run(t.Context()))
		if !ok || refusal.Code != panel.CodeBadSignature {
			t.Errorf("it ended with %v", refusal)
		}
		if _, err := newPanel(e, "", file); err == nil {
			t.Error("the panel believes that it has enrolled")
		}
	})
	t.Run("a code that is not valid", func(t *testing.T) {
		p, err := newPanel(e, e.newCode(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not valid") {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("no code", func(t *testing.T) {
		if _, err := newPanel(e, "", ""); err == nil || !strings.Contains(err.Error(), "--enrol") {
			t.Errorf("it began with %v", err)
		}
	})
}

// A panel that is given another code enrols again, and holds nothing of the panel
// that it was.
func TestEnrolmentWithANewCode(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	e.grants = []panel.Grant{grant(2, "ent_1")}
	old := e.code
	e.start(old, file).stop()
	if e.start(old, file).stop(); e.enrolled != 1 {
		t.Errorf("the same code enrolled %d times", e.enrolled)
	}
	e.code, e.panelID, e.grants = e.newCode(), "pan_2", nil
	if s := e.start(e.code, file).state(); s.PanelID != "pan_2" || len(s.Grants) != 0 || e.enrolled != 2 {
		t.Errorf("the panel is %+v, enrolled %d times", s, e.enrolled)
	}
}

// P4: a command opens once, however often it comes, and is reported.
func TestCommandOpensOnce(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	c := s.command("cmd_1")
	first := s.send(c)
	c.ExpiresAt = time.Now().Add(-time.Hour)
	if again := s.send(c); first.Result != panel.ResultOpened || again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
	s.wantOpened("cmd_1")
	if state := s.state(); !state.Entrances[0].Open || state.Entrances[1].Open {
		t.Errorf("the doors are %+v", state.Entrances)
	}
	if o := s.state().Opened[0]; o.EntranceID != "ent_1" || o.GrantID != "inv_1" || o.Via != "command" || !o.At.Equal(first.At) {
		t.Errorf("it shows %+v", o)
	}
	await(t, "the engine has heard of it", func() bool { return slices.Equal(e.reported(), []string{"opened cmd_1 "}) })
	await(t, "nothing is left to send", func() bool { return s.state().Unsent == 0 })
}

// P2, P4: what a panel refuses by what it knows itself.
func TestCommandsThatOpenNothing(t *testing.T) {
	now := time.Now()
	hourAgo, inAnHour := now.Add(-time.Hour), now.Add(time.Hour)
	from := func(g panel.Grant, start, end *time.Time) *panel.Grant { g.StartsAt, g.EndsAt = start, end; return &g }
	tombstone := func(revision int64) *panel.Grant {
		return &panel.Grant{GrantID: "inv_1", Kind: "invitation", Revision: revision, EntranceIDs: []string{}, Tombstone: true}
	}
	same := func(*panel.Command) {}
	tests := []struct {
		name   string
		held   *panel.Grant
		change func(*panel.Command)
		want   panel.Result
	}{
		{"no grant is held", nil, same, panel.ResultOpened},
		{"the same revision, inside the window", from(grant(2, "ent_1"), &hourAgo, &inAnHour), same, panel.ResultOpened},
		{"an older revision is held", from(grant(1, "ent_2"), &inAnHour, nil), same, panel.ResultOpened},
		{"expired", nil, func(c *panel.Command) { c.ExpiresAt = now }, panel.ResultExpired},
		{"for an earlier boot", nil, func(c *panel.Command) { c.BootID = "earlier" }, panel.ResultStaleBoot},
		{"without a boot", nil, func(c *panel.Command) { c.BootID = "" }, panel.ResultStaleBoot},
		{"a newer revision is held", from(grant(3, "ent_1"), nil, nil), same, panel.ResultStaleRevision},
		{"a tombstone is held", tombstone(2), same, panel.ResultStaleRevision},
		{"an older tombstone is held", tombstone(1), same, panel.ResultStaleRevision},
		{"before the window", from(grant(2, "ent_1"), &inAnHour, nil), same, panel.ResultOutsideWindow},
		{"after the window", from(grant(2, "ent_1"), nil, &hourAgo), same, panel.ResultOutsideWindow},
		{"an entrance that is not in the grant", from(grant(2, "ent_2"), nil, nil), same, panel.ResultNotShared},
		{"an entrance that is not here", nil, func(c *panel.Command) { c.EntranceID = "ent_9" }, panel.ResultNotShared},
		{"a slot at a door", nil, func(c *panel.Command) { c.Op, c.EntranceID, c.Slot = panel.OpOpenSlot, "", 1 }, panel.ResultNotShared},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := startEngine(t)
			s := e.start(e.code, "")
			if tt.held != nil {
				s.put(*tt.held)
			}
			c := s.command("cmd_1")
			tt.change(&c)
			result := s.send(c)
			if result.Result != tt.want {
				t.Errorf("%s, want %s", result.Result, tt.want)
			}
			if tt.want == panel.ResultOpened {
				s.wantOpened("cmd_1")
				return
			}
			s.wantOpened()
			if d := s.state().Denied; len(d) != 1 || d[0].Code != string(tt.want) || result.Reason == "" {
				t.Errorf("it shows %+v, because %q", d, result.Reason)
			}
			await(t, "the engine has heard of it", func() bool { return slices.Equal(e.reported(), []string{"denied cmd_1 " + string(tt.want)}) })
		})
	}
}

// P4: a refusal is final for its id, even when its cause is gone.
func TestARefusedCommandStaysRefused(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	s.fault("refuse", "")
	c := s.command("cmd_1")
	first := s.send(c)
	s.fault("none", "")
	if again := s.send(c); first.Result != panel.ResultRefused || again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
	s.wantOpened()
}

// P1: what is not the engine's own fresh message to this panel is refused with its
// code and changes nothing.
func TestMessagesThatAreRefused(t *testing.T) {
	e, other := startEngine(t), startEngine(t)
	s := e.start(e.code, "")
	signed := func(by panel.Signer, to string, typ panel.Type, at time.Time) string {
		token, _, err := by.Sign(to, typ, "", s.command("cmd_1"), at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	now, engine := time.Now(), e.identity.Signer()
	tests := []struct {
		name, token string
		code        panel.Code
	}{
		{"forged", signed(other.identity.Signer(), "pan_1", panel.TypeCommand, now), panel.CodeBadSignature},
		{"for another panel", signed(engine, "pan_2", panel.TypeCommand, now), panel.CodeWrongAudience},
		{"of another type", signed(engine, "pan_1", panel.TypeGrant, now), panel.CodeWrongType},
		{"old", signed(engine, "pan_1", panel.TypeCommand, now.Add(-time.Hour)), panel.CodeExpiredMessage},
		{"too large", strings.Repeat("a", panel.MaxMessage+1), panel.CodeTooLarge},
		{"not signed", `{"command_id":"cmd_1"}`, panel.CodeMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, text := post(t, s.panel.URL()+"/commands", panel.ContentType, tt.token); status != http.StatusBadRequest || !strings.Contains(text, `"code":"`+string(tt.code)+`"`) {
				t.Errorf("status %d, %s", status, text)
			}
			s.wantOpened()
		})
	}
	t.Run("replayed", func(t *testing.T) {
		token := signed(engine, "pan_1", panel.TypeCommand, now)
		if status, text := post(t, s.panel.URL()+"/commands", panel.ContentType, token); status != http.StatusOK {
			t.Fatalf("status %d, %s", status, text)
		}
		if status, text := post(t, s.panel.URL()+"/commands", panel.ContentType, token); status != http.StatusBadRequest || !strings.Contains(text, `"code":"replayed"`) {
			t.Errorf("status %d, %s", status, text)
		}
		s.wantOpened("cmd_1")
	})
}

func post(t *testing.T, url, media, body string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", media)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(document)
}

// P3: grants are applied by revision, acknowledged with what is held, and kept.
func TestGrantsByRevision(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	s := e.start(e.code, file)
	for _, step := range []struct{ sent, held int64 }{{5, 5}, {4, 5}, {5, 5}, {7, 7}, {6, 7}} {
		if got := s.put(grant(step.sent, "ent_1")); got != step.held {
			t.Errorf("revision %d is acknowledged as %d, want %d", step.sent, got, step.held)
		}
	}
	tombstone := grant(8)
	tombstone.Tombstone = true
	s.put(tombstone)
	s.put(grant(7, "ent_1"))
	s.stop()
	held := e.start("", file).state().Grants
	if len(held) != 1 || held[0].Revision != 8 || !held[0].Tombstone {
		t.Errorf("after a restart it holds %+v", held)
	}
}

// P4: an id that a process acted on is known to the next one.
func TestSeenIdsSurviveTheProcess(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	s := e.start(e.code, file)
	c := s.command("cmd_1")
	first := s.send(c)
	s.stop()
	s = e.start("", file)
	if again := s.send(c); again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
	s.wantOpened("cmd_1")
	if result := s.send(panel.Command{CommandID: "cmd_2", Op: c.Op, EntranceID: c.EntranceID, GrantID: c.GrantID, GrantRevision: 2, BootID: c.BootID, ExpiresAt: c.ExpiresAt}); result.Result != panel.ResultStaleBoot {
		t.Errorf("a command for the boot before: %s", result.Result)
	}
}

// P4: an acknowledgement that is lost leaves the outcome unknown, and the same id
// finds it out without opening again.
func TestLostAcknowledgement(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	c := s.command("cmd_1")
	s.fault("lose_ack", "")
	if _, err := e.client.Command(t.Context(), s.target(), c); !errors.Is(err, panel.ErrOutcomeUnknown) {
		t.Errorf("the error is %v", err)
	}
	s.fault("none", "")
	if result := s.send(c); result.Result != panel.ResultOpened {
		t.Errorf("the result is %s", result.Result)
	}
	s.wantOpened("cmd_1")
}

// The other faults do what API.md says.
func TestFaults(t *testing.T) {
	t.Run("offline", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		c := s.command("cmd_1")
		s.fault("offline", "")
		if _, err := e.client.Command(t.Context(), s.target(), c); !errors.Is(err, panel.ErrOutcomeUnknown) || s.state().Online {
			t.Errorf("the error is %v, online: %t", err, s.state().Online)
		}
		s.control(http.MethodPost, "/sim/tap", map[string]string{"tap_token": "token", "entrance_id": "ent_1"}, http.StatusBadGateway, new(any))
		s.wantOpened()
		s.fault("none", "")
		await(t, "it is online", func() bool { return s.state().Online })
	})
	t.Run("slow, and the command has expired by then", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		s.fault("slow", "200ms")
		c := s.command("cmd_1")
		c.ExpiresAt = time.Now().Add(100 * time.Millisecond)
		if result := s.send(c); result.Result != panel.ResultExpired {
			t.Errorf("the result is %s", result.Result)
		}
	})
	t.Run("slow, and the engine has given up by then", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		s.fault("slow", "200ms")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := e.client.Command(ctx, s.target(), s.command("cmd_1")); err == nil {
			t.Error("there was an answer")
		}
		await(t, "the door is open all the same", func() bool { return len(s.state().Opened) == 1 })
	})
	t.Run("clock_skew", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		c := s.command("cmd_1")
		s.fault("clock_skew", "20s")
		if result := s.send(c); result.Result != panel.ResultExpired {
			t.Errorf("a command of 10 seconds on a clock that is 20 ahead: %s", result.Result)
		}
		s.fault("clock_skew", "1h")
		if _, err := e.client.Command(t.Context(), s.target(), s.command("cmd_2")); err == nil {
			t.Error("a clock that is an hour ahead accepted a message")
		}
	})
	t.Run("for a time", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		s.control(http.MethodPost, "/sim/fault", map[string]string{"mode": "clock_skew", "value": "1h", "for": "50ms"}, http.StatusOK, new(simState))
		await(t, "the clock is right again", func() bool { return time.Until(s.state().Clock) < time.Minute })
		if result := s.send(s.command("cmd_1")); result.Result != panel.ResultOpened {
			t.Errorf("the result is %s", result.Result)
		}
	})
	t.Run("bad input", func(t *testing.T) {
		e := startEngine(t)
		s := e.start(e.code, "")
		for _, body := range []map[string]string{{"mode": "haunted"}, {"mode": "slow"}, {"mode": "offline", "for": "long"}} {
			s.control(http.MethodPost, "/sim/fault", body, http.StatusUnprocessableEntity, new(any))
		}
	})
}
