package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"latchkey/internal/story"
)

// TestStory plays the whole story once (I1 to I10, I13, I15) and then looks at what
// is left of it: every message and event exactly once, and nothing personal where
// it does not belong (E7).
func TestStory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(25*time.Second, 4*time.Second)
	for _, step := range play.Steps() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := step.Play(ctx); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
		cancel()
	}
	s.checkEnd(play, 3)
	s.checkNothingPersonal(play)
}

// TestStorySurvivesKill plays it while the engine is killed between each two steps
// and inside every one (E1): the door opens once for each time it should, everyone is
// told once, nothing is lost.
//
// It runs by itself: beside the others its restarts would take longer than the
// story lasts.
func TestStorySurvivesKill(t *testing.T) {
	s := newStage(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// The periods leave room for the restarts.
	play := s.newStory(130*time.Second, 15*time.Second)
	for n, step := range play.Steps() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		passed := n > 0 && s.killInside(ctx, step, time.Duration(random.IntN(120))*time.Millisecond) // the panels are put up in the first
		if !passed {
			if err := playThrough(ctx, step); err != nil {
				t.Fatalf("%s: %v", step.Name, err)
			}
		}
		cancel()
		s.engine.kill()
		s.engine.start()
	}
	s.checkEnd(play, 3)
}

// killInside begins a step and kills the engine a moment later. It reports whether
// the step had passed by then.
func (s *stage) killInside(ctx context.Context, step story.Step, after time.Duration) (passed bool) {
	stepCtx, cancel := context.WithCancel(ctx)
	begun := make(chan error, 1)
	go func() { begun <- step.Play(stepCtx) }()
	ended := false
	select {
	case err := <-begun: // it was quicker
		ended, passed = true, err == nil
	case <-time.After(after):
	}
	s.engine.kill()
	cancel()
	if !ended {
		passed = <-begun == nil
	}
	s.engine.start()
	return passed
}

// checkEnd compares what the engine recorded with what the door did.
func (s *stage) checkEnd(play *story.Story, openings int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	expected := map[string]int{
		"invitation.sent": 1, "invitation.accepted": 1, "invitation.ended": 1, "entrance.opened": openings,
		"verification.succeeded": 2, "verification.lapsed": 2,
	}
	counts := map[string]int{}
	if err := await(ctx, func() bool {
		clear(counts)
		answer, err := play.Engine.Get(ctx, "/v1/events?limit=200&item_id="+play.Invitation)
		if err != nil {
			return false
		}
		for _, e := range answer.Body.List("items") {
			counts[e.Text("type")]++
			if e.Text("type") == "invitation.ended" && e.Text("at") != play.Ends.UTC().Format(time.RFC3339) {
				s.t.Errorf("T0: it ended at %s, not at %s", e.Text("at"), play.Ends)
			}
		}
		return counts["invitation.ended"] > 0 && counts["entrance.opened"] >= openings
	}); err != nil {
		s.t.Errorf("the log does not become complete: %v", counts)
	}
	for kind, want := range expected {
		if counts[kind] != want {
			s.t.Errorf("%s is in the log %d times, want %d", kind, counts[kind], want)
		}
	}
	messages := map[[2]string]int{
		{play.GuestMail, "invitation"}: 1, {play.HostMail, "invitation_accepted"}: 1,
		{play.HostMail, "entrance_unlocked"}: openings, {play.GuestMail, "verification_required"}: 2, // before the second tap, and again before the end
	}
	for key, want := range messages {
		if err := await(ctx, func() bool {
			found, err := play.Messages(ctx, key[0], key[1])
			return err == nil && len(found) >= want
		}); err != nil {
			s.t.Errorf("%s does not get %s %d times", key[0], key[1], want)
		}
		if found, err := play.Messages(ctx, key[0], key[1]); err != nil || len(found) != want {
			s.t.Errorf("%s got %s %d times, want %d: %v", key[0], key[1], len(found), want, err)
		}
	}
	if err := await(ctx, func() bool {
		sim, err := play.LobbyPanel.Get(ctx, "/sim")
		return err == nil && slices.ContainsFunc(sim.Body.List("grants"), func(g story.Object) bool {
			return g.Text("grant_id") == play.Invitation && g["tombstone"] == true
		})
	}); err != nil {
		s.t.Error("P3: the panel was not told of the end")
	}
}
