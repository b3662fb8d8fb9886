package panelsim_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/panel"
	"latchkey/panelsim"
)

// P6: events are kept until the engine has them, through a restart of the process
// too, and arrive in order with the boot that they are of.
func TestEventsAreSentUntilTheyAreAcknowledged(t *testing.T) {
	e, file := startEngine(t), stateFile(t)
	s := e.start(e.code, file)
	await(t, "the engine knows the boot", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.batches) > 0 })
	before := s.state().BootID
	e.fail("/panel/v1/events", 2)
	s.send(s.command("cmd_1"))
	await(t, "the acknowledgement came after two were lost", func() bool { return s.state().Unsent == 0 })
	e.fail("/panel/v1/events", -1)
	s.send(s.command("cmd_2"))
	refused := s.command("cmd_3")
	refused.BootID = "earlier"
	s.send(refused)
	await(t, "they cannot be sent", func() bool { return s.state().Unsent == 2 && !s.state().Online })
	s.stop()
	e.mu.Lock()
	e.batches, e.failing = nil, map[string]int{}
	e.mu.Unlock()
	s = e.start("", file)
	await(t, "nothing is left to send", func() bool { return s.state().Unsent == 0 })
	if want := []string{"opened cmd_2 ", "denied cmd_3 stale_boot"}; !slices.Equal(e.reported(), want) {
		t.Errorf("it reported %q, want %q", e.reported(), want)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var boots []string
	for _, b := range e.batches {
		boots = append(boots, b.BootID)
		for i, event := range b.Events {
			if event.Seq != int64(i)+2 {
				t.Errorf("event %d has the number %d", i, event.Seq)
			}
		}
	}
	if boots[0] != before || boots[len(boots)-1] == before {
		t.Errorf("it reported the boots %q, and %q was before", boots, before)
	}
}

// A power cycle makes a new boot; wiped, a panel is itself and gets everything
// anew from the engine.
func TestRestart(t *testing.T) {
	e := startEngine(t)
	e.grants = []panel.Grant{grant(2, "ent_1")}
	s := e.start(e.code, stateFile(t))
	c := s.command("cmd_1")
	s.send(c)
	await(t, "the opening is reported", func() bool { return s.state().Unsent == 0 })
	for _, wipe := range []bool{false, true} {
		syncs, before := e.syncCount(), s.state()
		var after simState
		s.control(http.MethodPost, "/sim/restart", map[string]bool{"wipe": wipe}, http.StatusOK, &after)
		if after.BootID == before.BootID || after.PanelID != "pan_1" || after.Entrances[0].Open {
			t.Errorf("wipe %t: it is %+v", wipe, after)
		}
		await(t, "it holds its grant", func() bool { return e.syncCount() > syncs && len(s.state().Grants) == 1 })
		e.mu.Lock()
		if last := e.syncs[len(e.syncs)-1]; last.Lost != wipe || last.BootID != after.BootID {
			t.Errorf("wipe %t: it asked %+v", wipe, last)
		}
		e.mu.Unlock()
	}
	if result := s.send(c); result.Result != panel.ResultStaleBoot { // the wiped panel has forgotten the id, and its boot is over
		t.Errorf("a command from before: %s", result.Result)
	}
	s.wantOpened("cmd_1")
}

// A panel hears of an entrance that was added after its start when somebody is
// given access to it.
func TestANewEntranceIsAskedFor(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	e.mu.Lock()
	e.entrances = append(e.entrances, panel.Entrance{EntranceID: "ent_3", Name: "Roof"})
	e.mu.Unlock()
	s.put(grant(2, "ent_3"))
	await(t, "it knows the new entrance", func() bool { return len(s.state().Entrances) == 3 })
	c := s.command("cmd_1")
	c.EntranceID = "ent_3"
	if result := s.send(c); result.Result != panel.ResultOpened {
		t.Errorf("the result is %s", result.Result)
	}
}

