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
// and says what to do, and what is there stays as it was.
func TestUpRefusesWithASentence(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := strings.TrimPrefix(s.url, "http://")
	free := freeAddress(t)
	cases := []struct {
		name, says string
		args, env  []string
	}{
		{"port taken", "--listen " + taken, []string{"--data", filepath.Join(s.dir, "other"), "--listen", taken}, nil},
		{"UI port taken", "--temporal-ui", []string{"--data", filepath.Join(s.dir, "other2"), "--listen", free, "--temporal-ui", taken}, nil},
		{"same directory", s.data, []string{"--data", s.data, "--listen", free}, nil},
		{"somebody's directory", foreign, []string{"--data", foreign, "--listen", free}, nil},
		{"misspelt variable", "LATCHKEY_LISTN", []string{"--data", filepath.Join(s.dir, "other3")}, []string{"LATCHKEY_LISTN=1"}},
		{"base URL that is none", "--base-url", []string{"--data", filepath.Join(s.dir, "other4"), "--base-url", "home"}, nil},
	}
	for _, c := range cases {
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
	s.engine.stop()
	s.engine.start() // and a clean stop and a second start work
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
