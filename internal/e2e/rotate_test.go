package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestRotateKey changes the engine's key beside the running engine, in the middle of
// the story: its panels go on without anybody noticing (P1). Where no engine runs
// the command says what to do.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	s.playSteps(play.Steps()[:11])
	if code, output := s.run(nil, "rotate-key", "--data", s.data); code != 0 || !strings.Contains(output, "new key") {
		t.Fatalf("rotate-key ended with %d: %s", code, output)
	}
	if result := s.taps(play, play.Invitation); result != "verified" {
		t.Errorf("after the change a tap is answered with %s", result)
	}
	if code, output := s.run(nil, "rotate-key", "--data", t.TempDir()); code != 1 || !strings.Contains(output, "latchkey up") || !strings.Contains(output, "DATABASE_URL") {
		t.Errorf("without an engine rotate-key ended with %d: %s", code, output)
	}
}
