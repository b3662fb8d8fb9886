package e2e

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"latchkey/internal/story"
)

// TestStorySurvivesKill plays the story while the engine is killed inside every step
// and between each two (E1): the door opens once for each time it should, everyone
// is told once, nothing is lost.
func TestStorySurvivesKill(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	lobby := s.putLinesBetween()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// The periods leave room for the restarts.
	play := s.newStory(140*time.Second, 25*time.Second)
	for n, step := range play.Steps() {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		switch {
		case step.Name == "she unlocks from her phone":
			s.killBeforeRecord(ctx, play, lobby)
		case n == 8: // the first opening: killed when the door has opened and the panel has not said so yet
			s.killInside(ctx, step, func(ctx context.Context, _ <-chan struct{}) { s.awaitOpenings(ctx, 1) })
		default:
			moment := time.Duration(math.Pow(300, random.Float64()) * float64(time.Millisecond))
			s.killInside(ctx, step, func(ctx context.Context, asked <-chan struct{}) {
				select {
				case <-asked:
				case <-ctx.Done():
				}
				select {
				case <-time.After(moment):
				case <-ctx.Done():
				}
			})
		}
		if err := playThrough(ctx, step); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
		cancel()
		s.engine.kill()
		s.engine.start()
	}
	s.checkEverythingOnce(play)
	s.checkNothingPersonal(play) // failures are logged as well
}

// lobbyLines are the two lines of the lobby panel: to it and from it.
type lobbyLines struct {
	commands *gate
	reports  *line
}

// putLinesBetween puts lines of the test between the engine and the panels.
func (s *stage) putLinesBetween() *lobbyLines {
	lines := &lobbyLines{reports: newLine(s.t, strings.TrimPrefix(s.url, "http://"))}
	s.panelsReach = "http://" + lines.reports.address()
	s.between = func(name, address string) string {
		if name != "Lobby" {
			return address
		}
		lines.commands = newGate(s.t, address)
		return lines.commands.url
	}
	return lines
}

// killInside begins a step, kills the engine at a moment in it and starts it again.
func (s *stage) killInside(ctx context.Context, step story.Step, moment func(ctx context.Context, asked <-chan struct{})) {
	s.t.Helper()
	asked := s.witness.nextRequest()
	stepCtx, cancel := context.WithCancel(ctx)
	begun := make(chan error, 1)
	go func() {
		err := step.Play(stepCtx)
		cancel() // the moment need not come any more
		begun <- err
	}()
	moment(stepCtx, asked)
	s.engine.kill()
	cancel()
	if err := <-begun; err != nil && !errors.Is(err, story.ErrAway) && !errors.Is(err, context.Canceled) {
		s.t.Fatalf("%s: %v", step.Name, err)
	}
	s.engine.start()
}

// killBeforeRecord kills the engine between the panel's act and the engine's record
// of it: the door has opened, and neither the panel's answer nor its report has
// arrived (P4). Afterwards the report completes what is missing, once, and the guest
// who presses again with the same key learns of that same opening (E2).
func (s *stage) killBeforeRecord(ctx context.Context, play *story.Story, lobby *lobbyLines) {
	s.t.Helper()
	if err := await(ctx, func() bool { return len(s.opened(play)) == 1 }); err != nil {
		s.t.Fatal("P4: the opening by the tap is not in the log")
	}
	lobby.reports.cut()
	held := lobby.commands.hold()
	pressed := make(chan error, 1)
	go func() {
		_, err := play.Unlock(ctx)
		pressed <- err
	}()
	select {
	case <-held:
	case <-ctx.Done():
		s.t.Fatal("the command does not reach the panel")
	}
	s.awaitOpenings(ctx, 2)
	s.engine.kill()
	lobby.commands.release()
	if err := <-pressed; !errors.Is(err, story.ErrAway) {
		s.t.Errorf("the press was answered although the engine was killed: %v", err)
	}
	s.engine.start()
	if opened := s.opened(play); len(opened) != 1 {
		s.t.Errorf("the opening was recorded before anybody reported it: %v", opened)
	}
	lobby.reports.mend()

	if err := await(ctx, func() bool { return len(s.opened(play)) == 2 }); err != nil {
		s.t.Fatal("P4: the panel's report does not complete the log")
	}
	var eventID string
	if err := await(ctx, func() bool {
		id, err := play.Unlock(ctx)
		eventID = id
		return err == nil
	}); err != nil {
		s.t.Fatal("E2: the same press is not answered")
	}
	if opened := s.opened(play); len(opened) != 2 || opened[1].Text("id") != eventID {
		s.t.Errorf("P4: the press was answered with %s, but the log has %v", eventID, opened)
	}
	s.awaitOpenings(ctx, 2)
}

// opened is what the log says about openings, the first one first.
func (s *stage) opened(play *story.Story) (list []story.Object) {
	s.t.Helper()
	for _, e := range s.log(play) {
		if e.Text("type") == "entrance.opened" {
			list = append(list, e)
		}
	}
	return list
}

// awaitOpenings waits until the lobby has opened n times.
func (s *stage) awaitOpenings(ctx context.Context, n int) {
	_ = await(ctx, func() bool { // the caller looks at what became of ctx
		sim, err := s.panels["Lobby"].Get(ctx, "/sim")
		return err == nil && len(sim.Body.List("opened")) >= n
	})
}
