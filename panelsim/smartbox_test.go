package panelsim_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/panel"
)

const visitorCode = "48215937"

// startBox is an engine and a SmartBox of three slots with a key in the first.
func startBox(t *testing.T, file string) (*fakeEngine, *sim) {
	t.Helper()
	e := startEngine(t)
	e.kind, e.slots, e.entrances = "smartbox", 3, nil
	e.keys = []panel.KeyPlace{{KeyID: "key_1", Slot: 1}}
	return e, e.start(e.code, file)
}

// booking is a grant of key_1 with a code that only this box can read.
func (s *sim) booking(revision int64, change func(*panel.Grant)) panel.Grant {
	s.t.Helper()
	sealed, err := panel.SealCode(*s.engine.boxKey, "res_1", visitorCode)
	if err != nil {
		s.t.Fatal(err)
	}
	g := panel.Grant{GrantID: "res_1", Kind: "reservation", Revision: revision, EntranceIDs: []string{}, KeyID: "key_1", CodeJWE: sealed}
	if change != nil {
		change(&g)
	}
	return g
}

type verdict struct {
	Result string     `json:"result"`
	Slot   int        `json:"slot"`
	Reason string     `json:"reason"`
	From   *time.Time `json:"from"`
}

// typed is a code typed at the box: "slot 1", or why nothing opened.
func (s *sim) typed(code, op string) (v verdict) {
	s.t.Helper()
	s.control(http.MethodPost, "/sim/code", map[string]string{"code": code, "op": op}, http.StatusOK, &v)
	return v
}

func (s *sim) hand(slot int, keyID any, status int) {
	s.t.Helper()
	s.control(http.MethodPost, "/sim/keys", map[string]any{"slot": slot, "key_id": keyID}, status, &struct{}{})
}

// K1, K8, K10, P2, P3: what a typed code opens, by what the box holds and nothing else.
func TestTypedCodes(t *testing.T) {
	_, s := startBox(t, "")
	hourAgo, inAnHour := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	revision := int64(0)
	for _, c := range []struct {
		name   string
		change func(*panel.Grant)
		pickup string // the reason; none: the slot of the key opens
	}{
		{"inside the window", func(g *panel.Grant) { g.StartsAt, g.EndsAt = &hourAgo, &inAnHour }, ""},
		{"without an end", nil, ""},
		{"too early", func(g *panel.Grant) { g.StartsAt = &inAnHour }, "not_yet"},
		{"too late", func(g *panel.Grant) { g.EndsAt = &hourAgo }, "reservation_ended"},
		{"revoked", func(g *panel.Grant) { g.NoPickup = "reservation_revoked" }, "reservation_revoked"},
		{"photo ID needed", func(g *panel.Grant) { g.NoPickup = "visitor_id_required" }, "visitor_id_required"},
		{"a key that is not here", func(g *panel.Grant) { g.KeyID = "key_9" }, "key_not_here"},
	} {
		revision++
		s.put(s.booking(revision, c.change))
		v := s.typed(visitorCode, "pickup")
		if v.Reason != c.pickup || c.pickup == "" && v.Slot != 1 || c.pickup == "not_yet" && (v.From == nil || !v.From.Equal(inAnHour)) {
			t.Errorf("%s: a pickup is answered with %+v, want %q", c.name, v, c.pickup)
		}
		if v := s.typed(visitorCode, "dropoff"); v.Result != "opened" || v.Slot == 1 {
			t.Errorf("K8: %s: a drop-off is answered with %+v", c.name, v)
		}
	}
	s.put(panel.Grant{GrantID: "res_1", Kind: "reservation", Revision: revision + 1, EntranceIDs: []string{}, Tombstone: true})
	for _, op := range []string{"pickup", "dropoff"} {
		if v := s.typed(visitorCode, op); v.Reason != "wrong_code" {
			t.Errorf("after the tombstone a %s is answered with %+v", op, v)
		}
	}
}

