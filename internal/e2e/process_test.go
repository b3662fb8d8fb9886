package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/story"
)

var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("LATCHKEY_BIN"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "latchkey-bin-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "latchkey")
	build := exec.Command("go", "build", "-o", path, "latchkey")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// process is one run of the program that can be killed and started again.
type process struct {
	t     *testing.T
	args  []string
	env   []string
	log   string
	ready string // what a line of its output begins with when it serves
	cmd   *exec.Cmd
}

// start starts it and waits until it serves.
func (p *process) start() {
	p.t.Helper()
	path, err := program()
	if err != nil {
		p.t.Fatal(err)
	}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	from, err := output.Seek(0, 2)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(path, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.Env = append(os.Environ(), p.env...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if err := output.Close(); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	err = await(ctx, func() bool {
		text, err := os.ReadFile(p.log)
		return err == nil && strings.Contains("\n"+string(text[from:]), "\n"+p.ready)
	})
	if err != nil {
		p.t.Fatalf("%v did not get ready:\n%s", p.args, p.tail())
	}
}

// kill ends it as a power cut would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed, and says so
}

// stop ends it as Ctrl-C would; it must end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v did not end well: %v\n%s", p.args, err, p.tail())
	}
}

func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}

func await(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	return listener.Addr().String()
}

// stage is an engine with its data directory and the panels around it.
type stage struct {
	t        *testing.T
	dir      string
	data     string
	url      string
	temporal string
	engine   *process
	panels   map[string]*story.Client
}

// newStage starts an engine on a directory of its own.
func newStage(t *testing.T) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "latchkey-e2e-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user when we are root
		t.Fatal(err)
	}
	listen, temporal := freeAddress(t), freeAddress(t)
	_, port, err := net.SplitHostPort(temporal)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: dir, data: filepath.Join(dir, "data"), url: "http://" + listen, temporal: temporal, panels: map[string]*story.Client{}}
	s.engine = &process{t: t, log: filepath.Join(dir, "engine.log"), ready: "ready", args: []string{
		"up", "--data", s.data, "--listen", listen, "--temporal-ui", freeAddress(t), "--temporal-port", port,
	}}
	s.engine.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's last words:\n%s", s.engine.tail())
		}
		s.engine.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is an app with the first admin key.
func (s *stage) client() *story.Client {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(s.data, "api-key"))
	if err != nil {
		s.t.Fatal(err)
	}
	return story.NewClient(s.url, strings.TrimSpace(string(key)))
}

// putUp starts a panel as a process of its own, which outlives the engine.
func (s *stage) putUp(ctx context.Context, name, code string) (*story.Client, error) {
	if known, ok := s.panels[name]; ok {
		return known, nil
	}
	listen := freeAddress(s.t)
	p := &process{t: s.t, log: filepath.Join(s.dir, name+".log"), args: []string{
		"panelsim", "--engine", s.url, "--enrol", code, "--listen", listen, "--state", filepath.Join(s.dir, name+".panel"),
	}}
	p.start()
	s.t.Cleanup(p.stop)
	client := story.NewClient("http://"+listen, "")
	s.panels[name] = client
	return client, await(ctx, func() bool {
		answer, err := client.Get(ctx, "/sim")
		return err == nil && answer.Body.Text("panel_id") != ""
	})
}

// newStory sets the story on the stage.
func (s *stage) newStory(stay, quiet time.Duration) *story.Story {
	return &story.Story{
		Engine: s.client(), PutUp: s.putUp, Stay: stay, Quiet: quiet, Run: "e2e",
		GuestMail: "ana.lind@example.com", HostMail: "rosa.marques@example.com",
		Tell: func(format string, args ...any) { s.t.Logf(format, args...) },
	}
}

// playThrough plays a step until it passes. What only found nobody there is tried again.
func playThrough(ctx context.Context, step story.Step) error {
	for {
		err := step.Play(ctx)
		if err == nil || !errors.Is(err, story.ErrAway) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
