package e2e

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"latchkey/internal/postgres"
	"latchkey/internal/story"
)

// TestE9TemporalAway cuts Temporal off: doors go on opening for who may enter, what
// changes state is refused and changes nothing, and afterwards everything works
// again, each request once.
func TestE9TemporalAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	line := newProxy(t, s.temporal)
	s.serveAlone(line.address())
	play := s.newStory(10*time.Minute, 5*time.Minute)
	for _, step := range play.Steps()[:10] { // until she has unlocked from her phone
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := step.Play(ctx); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
		cancel()
	}
	app := play.Engine
	unlock := func() story.Answer {
		t.Helper()
		return must(app.Post(t.Context(), "/v1/invitations/"+play.Invitation+"/unlock", "", map[string]any{"entrance_id": play.Lobby}))(t)
	}
	invite := func() story.Answer {
		t.Helper()
		return must(app.Post(t.Context(), "/v1/invitations", "second", map[string]any{
			"property_id": play.Property, "inviter": map[string]any{"name": "Rosa Marques", "email": play.HostMail},
			"guest": map[string]any{"name": "Ben", "email": "ben@example.com"}, "entrance_ids": []string{play.Lobby},
		}))(t)
	}
	revoke := func() story.Answer {
		t.Helper()
		return must(app.Post(t.Context(), "/v1/invitations/"+play.Invitation+"/revoke", "", map[string]any{"reason": "moved out"}))(t)
	}

	line.cut()
	if a := unlock(); a.Status != http.StatusOK {
		t.Errorf("with Temporal away the door answers %d %s", a.Status, a.Code())
	}
	for what, a := range map[string]story.Answer{"revoke": revoke(), "invite": invite()} {
		if a.Status != http.StatusServiceUnavailable || a.Code() != "unavailable" {
			t.Errorf("with Temporal away %s is answered with %d %s", what, a.Status, a.Code())
		}
	}
	if a := must(app.Get(t.Context(), "/v1/invitations"))(t); len(a.Body.List("items")) != 1 || a.Body.List("items")[0].Text("state") != "accepted" {
		t.Errorf("what was refused left something behind: %v", a.Body)
	}

	line.mend()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := await(ctx, func() bool { return invite().Status == http.StatusCreated }); err != nil {
		t.Errorf("inviting does not work again: %v", err)
	}
	if err := await(ctx, func() bool { return revoke().Status == http.StatusOK }); err != nil {
		t.Errorf("revoking does not work again: %v", err)
	}
	if a := unlock(); a.Code() != "not_active" {
		t.Errorf("I13: after the revocation the door answers %d %s", a.Status, a.Code())
	}
	if a := must(app.Get(t.Context(), "/v1/invitations"))(t); len(a.Body.List("items")) != 2 {
		t.Errorf("E2: one request made %d invitations", len(a.Body.List("items"))-1)
	}
	for to, template := range map[string]string{"ben@example.com": "invitation", play.GuestMail: "invitation_revoked"} {
		if err := await(ctx, func() bool {
			found, err := play.Messages(ctx, to, template)
			return err == nil && len(found) == 1
		}); err != nil {
			t.Errorf("%s does not get one %s", to, template)
		}
	}
}

// serveAlone adds a process with the role of the API alone, which reaches Temporal
// at the given address, and lets everybody on the stage use that one.
func (s *stage) serveAlone(temporal string) {
	s.t.Helper()
	cluster, err := postgres.Start(s.t.Context(), s.data, slog.New(slog.DiscardHandler)) // joins the running one
	if err != nil {
		s.t.Fatal(err)
	}
	listen := freeAddress(s.t)
	p := &process{t: s.t, log: filepath.Join(s.dir, "api.log"), ready: "ready",
		args: []string{"api", "--listen", listen, "--keyset", filepath.Join(s.data, "keyset.json")},
		env:  []string{"DATABASE_URL=" + cluster.DSN("latchkey"), "TEMPORAL_ADDRESS=" + temporal, "TEMPORAL_NAMESPACE=latchkey"}}
	p.start()
	s.t.Cleanup(p.stop)
	s.url = "http://" + listen
}

// proxy is a line to a server that can be cut.
type proxy struct {
	target   string
	listener net.Listener

	mu    sync.Mutex
	down  bool
	lines map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: listener, lines: map[net.Conn]bool{}}
	go p.serve()
	t.Cleanup(func() {
		p.cut()
		_ = listener.Close() // nobody uses it any more
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(near, far) {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		go p.carry(near, far)
		go p.carry(far, near)
	}
}

func (p *proxy) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from) // until one side ends
	_, _ = from.Close(), to.Close()
}

func (p *proxy) keep(lines ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range lines {
		p.lines[line] = true
	}
	return !p.down
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for line := range p.lines {
		_ = line.Close()
	}
	clear(p.lines)
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}
