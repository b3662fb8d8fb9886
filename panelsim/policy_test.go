package panelsim_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"latchkey/internal/panel"
)

func (s *sim) putPolicy(p panel.Policy) int64 {
	s.t.Helper()
	if p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	ack, err := s.engine.client.PutPolicy(s.t.Context(), s.target(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Version
}

// shut is a schedule that is closed for days around now.
func shut() []panel.Schedule {
	day := [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[(int(time.Now().UTC().Weekday())+3)%7]
	return []panel.Schedule{{Days: []string{day}, From: "12:00", To: "12:01"}}
}

// P2: a policy document is applied by version, survives a restart and is lost with the
// memory.
func TestPolicyDocumentsByVersion(t *testing.T) {
	e := startEngine(t)
	e.policies = []panel.Policy{{EntranceID: "ent_2", Version: 3, OpenToGuests: true, TimeZone: "UTC"}}
	file := stateFile(t)
	s := e.start(e.code, file)
	versions := func() (list []int64) {
		for _, p := range s.state().Policies {
			list = append(list, p.Version)
		}
		return list
	}
	for _, c := range []struct{ sent, held int64 }{{5, 5}, {4, 5}, {5, 5}, {7, 7}} {
		if got := s.putPolicy(panel.Policy{EntranceID: "ent_1", Version: c.sent}); got != c.held {
			t.Errorf("version %d is answered with %d, want %d", c.sent, got, c.held)
		}
	}
	if got := versions(); !slices.Equal(got, []int64{7, 3}) {
		t.Errorf("it holds the versions %d", got)
	}
	s.stop()
	s = e.start("", file)
	if got := versions(); !slices.Equal(got, []int64{7, 3}) {
		t.Errorf("after a restart it holds the versions %d", got)
	}
	e.mu.Lock()
	e.policies = nil
	e.mu.Unlock()
	s.control(http.MethodPost, "/sim/restart", map[string]bool{"wipe": true}, http.StatusOK, new(simState))
	if got := versions(); len(got) != 0 {
		t.Errorf("after a wipe it holds the versions %d", got)
	}
}

// P2, P4: a command is held to the panel's document only if the engine decided by an
// older one.
func TestCommandsUnderANewerDocument(t *testing.T) {
	e := startEngine(t)
	s := e.start(e.code, "")
	for n, c := range []struct {
		name     string
		document panel.Policy
		known    int64 // by the engine
		want     panel.Result
	}{
		{"open", panel.Policy{OpenToGuests: true}, 0, panel.ResultOpened},
		{"not shared", panel.Policy{}, 1, panel.ResultClosed},
		{"not shared, and the engine knew", panel.Policy{}, 3, panel.ResultOpened},
		{"not shared, and the engine knows more", panel.Policy{}, 9, panel.ResultOpened},
		{"closed", panel.Policy{OpenToGuests: true, Schedules: shut()}, 4, panel.ResultClosed},
		{"locked down", panel.Policy{OpenToGuests: true, LockedDown: true}, 5, panel.ResultLockedDown},
		{"a zone that nobody knows", panel.Policy{OpenToGuests: true, TimeZone: "Mars/Olympus", Schedules: shut()}, 6, panel.ResultClosed},
		{"another entrance's", panel.Policy{EntranceID: "ent_2"}, 7, panel.ResultOpened},
	} {
		c.document.Version = int64(n + 1)
		if c.document.EntranceID == "" {
			c.document.EntranceID = "ent_1"
		} else {
			s.putPolicy(panel.Policy{EntranceID: "ent_1", Version: c.document.Version, OpenToGuests: true})
		}
		s.putPolicy(c.document)
		command := s.command("cmd_" + c.name)
		command.PolicyVersion = c.known
		if got := s.send(command); got.Result != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Result, c.want)
		}
	}
}

// P2, K8, I17: what a code opens for pickup is held to the box's document and lease; a
// key can be returned whatever they say.
func TestTypedCodesUnderPolicyAndLease(t *testing.T) {
	e, s := startBox(t, "")
	s.put(s.booking(1, nil))
	for n, c := range []struct {
		document panel.Policy
		want     string
	}{
		{panel.Policy{OpenToGuests: true}, ""},
		{panel.Policy{OpenToGuests: true, LockedKeys: []string{"key_2"}}, ""},
		{panel.Policy{OpenToGuests: true, LockedKeys: []string{"key_1"}}, "locked_down"},
		{panel.Policy{OpenToGuests: true, LockedDown: true}, "locked_down"},
		{panel.Policy{}, "closed_by_policy"},
		{panel.Policy{OpenToGuests: true, Schedules: shut()}, "closed_by_policy"},
		{panel.Policy{OpenToGuests: true}, ""},
	} {
		c.document.EntranceID, c.document.Version = "pan_1", int64(n+1)
		s.putPolicy(c.document)
		if v := s.typed(visitorCode, "pickup"); v.Reason != c.want || c.want == "" && v.Slot != 1 {
			t.Errorf("%+v: a pickup is answered with %+v, want %q", c.document, v, c.want)
		}
		if v := s.typed(visitorCode, "dropoff"); v.Slot < 2 {
			t.Errorf("%+v: a drop-off is answered with %+v", c.document, v)
		}
	}
	past := time.Now().Add(-time.Minute)
	e.mu.Lock()
	e.lease = past // a manager has made leases shorter: every message from here on says so
	e.mu.Unlock()
	s.put(s.booking(2, func(g *panel.Grant) { g.LeaseUntil = &past }))
	if v := s.typed(visitorCode, "pickup"); v.Reason != "lease_expired" {
		t.Errorf("after the lease a pickup is answered with %+v", v)
	}
	if v := s.typed(visitorCode, "dropoff"); v.Slot < 2 {
		t.Errorf("after the lease a drop-off is answered with %+v", v)
	}
	command := s.command("cmd_1")
	command.Op, command.EntranceID, command.GrantID, command.Purpose, command.KeyID, command.PanelCode = panel.OpOpenSlot, "", "res_1", panel.PurposePickup, "key_1", s.state().Number
	if got := s.send(command); got.Result != panel.ResultOpened {
		t.Errorf("after the lease a command is answered with %s", got.Result)
	}
}

// P2: the lease survives a restart, is lost with the memory, and is reported.
func TestLease(t *testing.T) {
	e := startEngine(t)
	file := stateFile(t)
	s := e.start(e.code, file)
	held := func() *time.Time { return s.state().LeaseUntil }
	if got := held(); got == nil || !got.Equal(e.lease) {
		t.Errorf("it holds the lease %v, want %s", got, e.lease)
	}
	s.stop()
	e.mu.Lock()
	e.batches = nil
	e.mu.Unlock()
	s = e.start("", file)
	e.mu.Lock()
	first := e.batches[0]
	e.mu.Unlock()
	if first.LeaseUntil == nil || !first.LeaseUntil.Equal(e.lease) || first.At.IsZero() {
		t.Errorf("it reports %+v", first)
	}
	e.fail("/panel/v1/events", -1)
	e.fail("/panel/v1/sync", -1)
	s.control(http.MethodPost, "/sim/restart", map[string]bool{"wipe": true}, http.StatusOK, new(simState))
	if got := held(); got != nil {
		t.Errorf("after a wipe it holds the lease %s", got)
	}
}

// P6: what is missing at the engine is sent again, also what was acknowledged, and
// also after a restart.
func TestEventsAreSentAgain(t *testing.T) {
	e := startEngine(t)
	file := stateFile(t)
	s := e.start(e.code, file)
	for range 3 {
		s.control(http.MethodPost, "/sim/tamper", struct{}{}, http.StatusOK, new(simState))
	}
	await(t, "all are acknowledged", func() bool { return s.state().Unsent == 0 && len(e.reported()) == 3 })
	e.mu.Lock()
	e.resend[4], e.batches = 2, nil // when the fourth comes, ask for the second and third too
	e.mu.Unlock()
	s.control(http.MethodPost, "/sim/battery", map[string]int{"level": 12}, http.StatusOK, new(simState))
	await(t, "they have come again", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, b := range e.batches {
			if len(b.Events) == 3 {
				return b.Events[0].Seq == 2 && b.Events[2].Seq == 4 && b.Events[2].Level != nil && *b.Events[2].Level == 12
			}
		}
		return false
	})
	await(t, "all are acknowledged again", func() bool { return s.state().Unsent == 0 })
	boot := s.state().BootID
	s.stop()
	s = e.start("", file)
	s.control(http.MethodPost, "/sim/battery", map[string]int{"level": 150}, http.StatusUnprocessableEntity, new(struct{}))
	if s.state().BootID == boot || s.state().Unsent != 0 {
		t.Error("acknowledged events are sent anew after a restart")
	}
}
