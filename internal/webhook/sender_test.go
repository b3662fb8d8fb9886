package webhook

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/directory"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

func message(url string) Message {
	return Message{URL: url, Secrets: []string{secret}, Event: directory.Event{ID: "evt_1"}}
}

// E4: the signature is that of the specification's own example.
func TestSignatureOfTheSpecification(t *testing.T) {
	t.Parallel()
	m := Message{Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, Event: directory.Event{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek"}}
	signatures, err := sign(m, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	if err != nil || len(signatures) != 1 || signatures[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%q, %v", signatures, err)
	}
}

// E4: what becomes of an attempt, by what the endpoint does.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/taken":
			w.WriteHeader(http.StatusCreated)
		case "/redirect":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/forever":
			w.Header().Set("Retry-After", "99999999999999")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/long":
			_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 10<<20)))
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}
	}))
	t.Cleanup(server.Close)
	secure := httptest.NewUnstartedServer(server.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of who does not trust it
	secure.StartTLS()
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	slow, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Close() })

	s := NewSender(true, "test")
	s.client.Timeout = 2 * time.Second
	for url, want := range map[string]answer{
		server.URL + "/taken":              {status: 201},
		server.URL + "/long":               {status: 200},
		server.URL + "/redirect":           {status: 307, failed: FailedStatus},
		server.URL + "/busy":               {status: 429, failed: FailedStatus, retryAfter: 7 * time.Second},
		server.URL + "/forever":            {status: 503, failed: FailedStatus, retryAfter: time.Hour},
		server.URL + "/broken":             {failed: FailedConnection},
		server.URL + "/headers":            {failed: FailedConnection},
		secure.URL + "/taken":              {failed: FailedTLS},
		closed.URL:                         {failed: FailedRefused},
		"http://" + slow.Addr().String():   {failed: FailedTimeout},
		"http://no-such-host.invalid/":     {failed: FailedName},
		"http://169.254.169.254/meta-data": {failed: FailedAddress},
		"http://\x7f":                      {failed: FailedName},
	} {
		got, err := s.send(t.Context(), message(url), []byte("{}"), time.Now())
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", url, got, err, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// E4: the address counts that a name leads to when the connection is made.
func TestNamesThatLeadInside(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	inside := "http://localhost:" + port
	if got, err := NewSender(false, "test").send(t.Context(), message(inside), []byte("{}"), time.Now()); err != nil || got.failed != FailedAddress {
		t.Errorf("%+v, %v", got, err)
	}
	if reached.Load() != 0 {
		t.Error("the request left")
	}
	if got, err := NewSender(true, "test").send(t.Context(), message(inside), []byte("{}"), time.Now()); err != nil || got.failed != "" {
		t.Errorf("allowed by configuration: %+v, %v", got, err)
	}
}
