package panel_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/panel"
)

// fakePanel is a panel at the other end of real HTTP: it opens each request as a
// panel does and lets the test say how it answers.
type fakePanel struct {
	server *httptest.Server
	key    ed25519.PrivateKey
	client *panel.Client
	target panel.Target
	guard  panel.Memory

	mu       sync.Mutex
	received []string
}

type respond func(w http.ResponseWriter, id string)

func startPanel(t *testing.T, typ panel.Type, answer func(p *fakePanel) respond) *fakePanel {
	t.Helper()
	engineKey, panelKey := newKey(t), newKey(t)
	p := &fakePanel{key: panelKey, client: panel.NewClient(panel.Engine{KeyID: "eng_1", Key: engineKey})}
	handle := answer(p)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodGet {
			document = []byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}
		var body map[string]any
		want := panel.Expect{Issuer: panel.EngineName, Audience: "pan_1", Type: typ}
		e, err := panel.Open(r.Context(), string(document), engineKey.Public().(ed25519.PublicKey), want, time.Now(), &p.guard, &body)
		if err != nil {
			t.Errorf("the panel refuses %s %s: %v", r.Method, r.URL.Path, err)
		}
		p.mu.Lock()
		p.received = append(p.received, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Content-Type"))
		p.mu.Unlock()
		handle(w, e.ID)
	}))
	t.Cleanup(p.server.Close)
	p.target = panel.Target{PanelID: "pan_1", Address: p.server.URL, PublicKey: panelKey.Public().(ed25519.PublicKey)}
	return p
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed answers with a body as the panel.
func signed(t *testing.T, key ed25519.PrivateKey, as string, typ panel.Type, re string, body any) string {
	t.Helper()
	token, _, err := panel.Signer{Name: as, Key: key}.Sign(panel.EngineName, typ, re, body, time.Now())
	if err != nil {
		t.Error(err)
	}
	return token
}

func TestClientSpeaksTheProtocol(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	t.Run("grant", func(t *testing.T) {
		p := startPanel(t, panel.TypeGrant, func(p *fakePanel) respond {
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_1", panel.TypeGrantAck, id, panel.Ack{GrantID: "inv/1", Revision: 4}))
			}
		})
		ack, err := p.client.PutGrant(t.Context(), p.target, panel.Grant{GrantID: "inv/1", Revision: 3})
		if err != nil || ack.Revision != 4 {
			t.Errorf("ack %+v, %v", ack, err)
		}
		if want := "PUT /grants/inv%2F1 application/jose"; p.received[0] != want {
			t.Errorf("sent %q, want %q", p.received[0], want)
		}
		if _, err := p.client.PutGrant(t.Context(), p.target, panel.Grant{GrantID: "inv_2"}); !errors.Is(err, panel.ErrOutcomeUnknown) {
			t.Errorf("another grant's acknowledgement was taken: %v", err)
		}
	})
	t.Run("command", func(t *testing.T) {
		p := startPanel(t, panel.TypeCommand, func(p *fakePanel) respond {
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_1", panel.TypeResult, id, panel.CommandResult{CommandID: "cmd_1", Result: panel.ResultOpened, At: at})+"\n")
			}
		})
		result, err := p.client.Command(t.Context(), p.target, panel.Command{CommandID: "cmd_1"})
		if err != nil || result.Result != panel.ResultOpened || !result.At.Equal(at) {
			t.Errorf("result %+v, %v", result, err)
		}
		if _, err := p.client.Command(t.Context(), p.target, panel.Command{CommandID: "cmd_2"}); !errors.Is(err, panel.ErrOutcomeUnknown) {
			t.Errorf("another command's result was taken: %v", err)
		}
	})
	t.Run("status", func(t *testing.T) {
		p := startPanel(t, panel.TypeStatusQuery, func(p *fakePanel) respond {
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_1", panel.TypeStatus, id, panel.Status{PanelID: "pan_1", Kind: "door", BootID: "b", At: at, Grants: 2}))
			}
		})
		if status, err := p.client.Status(t.Context(), p.target); err != nil || status.Grants != 2 || status.BootID != "b" {
			t.Errorf("status %+v, %v", status, err)
		}
	})
}

