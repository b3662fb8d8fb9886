package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"latchkey/internal/story"
)

// TestStory plays the whole story once (I1 to I10, I13, I15) and then looks at what
// is left of it: every message and event exactly once and in order, and nothing
// personal where it does not belong (E7).
func TestStory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(25*time.Second, 4*time.Second)
	s.playSteps(play.Steps())
	s.checkEverythingOnce(play)

	var happened []string
	for _, e := range s.log(play) {
		if kind := e.Text("type"); kind == "message.sent" || kind == "verification.lapsing" { // whenever it was
			continue
		}
		line := e.Text("type")
		if code := e.Text("code"); code != "" {
			line += " " + code
		}
		happened = append(happened, line)
	}
	expected := []string{
		"invitation.sent",
		"invitation.accepted",
		"grant.confirmed",
		"entrance.denied verification_required",
		"verification.started", "verification.wrong_entrance not_shared",
		"verification.started", "verification.succeeded", "entrance.opened",
		"entrance.opened",
		"verification.lapsed",
		"entrance.denied verification_required",
		"verification.started", "verification.succeeded", "entrance.opened",
		"verification.lapsed",
		"invitation.ended",
	}
	// The door's refusal and the panel's confirmation of the end come side by side.
	if len(happened) < len(expected) || !slices.Equal(happened[:len(expected)], expected) {
		t.Errorf("E3: the log says\n%q\ninstead of\n%q", happened, expected)
	} else if rest := slices.Sorted(slices.Values(happened[len(expected):])); !slices.Equal(rest, []string{"entrance.denied outside_window", "grant.confirmed"}) {
		t.Errorf("E3: after the end the log says %q", rest)
	}
	for _, address := range []string{play.GuestMail, "bob@example.net"} {
		if codes := must(play.Messages(t.Context(), address, "sign_in_code"))(t); len(codes) != 1 {
			t.Errorf("%s got %d sign-in codes", address, len(codes))
		}
	}
	s.checkNothingPersonal(play)
}

// playSteps plays steps each of which must pass at once.
func (s *stage) playSteps(steps []story.Step) {
	s.t.Helper()
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		err := step.Play(ctx)
		cancel()
		if err != nil {
			s.t.Fatalf("%s: %v", step.Name, err)
		}
	}
}

// log is what the event log says of the story's invitation, in the order of its
// happening.
func (s *stage) log(play *story.Story) []story.Object {
	s.t.Helper()
	answer := must(play.Engine.Get(s.t.Context(), "/v1/events?limit=200&item_id="+play.Invitation))(s.t)
	events := answer.Body.List("items")
	slices.SortStableFunc(events, func(a, b story.Object) int { return instantOf(a).Compare(instantOf(b)) })
	return events
}

func instantOf(event story.Object) time.Time {
	at, err := time.Parse(time.RFC3339Nano, event.Text("at"))
	if err != nil {
		panic(err) // the API gives RFC 3339 only
	}
	return at
}

