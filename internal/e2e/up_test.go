package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUpRefusesWithASentence starts the program where it cannot run: it ends with 1
// and one sentence that says what to do, and what is there stays as it was.
func TestUpRefusesWithASentence(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := strings.TrimPrefix(s.url, "http://")
	free, other := freeAddress(t), filepath.Join(s.dir, "other")
	for _, c := range []struct {
		name, says string
		args, env  []string
	}{
		{"port taken", "--listen " + taken, []string{"--data", other, "--listen", taken}, nil},
		{"UI port taken", "--temporal-ui", []string{"--data", other, "--listen", free, "--temporal-ui", taken}, nil},
		{"same directory", s.data, []string{"--data", s.data, "--listen", free}, nil},
		{"somebody's directory", foreign, []string{"--data", foreign, "--listen", free}, nil},
		{"misspelt variable", "LATCHKEY_LISTN", []string{"--data", other}, []string{"LATCHKEY_LISTN=1"}},
		{"base URL that is none", "--base-url", []string{"--data", other, "--base-url", "home"}, nil},
		{"wrong value of a flag", "--log-level", []string{"--data", other, "--log-level", "loud"}, nil},
		{"wrong value of a variable", "--log-level", []string{"--data", other}, []string{"LATCHKEY_LOG_LEVEL=loud"}},
		{"unknown flag", "--colour", []string{"--data", other, "--colour"}, nil},
	} {
		code, output := s.run(c.env, append([]string{"up"}, c.args...)...)
		last := output[strings.LastIndex(strings.TrimSpace(output), "\n")+1:]
		if code != 1 || !strings.HasPrefix(last, "latchkey: ") || !strings.Contains(last, c.says) {
			t.Errorf("%s: ended with %d and said %q", c.name, code, last)
		}
	}
	if text, err := os.ReadFile(filepath.Join(foreign, "thesis.txt")); err != nil || string(text) != "mine" {
		t.Errorf("somebody's file was touched: %q, %v", text, err)
	}
	if entries, err := os.ReadDir(foreign); err != nil || len(entries) != 1 {
		t.Errorf("somebody's directory has %d entries now: %v", len(entries), err)
	}
	if answer := must(s.client().Get(t.Context(), "/readyz"))(t); answer.Status != 200 {
		t.Errorf("the engine that was running is not ready any more: %d", answer.Status)
	}
	// Where it was refused before, a proper start works.
	proper := &process{t: t, log: filepath.Join(s.dir, "other.log"), ready: "ready",
		args: []string{"up", "--data", other, "--listen", free, "--temporal-ui", freeAddress(t)}}
	proper.start()
	proper.stop()
}

// TestUpGoesOn stops an engine as Ctrl-C would and starts it again on the same data:
// it ends with 0, and an invitation that was open is still open (E1).
func TestUpGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	steps := play.Steps()
	s.playSteps(steps[:3])
	key := must(os.ReadFile(filepath.Join(s.data, "api-key")))(t)
	for _, name := range []string{"api-key", "keyset.json"} {
		if info := must(os.Stat(filepath.Join(s.data, name)))(t); info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", name, info.Mode())
		}
	}
	s.engine.stop() // fails unless it ends with 0
	s.engine.start()
	if again := must(os.ReadFile(filepath.Join(s.data, "api-key")))(t); string(again) != string(key) {
		t.Error("a second start made another key")
	}
	s.playSteps(steps[3:11]) // accepted, tapped, unlocked, told
	s.engine.stop()
	s.engine.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if revoked := must(play.Engine.Post(ctx, "/v1/invitations/"+play.Invitation+"/revoke", "", nil))(t); revoked.Body.Text("state") != "revoked" {
		t.Errorf("I13: revoking is answered with %d %s", revoked.Status, revoked.Code())
	}
	if err := await(ctx, func() bool {
		found, err := play.Messages(ctx, play.GuestMail, "invitation_revoked")
		return err == nil && len(found) == 1
	}); err != nil {
		t.Error("I13: the guest is not told")
	}
}

// run runs the program to its end.
func (s *stage) run(env []string, args ...string) (code int, output string) {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), env...)
	text, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(text)
}
