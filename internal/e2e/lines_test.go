package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// line is a connection to a server that can be cut.
type line struct {
	target   string
	listener net.Listener

	mu    sync.Mutex
	down  bool
	ends  map[net.Conn]bool
	calls sync.WaitGroup
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{target: target, listener: listener, ends: map[net.Conn]bool{}}
	l.calls.Go(l.serve)
	t.Cleanup(func() {
		_ = listener.Close() // nobody uses it any more
		l.cut()
		l.calls.Wait()
	})
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", l.target)
		if err != nil || !l.keep(near, far) {
			_ = near.Close() // it is to be broken
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		l.calls.Go(func() { carry(near, far) })
		l.calls.Go(func() { carry(far, near) })
	}
}

// carry copies until one side ends, and then ends both.
func carry(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
}

func (l *line) keep(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range ends {
		l.ends[end] = true
	}
	return !l.down
}

// cut breaks the line: what is under way is lost, and what comes is not carried.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for end := range l.ends {
		_ = end.Close()
	}
	clear(l.ends)
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// gate stands before a panel and can hold back its answers to commands.
type gate struct {
	url  string
	mu   sync.Mutex
	held chan struct{} // takes a value when an answer is held back
	open chan struct{} // closed when answers may pass
}

func newGate(t *testing.T, panelURL string) *gate {
	t.Helper()
	target, err := url.Parse(panelURL)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path == "/commands" {
				g.pass()
			}
			return nil
		},
	})
	g.url = server.URL
	t.Cleanup(func() {
		g.release()
		server.Close()
	})
	return g
}

// hold keeps answers back from now on; the channel tells of each.
func (g *gate) hold() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.open = make(chan struct{}, 10), make(chan struct{})
	return g.held
}

func (g *gate) pass() {
	g.mu.Lock()
	held, open := g.held, g.open
	g.mu.Unlock()
	if open != nil {
		held <- struct{}{}
		<-open
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		close(g.open)
		g.held, g.open = nil, nil
	}
}
