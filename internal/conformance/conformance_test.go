package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/conformance"
	"latchkey/panelsim"
)

var (
	kind    = flag.String("kind", conformance.DoorKind, "of the panel under test: door or smartbox")
	start   = flag.String("start", "", "a command that starts a new panel, with {engine}, {code}, {listen} and {state}")
	poll    = flag.String("start-polling", "", "likewise, one that fetches its messages from the engine")
	control = flag.String("control", "", "the address of the control interface of a device that is there already")
	address = flag.String("address", "", "where the device takes messages, if not where it announces")
	listen  = flag.String("listen", "", "where the suite's engine listens, host:port")
	slow    = flag.Bool("slow", false, "run the checks that take a minute or more, too")
)

// The checks wait more than they compute: more of them than there are processors run
// at the same time, unless -parallel says how many.
func TestMain(m *testing.M) {
	flag.Parse()
	const parallel = "test.parallel"
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == parallel })
	if !told {
		if err := flag.Set(parallel, "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

// outside reports whether another panel than the simulated one is to be tried.
func outside() bool { return *start != "" || *control != "" }

func TestDoor(t *testing.T) {
	t.Parallel()
	if outside() {
		t.Skip("another panel is tried")
	}
	conformance.Door(t, conformance.Panel{Start: simulated, StartPolling: polling, Slow: *slow})
}

func TestSmartBox(t *testing.T) {
	t.Parallel()
	if outside() {
		t.Skip("another panel is tried")
	}
	conformance.SmartBox(t, conformance.Panel{Start: simulated, StartPolling: polling, Slow: *slow})
}

// One panel for all checks is what a vendor with one device has. The checks of keys and
// codes are those that leave most behind.
func TestOneSmartBoxForManyChecks(t *testing.T) {
	t.Parallel()
	if outside() {
		t.Skip("another panel is tried")
	}
	conformance.SmartBox(t, conformance.Panel{Start: simulated, One: true, Choose: func(c conformance.Check) bool {
		subject, _, _ := strings.Cut(c.Name, "/")
		return slices.Contains([]string{"keypad", "code"}, subject)
	}})
}

func TestOutside(t *testing.T) {
	if !outside() {
		t.Skip("the simulated panel is tried; give -start or -control for another one")
	}
	p := conformance.Panel{Start: process(*start), Listen: *listen, Slow: *slow}
	if *poll != "" {
		p.StartPolling = process(*poll)
	}
	if *control != "" {
		p.Start, p.One = there, true
	}
	if *kind == conformance.SmartBoxKind {
		conformance.SmartBox(t, p)
		return
	}
	conformance.Door(t, p)
}

// simulated starts a panel of package panelsim. A power cycle is a new one on the same
// state file and port, as after kill -9: nothing of the first is asked to finish.
func simulated(t testing.TB, engineURL, code string) conformance.Device {
	t.Helper()
	return device(t, panelsim.Config{EngineURL: engineURL, EnrolmentCode: code})
}

// polling is simulated for a panel that nobody can reach.
func polling(t testing.TB, engineURL, code string) conformance.Device {
	t.Helper()
	return device(t, panelsim.Config{EngineURL: engineURL, EnrolmentCode: code, Poll: true})
}

func device(t testing.TB, config panelsim.Config) conformance.Device {
	t.Helper()
	config.Listen, config.StateFile, config.Logger = "127.0.0.1:0", filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler)
	on := func(t testing.TB) (p *panelsim.Panel, off func()) {
		t.Helper()
		p, err := panelsim.New(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Run(ctx) // a panel that gives up is what some checks ask for
		}()
		return p, func() {
			stop()
			<-ended
		}
	}
	p, off := on(t)
	at, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.Listen = at.Host
	t.Cleanup(func() { off() })
	return conformance.Device{Control: p.URL(), PowerCycle: func(t testing.TB) {
		t.Helper()
		off()
		_, off = on(t)
	}}
}

// process starts a panel as a process of its own.
func process(line string) func(t testing.TB, engineURL, code string) conformance.Device {
	return func(t testing.TB, engineURL, code string) conformance.Device {
		t.Helper()
		return processOf(t, line, engineURL, code)
	}
}

func processOf(t testing.TB, line, engineURL, code string) conformance.Device {
	t.Helper()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	line = strings.NewReplacer("{engine}", engineURL, "{code}", code, "{listen}", at, "{state}", filepath.Join(t.TempDir(), "state")).Replace(line)
	on := func(t testing.TB) (off func()) {
		t.Helper()
		command := exec.Command("sh", "-c", "exec "+line)
		command.Stderr = os.Stderr
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // without warning, whatever it started
			_ = command.Wait()                                      // it was killed
		}
	}
	off := on(t)
	t.Cleanup(func() { off() })
	return conformance.Device{Control: "http://" + at, Address: *address, PowerCycle: func(t testing.TB) {
		t.Helper()
		off()
		off = on(t)
		awaitListener(t, at)
	}}
}

func awaitListener(t testing.TB, at string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", at)
		if err == nil {
			_ = connection.Close() // it was only to know
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the panel does not listen on %s: %v", at, err)
		}
	}
}

// there is a device that somebody has to tell the code.
func there(t testing.TB, engineURL, code string) conformance.Device {
	t.Helper()
	t.Logf("Type the enrolment code %s into the panel; the engine is at %s", code, engineURL)
	return conformance.Device{Control: *control, Address: *address}
}