// checkEverythingOnce waits until nothing is under way any more and then compares
// what the engine recorded and sent with what the door did.
func (s *stage) checkEverythingOnce(play *story.Story) {
	s.t.Helper()
	s.awaitQuiet(play)
	counts, ids := map[string]int{}, map[string]bool{}
	for _, e := range s.log(play) {
		counts[e.Text("type")]++
		if ids[e.Text("id")] {
			s.t.Errorf("event %s is in the log twice", e.Text("id"))
		}
		ids[e.Text("id")] = true
		if e.Text("type") == "invitation.ended" && !instantOf(e).Equal(play.Ends) {
			s.t.Errorf("T0: it ended at %s, not at %s", e.Text("at"), play.Ends)
		}
	}
	const openings = 3 // two taps and an unlock
	for kind, want := range map[string]int{
		"invitation.sent": 1, "invitation.accepted": 1, "invitation.ended": 1, "entrance.opened": openings, "entrance.denied": 3,
	} {
		if counts[kind] != want {
			s.t.Errorf("%s is in the log %d times, want %d", kind, counts[kind], want)
		}
	}
	if counts["verification.lapsed"] < 1 || counts["verification.succeeded"] < 2 {
		s.t.Errorf("I10: verification succeeded %d times and lapsed %d times", counts["verification.succeeded"], counts["verification.lapsed"])
	}
	if counts["verification.lapsing"] < 1 {
		s.t.Error("I11: the guest was never warned of a lapse")
	}
	if messages := 1 + 1 + openings + counts["verification.lapsed"] + counts["verification.lapsing"]; counts["message.sent"] != messages {
		s.t.Errorf("message.sent is in the log %d times for %d messages", counts["message.sent"], messages)
	}
	commands := map[string]bool{}
	opened := must(s.panels["Lobby"].Get(s.t.Context(), "/sim"))(s.t).Body.List("opened")
	for _, opening := range opened {
		commands[opening.Text("command_id")] = true
	}
	if len(opened) != openings || len(commands) != openings {
		s.t.Errorf("P4: the door opened %d times for %d commands, want %d", len(opened), len(commands), openings)
	}
	s.checkMessages(play, map[[2]string]int{
		{play.GuestMail, "invitation"}:            1,
		{play.HostMail, "invitation_accepted"}:    1,
		{play.HostMail, "entrance_unlocked"}:      openings,
		{play.GuestMail, "verification_required"}: counts["verification.lapsed"],
		{play.GuestMail, "verification_lapsing"}:  counts["verification.lapsing"],
	})
}

// checkMessages compares everything that was sent, sign-in codes aside.
func (s *stage) checkMessages(play *story.Story, want map[[2]string]int) {
	s.t.Helper()
	sent := map[[2]string]int{}
	for _, m := range must(play.Engine.Get(s.t.Context(), "/dev/outbox"))(s.t).Body.List("items") {
		if m.Text("template") != "sign_in_code" {
			sent[[2]string{m.Text("to"), m.Text("template")}]++
		}
	}
	for key, count := range want {
		if sent[key] != count {
			s.t.Errorf("%s got %s %d times, want %d", key[0], key[1], sent[key], count)
		}
		delete(sent, key)
	}
	for key, count := range sent {
		s.t.Errorf("%s got %s %d times, want none", key[0], key[1], count)
	}
}

// awaitQuiet waits until the engine has recorded the end, the panels have confirmed
// it, they have reported everything, and no message or wake-up waits: from here on
// nothing more comes.
func (s *stage) awaitQuiet(play *story.Story) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	dsn := s.cluster().AdminDSN("latchkey")
	missing := ""
	err := await(ctx, func() bool {
		missing = s.underWay(ctx, play, dsn)
		return missing == ""
	})
	if err != nil {
		s.t.Errorf("P5: still under way after a minute: %s", missing)
	}
}

// underWay says what has yet to happen after the story's end, empty if nothing has.
func (s *stage) underWay(ctx context.Context, play *story.Story, dsn string) string {
	answer, err := play.Engine.Get(ctx, "/v1/invitations/"+play.Invitation)
	if err != nil {
		return err.Error()
	}
	if state := answer.Body.Text("state"); state != "ended" {
		return "the invitation is " + state
	}
	for _, entrance := range answer.Body.List("entrances") {
		if sync := entrance.Text("sync"); sync != "confirmed" {
			return "the panel's confirmation is " + sync
		}
	}
	if !slices.ContainsFunc(s.log(play), func(e story.Object) bool { return e.Text("type") == "invitation.ended" }) {
		return "the end is not in the log"
	}
	for name, p := range s.panels {
		sim, err := p.Get(ctx, "/sim")
		if err != nil {
			return err.Error()
		}
		if unsent, _ := sim.Body["unsent_events"].(float64); unsent > 0 {
			return name + " has events to report"
		}
		ended := slices.ContainsFunc(sim.Body.List("grants"), func(g story.Object) bool {
			return g.Text("grant_id") == play.Invitation && g["tombstone"] == true
		})
		if name == "Lobby" && !ended {
			return "P3: the lobby panel has no tombstone"
		}
	}
	if n := ask[int](s.t, dsn, `SELECT (SELECT count(*) FROM wakeups) + (SELECT count(*) FROM messages WHERE state = 'queued')`); n > 0 {
		return "messages or wake-ups wait"
	}
	return ""
}