// K12: what a hand does in a slot is reported with the key that the sensor reads; a
// closed slot and a key in two places are not possible.
func TestKeysByHand(t *testing.T) {
	e, s := startBox(t, "")
	s.put(s.booking(1, nil))
	s.hand(1, nil, http.StatusConflict) // closed
	if v := s.typed(visitorCode, "pickup"); v.Slot != 1 {
		t.Fatalf("a pickup is answered with %+v", v)
	}
	s.hand(1, "key_2", http.StatusConflict) // taken
	s.hand(1, nil, http.StatusOK)
	if v := s.typed(visitorCode, "pickup"); v.Reason != "key_not_here" {
		t.Errorf("a second pickup is answered with %+v", v)
	}
	if v := s.typed(visitorCode, "dropoff"); v.Slot != 1 {
		t.Errorf("the drop-off is answered with %+v", v)
	}
	s.hand(2, "key_1", http.StatusConflict) // another slot than the open one
	s.hand(1, "key_1", http.StatusOK)
	s.hand(4, nil, http.StatusUnprocessableEntity)
	await(t, "the engine has heard it all", func() bool { return s.state().Unsent == 0 })
	var got []string
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.batches {
		for _, event := range b.Events {
			if event.GrantID != "res_1" {
				t.Errorf("%s is of grant %q", event.Type, event.GrantID)
			}
			got = append(got, strings.TrimSpace(event.Type+" "+event.KeyID))
		}
	}
	if want := []string{"opened", "key_taken key_1", "denied", "opened", "key_returned key_1"}; !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
}

// P4, P10: a command opens one slot once, over restarts of the process, and only
// with the number that the box shows; a wrong one uses the number up.
func TestSlotCommands(t *testing.T) {
	file := stateFile(t)
	e, s := startBox(t, file)
	s.put(s.booking(2, nil))
	command := func(id string, purpose panel.Purpose) panel.Command {
		state := s.state()
		return panel.Command{
			CommandID: id, Op: panel.OpOpenSlot, Purpose: purpose, KeyID: "key_1", GrantID: "res_1", GrantRevision: 2,
			BootID: state.BootID, ExpiresAt: time.Now().Add(10 * time.Second), PanelCode: state.Number,
		}
	}
	guessed := command("cmd_0", panel.PurposePickup)
	number := guessed.PanelCode
	guessed.PanelCode = map[bool]string{true: "000001", false: "000000"}[number == "000000"]
	if result := s.send(guessed); result.Result != panel.ResultWrongPanelCode || s.state().Number == number {
		t.Errorf("a wrong number is answered with %+v, and the box shows %s after %s", result, s.state().Number, number)
	}
	pickup := command("cmd_1", panel.PurposePickup)
	first := s.send(pickup)
	if first.Result != panel.ResultOpened || first.Slot != 1 {
		t.Fatalf("the command is answered with %+v", first)
	}
	s.stop()
	s = e.start("", file)
	pickup.ExpiresAt = time.Now().Add(-time.Hour)
	if again := s.send(pickup); again != first || s.state().Slots[0].Open {
		t.Errorf("after a restart the same command is answered with %+v, want %+v", again, first)
	}
	if result := s.send(command("cmd_2", panel.PurposeDropOff)); result.Result != panel.ResultOpened || result.Slot != 2 {
		t.Errorf("a drop-off is answered with %+v", result)
	}
	s.put(s.booking(3, func(g *panel.Grant) { g.NoPickup = "reservation_revoked" }))
	if result := s.send(command("cmd_3", panel.PurposePickup)); result.Result != panel.ResultStaleRevision {
		t.Errorf("K10: a command from before the revocation is answered with %+v", result)
	}
	if result := s.send(command("cmd_4", panel.PurposeDropOff)); result.Result != panel.ResultOpened {
		t.Errorf("K8: a drop-off after the revocation is answered with %+v", result)
	}
}

// P7: after five wrong codes none is taken for a while, over a restart as well, and
// the engine is told; commands still work.
func TestLockout(t *testing.T) {
	file := stateFile(t)
	e, s := startBox(t, file)
	s.put(s.booking(2, nil))
	for range 5 {
		if v := s.typed("11112222", "pickup"); v.Reason != "wrong_code" {
			t.Fatalf("a wrong code is answered with %+v", v)
		}
	}
	s.stop()
	s = e.start("", file)
	for _, op := range []string{"pickup", "dropoff"} {
		if v := s.typed(visitorCode, op); v.Reason != "locked_out" || v.From == nil {
			t.Errorf("locked out, a %s is answered with %+v", op, v)
		}
	}
	if s.state().LockedUntil == nil {
		t.Error("the box does not say until when")
	}
	state := s.state()
	if result := s.send(panel.Command{
		CommandID: "cmd_1", Op: panel.OpOpenSlot, Purpose: panel.PurposePickup, KeyID: "key_1", GrantID: "res_1", GrantRevision: 2,
		BootID: state.BootID, ExpiresAt: time.Now().Add(10 * time.Second), PanelCode: state.Number,
	}); result.Result != panel.ResultOpened {
		t.Errorf("locked out, a command is answered with %+v", result)
	}
	await(t, "the engine has heard of it", func() bool {
		return slices.ContainsFunc(e.reported(), func(event string) bool { return strings.HasPrefix(event, "lockout") })
	})
}
