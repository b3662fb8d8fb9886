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
	build := exec.Command("go", "build", "-o", path, "latchkey") //nolint:noctx // the test's own timeout ends it
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
	p.cmd = exec.Command(path, p.args...) //nolint:noctx // kill and stop end it
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

// stop ends it as Ctrl-C would; it must end well. If the test has failed, its last
// words are told.
func (p *process) stop() {
	p.t.Helper()
	if p.t.Failed() {
		p.t.Logf("the last words of %s:\n%s", p.args[0], p.tail())
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v did not end well: %v\n%s", p.args, err, p.tail())
	}
}

// tail is the end of the output, without the requests that went well.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	var told strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "msg=request") || strings.Contains(line, "status=5") {
			told.WriteString(line)
		}
	}
	return told.String()[max(0, told.Len()-6000):]
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
	temporal string // the address of Temporal's frontend
	engine   *process
	witness  *witness
	panels   map[string]*panelProcess

	// panelsReach is where panels think that the engine is, and between gives the
	// address under which the engine reaches a panel: a line of the test, if set.
	panelsReach string
	between     func(name, address string) string
}

// panelProcess is a simulated panel that outlives the engine.
type panelProcess struct {
	*story.Client
	id   string
	code string // with which it enrolled
}

// newStage starts an engine on a directory of its own.
func newStage(t *testing.T, env ...string) *stage {
	t.Helper()
	listen, temporal := freeAddress(t), freeAddress(t)
	_, port, err := net.SplitHostPort(temporal)
	if err != nil {
		t.Fatal(err)
	}
	s := bareStage(t, "http://"+listen)
	s.temporal = temporal
	s.engine = &process{t: t, log: filepath.Join(s.dir, "engine.log"), ready: "ready", env: env, args: []string{
		"up", "--data", s.data, "--listen", listen, "--temporal-ui", freeAddress(t), "--temporal-port", port,
	}}
	s.engine.start()
	t.Cleanup(s.engine.stop)
	return s
}

// bareStage is a stage whose engine has yet to be put on it.
func bareStage(t *testing.T, url string) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "latchkey-e2e-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user when we are root
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &stage{t: t, dir: dir, data: filepath.Join(dir, "data"), url: url, panelsReach: url,
		witness: newWitness(), panels: map[string]*panelProcess{}}
}

// client is an app with the first admin key.
func (s *stage) client() *story.Client {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(s.data, "api-key"))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.asks(s.url, strings.TrimSpace(string(key)))
}

// asks is a client that the witness watches.
func (s *stage) asks(url, token string) *story.Client {
	s.witness.note(token)
	c := story.NewClient(url, token)
	c.HTTP.Transport = s.witness
	return c
}

// putUp starts a panel as a process of its own. Asked again it waits for the same
// panel to be enrolled.
func (s *stage) putUp(ctx context.Context, name, code string) (*story.Client, error) {
	p, known := s.panels[name]
	if !known {
		listen := freeAddress(s.t)
		p = &panelProcess{Client: s.asks("http://"+listen, ""), code: code}
		s.panels[name] = p
		args := []string{"panelsim", "--engine", s.panelsReach, "--enrol", code, "--listen", listen, "--state", filepath.Join(s.dir, name+".panel")}
		if s.between != nil {
			args = append(args, "--address", s.between(name, p.URL))
		}
		program := &process{t: s.t, log: filepath.Join(s.dir, name+".log"), args: args}
		program.start()
		s.t.Cleanup(program.stop)
	}
	return p.Client, await(ctx, func() bool {
		answer, err := p.Get(ctx, "/sim")
		p.id = answer.Body.Text("panel_id")
		return err == nil && p.id != ""
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