// P4: whatever is not the panel's own signed answer to this very request leaves the
// outcome unknown.
func TestClientBelievesOnlyThePanel(t *testing.T) {
	result := panel.CommandResult{CommandID: "cmd_1", Result: panel.ResultOpened, At: time.Now()}
	tests := map[string]func(t *testing.T, p *fakePanel) respond{
		"signed by somebody else": func(t *testing.T, _ *fakePanel) respond {
			key := newKey(t)
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, key, "pan_1", panel.TypeResult, id, result))
			}
		},
		"in another panel's name": func(t *testing.T, p *fakePanel) respond {
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_2", panel.TypeResult, id, result))
			}
		},
		"an answer to another request": func(t *testing.T, p *fakePanel) respond {
			return func(w http.ResponseWriter, _ string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_1", panel.TypeResult, "other", result))
			}
		},
		"an answer of another type": func(t *testing.T, p *fakePanel) respond {
			return func(w http.ResponseWriter, id string) {
				_, _ = io.WriteString(w, signed(t, p.key, "pan_1", panel.TypeGrantAck, id, result))
			}
		},
		"no signature": func(*testing.T, *fakePanel) respond { return say(http.StatusOK, `{"result":"opened"}`) },
		"endless": func(*testing.T, *fakePanel) respond {
			return say(http.StatusOK, strings.Repeat("a", 2*panel.MaxMessage))
		},
		"a server error": func(*testing.T, *fakePanel) respond { return say(http.StatusInternalServerError, "oh") },
		"a connection broken": func(*testing.T, *fakePanel) respond {
			return func(http.ResponseWriter, string) { panic(http.ErrAbortHandler) } // how a handler of net/http hangs up
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPanel(t, panel.TypeCommand, func(p *fakePanel) respond { return answer(t, p) })
			_, err := p.client.Command(t.Context(), p.target, panel.Command{CommandID: "cmd_1"})
			if !errors.Is(err, panel.ErrOutcomeUnknown) || errors.Is(err, panel.ErrUnreachable) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	t.Run("a refusal says why", func(t *testing.T) {
		p := startPanel(t, panel.TypeCommand, func(*fakePanel) respond {
			return say(http.StatusBadRequest, `{"code":"expired_message","detail":"too old"}`)
		})
		_, err := p.client.Command(t.Context(), p.target, panel.Command{CommandID: "cmd_1"})
		if refusal, ok := panel.AsError(err); !ok || refusal.Code != panel.CodeExpiredMessage || !errors.Is(err, panel.ErrOutcomeUnknown) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a redirect is not followed", func(t *testing.T) {
		var followed atomic.Bool
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
		defer elsewhere.Close()
		p := startPanel(t, panel.TypeCommand, func(*fakePanel) respond {
			return func(w http.ResponseWriter, _ string) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
		if _, err := p.client.Command(t.Context(), p.target, panel.Command{CommandID: "cmd_1"}); !errors.Is(err, panel.ErrOutcomeUnknown) || followed.Load() {
			t.Errorf("the error is %v, followed: %t", err, followed.Load())
		}
	})
}

func say(status int, text string) respond {
	return func(w http.ResponseWriter, _ string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// A panel that surely heard nothing is told apart from one that may have acted.
func TestClientTellsUnreachableFromUnknown(t *testing.T) {
	client := panel.NewClient(panel.Engine{KeyID: "eng_1", Key: newKey(t)})
	send := func(ctx context.Context, address string) error {
		_, err := client.Command(ctx, panel.Target{PanelID: "pan_1", Address: address, PublicKey: newKey(t).Public().(ed25519.PublicKey)}, panel.Command{CommandID: "cmd_1"})
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		if err := send(t.Context(), gone.URL); !errors.Is(err, panel.ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("not an address", func(t *testing.T) {
		for _, address := range []string{"", "front door", "http://panel.invalid:9", "ftp://panel"} {
			if err := send(t.Context(), address); !errors.Is(err, panel.ErrUnreachable) {
				t.Errorf("%q: %v", address, err)
			}
		}
	})
	t.Run("the deadline was over before", func(t *testing.T) {
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if err := send(done, "http://127.0.0.1:9"); !errors.Is(err, panel.ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("heard and silent", func(t *testing.T) {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Read(make([]byte, 1)) // the request has begun to arrive
			cancel()                                // and the caller gives up
			<-t.Context().Done()
			_ = connection.Close()
		}()
		t.Cleanup(func() { _ = listener.Close(); <-heard })
		if err := send(ctx, "http://"+listener.Addr().String()); !errors.Is(err, panel.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