// I9, P4: only the signed command in the answer opens, once, although the tap is
// sent again after a lost answer.
func TestTap(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	tap := func(entrance string, status int) (answer panel.TapAnswer) {
		t.Helper()
		s.control(http.MethodPost, "/sim/tap", map[string]string{"tap_token": "token", "entrance_id": entrance}, status, &answer)
		return answer
	}
	command := s.command("cmd_1")
	e.onTap = func(panel.Tap) panel.TapAnswer { return panel.TapAnswer{Result: "verified", Command: &command} }
	e.fail("/panel/v1/taps", 2)
	if answer := tap("ent_1", http.StatusOK); answer.Result != "verified" {
		t.Errorf("the answer is %+v", answer)
	}
	s.wantOpened("cmd_1")
	if len(e.taps) != 3 || e.taps[0] != e.taps[2] || e.taps[0].TapToken != "token" || e.taps[0].BootID != s.state().BootID {
		t.Errorf("the engine received %+v", e.taps)
	}
	if o := s.state().Opened[0]; o.Via != "tap" {
		t.Errorf("it shows %+v", o)
	}
	e.onTap = func(panel.Tap) panel.TapAnswer { return panel.TapAnswer{Result: "wrong_entrance"} }
	if answer := tap("ent_2", http.StatusOK); answer.Result != "wrong_entrance" {
		t.Errorf("the answer is %+v", answer)
	}
	if e.taps[2].TapID == e.taps[3].TapID {
		t.Error("two taps have one id")
	}
	forged := s.command("cmd_2")
	e.onTap = func(panel.Tap) panel.TapAnswer { return panel.TapAnswer{Result: "verified", Command: &forged} }
	e.signTaps = startEngine(t).identity.Signer()
	var problem struct{ Code panel.Code }
	s.control(http.MethodPost, "/sim/tap", map[string]string{"tap_token": "token", "entrance_id": "ent_1"}, http.StatusUnprocessableEntity, &problem)
	if problem.Code != panel.CodeBadSignature {
		t.Errorf("the answer of somebody else: %s", problem.Code)
	}
	s.wantOpened("cmd_1")
	s.control(http.MethodPost, "/sim/tap", map[string]string{"tap_token": "token"}, http.StatusUnprocessableEntity, &problem) // which of the two?
}

// The page works without scripts: it shows the doors and holds a phone to them.
func TestPage(t *testing.T) {
	e := startEngine(t)
	e.entrances[0].Name = `<script>alert("door")</script>`
	s := e.start(e.code, "")
	command := s.command("cmd_1")
	e.onTap = func(panel.Tap) panel.TapAnswer { return panel.TapAnswer{Result: "verified", Command: &command} }
	form := url.Values{"tap_token": {"token"}, "entrance_id": {"ent_1"}}.Encode()
	status, text := post(t, s.panel.URL()+"/", "application/x-www-form-urlencoded", form)
	if status != http.StatusOK || !strings.Contains(text, "The door is open.") || !strings.Contains(text, "OPEN") || strings.Contains(text, "<script>alert") {
		t.Errorf("status %d, %s", status, text)
	}
	s.fault("refuse", "")
	command = s.command("cmd_2")
	if _, text := post(t, s.panel.URL()+"/", "application/x-www-form-urlencoded", form); !strings.Contains(text, "the door stays closed") {
		t.Errorf("a door that refuses: %s", text)
	}
	for _, path := range []string{"/", "/page.css", "/page.js"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.panel.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		policy := response.Header.Get("Content-Security-Policy")
		if response.StatusCode != http.StatusOK || path == "/" && (!strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe")) {
			t.Errorf("%s: status %d, policy %q", path, response.StatusCode, policy)
		}
	}
}

// A tap before the panel has enrolled is refused, not lost in a crash.
func TestControlBeforeEnrolment(t *testing.T) {
	e := startEngine(t)
	e.fail("/panel/v1/enrol", -1)
	p, err := newPanel(e, e.code, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, engine: e, panel: p}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	t.Cleanup(func() { t.Log("the panel ended with", <-ended) })
	s.control(http.MethodPost, "/sim/tap", map[string]string{"tap_token": "token", "entrance_id": "ent_1"}, http.StatusServiceUnavailable, new(any))
	if state := s.state(); state.Online || state.PanelID != "" {
		t.Errorf("it says %+v", state)
	}
	if status, text := post(t, p.URL()+"/commands", panel.ContentType, "x"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, %s", status, text)
	}
	e.fail("/panel/v1/enrol", 0)
	await(t, "it has enrolled", func() bool { return isClosed(p) })
}

func isClosed(p *panelsim.Panel) bool {
	select {
	case <-p.Enrolled():
		return true
	default:
		return false
	}
}
