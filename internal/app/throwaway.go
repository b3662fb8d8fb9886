package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// throwaway is an engine in a process of its own, on a directory that is removed
// when it stops. The demo and the benchmark use the real program this way.
type throwaway struct {
	dir      string
	url      string
	ui       string
	temporal string // the address of Temporal's frontend
	key      string
	command  *exec.Cmd
	output   *os.File
}

// startThrowaway starts `latchkey up` and waits until it is ready.
func startThrowaway(ctx context.Context, environment ...string) (*throwaway, error) {
	dir, err := os.MkdirTemp("", "latchkey-*")
	if err != nil {
		return nil, err
	}
	t := &throwaway{dir: dir}
	if err := errors.Join(os.Chmod(dir, 0o755), t.start(ctx, environment)); err != nil { // PostgreSQL runs as another user and must reach its part
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

func (t *throwaway) start(ctx context.Context, environment []string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	t.url, t.ui, t.temporal = "http://"+ports[0], "http://"+ports[1], ports[2]
	_, frontendPort, err := net.SplitHostPort(t.temporal)
	if err != nil {
		return err
	}
	if t.output, err = os.Create(filepath.Join(t.dir, "output")); err != nil {
		return err
	}
	data := filepath.Join(t.dir, "data")
	// Not tied to ctx: it is stopped in order, not killed.
	t.command = exec.Command(program, "up", "--data", data, "--listen", ports[0], "--temporal-ui", ports[1], "--temporal-port", frontendPort) //nolint:noctx // stop ends it
	t.command.Stdout, t.command.Stderr = t.output, t.output
	t.command.Env = append(os.Environ(), environment...)
	t.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us first
	if err := t.command.Start(); err != nil {
		return err
	}
	if err := t.ready(ctx); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(data, "api-key"))
	t.key = strings.TrimSpace(string(key))
	return err
}

// ready waits for the line that begins with "ready".
func (t *throwaway) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		output, err := os.ReadFile(t.output.Name())
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(strings.NewReader(string(output)))
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				return nil
			}
			if reason, failed := strings.CutPrefix(lines.Text(), "latchkey: "); failed {
				return errors.New(reason)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the engine did not get ready: %w\n%s", ctx.Err(), output)
		case <-tick.C:
		}
	}
}

// stop ends the engine as Ctrl-C would and removes its directory.
func (t *throwaway) stop() error {
	var failed []error
	if t.command != nil && t.command.Process != nil {
		if err := t.command.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			failed = append(failed, err)
		}
		if err := t.command.Wait(); err != nil {
			failed = append(failed, fmt.Errorf("the engine: %w", err))
		}
	}
	if t.output != nil {
		failed = append(failed, t.output.Close())
	}
	return errors.Join(append(failed, os.RemoveAll(t.dir))...)
}

// freePorts finds addresses on this machine that nobody listens on.
func freePorts(count int) (addresses []string, err error) {
	for range count {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, listener.Close()) }() // together, so that no two are the same
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
