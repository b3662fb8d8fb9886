package panelsim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/panel"
	"latchkey/panelsim"
)

// fakeEngine is the other end of the protocol: it speaks real HTTP and real
// signatures and has no rules of its own.
type fakeEngine struct {
	t        *testing.T
	server   *httptest.Server
	identity panel.Engine
	client   *panel.Client
	code     string

	mu        sync.Mutex
	panelID   string
	panelKey  ed25519.PublicKey
	address   string
	enrolled  int
	grants    []panel.Grant
	entrances []panel.Entrance
	batches   []panel.EventBatch
	syncs     []panel.SyncRequest
	taps      []panel.Tap
	onTap     func(panel.Tap) panel.TapAnswer
	signTaps  panel.Signer // who signs answers to taps
	kind      string       // none: a door
	slots     int
	keys      []panel.KeyPlace
	boxKey    *jose.JSONWebKey // codes are encrypted to it
	lease     time.Time        // what every message gives; an hour from the start unless the test changes it
	policies  []panel.Policy
	resend    map[int64]int64 // what to ask for when a batch begins with an event: once
	failing   map[string]int  // by path: how many requests to fail still; -1 all
}

func startEngine(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{t: t, panelID: "pan_1", lease: time.Now().Add(time.Hour), resend: map[int64]int64{}, failing: map[string]int{}, entrances: []panel.Entrance{{EntranceID: "ent_1", Name: "Front door"}, {EntranceID: "ent_2", Name: "Garage"}}}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.identity = panel.Engine{KeyID: "eng_1", Key: key}
	e.signTaps = e.identity.Signer()
	e.client = panel.NewClient(e.identity)
	e.code = e.newCode()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /panel/v1/enrol", e.enrol)
	mux.HandleFunc("POST /panel/v1/events", fromPanel(e, panel.TypeEvents, panel.TypeEventsAck, func(b panel.EventBatch) any {
		e.batches = append(e.batches, b)
		ack := panel.EventsAck{BootID: b.BootID, LeaseUntil: &e.lease}
		if len(b.Events) > 0 && e.resend[b.Events[0].Seq] > 0 {
			ack.ResendFrom, ack.Seq = e.resend[b.Events[0].Seq], e.resend[b.Events[0].Seq]-1
			delete(e.resend, b.Events[0].Seq)
			return ack
		}
		if len(b.Events) > 0 {
			ack.Seq = b.Events[len(b.Events)-1].Seq
		}
		return ack
	}))
	mux.HandleFunc("POST /panel/v1/sync", fromPanel(e, panel.TypeSync, panel.TypeSyncAnswer, func(s panel.SyncRequest) any {
		e.syncs = append(e.syncs, s)
		return panel.SyncAnswer{Grants: e.grants, Entrances: e.entrances, Policies: e.policies, LeaseUntil: &e.lease, TimeZone: "Asia/Tokyo", Kind: e.kind, Slots: e.slots, Keys: e.keys}
	}))
	mux.HandleFunc("POST /panel/v1/taps", fromPanel(e, panel.TypeTap, panel.TypeTapAnswer, func(tap panel.Tap) any {
		e.taps = append(e.taps, tap)
		return e.onTap(tap)
	}))
	e.server = httptest.NewServer(e.maybeFail(mux))
	t.Cleanup(e.server.Close)
	return e
}

func (e *fakeEngine) newCode() string {
	code, _, err := panel.NewEnrolmentCode(e.identity.Key.Public().(ed25519.PublicKey))
	if err != nil {
		e.t.Fatal(err)
	}
	return code
}

// maybeFail takes in a request and breaks the connection, as often as failing says.
func (e *fakeEngine) maybeFail(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		left := e.failing[r.URL.Path]
		if left > 0 {
			e.failing[r.URL.Path]--
		}
		e.mu.Unlock()
		if left == 0 {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r) // it arrives; the answer is lost
		panic(http.ErrAbortHandler)               // how a handler of net/http hangs up
	})
}

func (e *fakeEngine) fail(path string, times int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing[path] = times
}

func (e *fakeEngine) enrol(w http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	request, key, envelope, err := panel.OpenEnrolment(r.Context(), string(document), time.Now(), nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || !bytes.Equal(panel.HashEnrolmentCode(request.EnrolmentCode), panel.HashEnrolmentCode(e.code)) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"code":"enrolment_refused","detail":"This enrolment code is not valid (any more)."}`)
		return
	}
	e.enrolled++
	e.panelKey, e.address, e.boxKey = key, request.Address, request.EncryptionKey
	token, err := e.identity.SignEnrolled(panel.EnrolAnswer{
		PanelID: e.panelID, Grants: e.grants, Entrances: e.entrances, Policies: e.policies, LeaseUntil: &e.lease, TimeZone: "Asia/Tokyo", Kind: e.kind, Slots: e.slots, Keys: e.keys,
	}, envelope.ID, time.Now())
	if err != nil {
		e.t.Error(err)
	}
	_, _ = io.WriteString(w, token)
}

func fromPanel[Q any](e *fakeEngine, typ, answerType panel.Type, handle func(Q) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		document, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		var q Q
		want := panel.Expect{Issuer: e.panelID, Audience: panel.EngineName, Type: typ}
		envelope, err := panel.Open(r.Context(), string(document), e.panelKey, want, time.Now(), nil, &q)
		if refusal, ok := panel.AsError(err); ok {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"code": string(refusal.Code), "detail": refusal.Detail})
			return
		}
		signer := e.identity.Signer()
		if typ == panel.TypeTap {
			signer = e.signTaps
		}
		token, _, err := signer.Sign(e.panelID, answerType, envelope.ID, handle(q), time.Now())
		if err != nil {
			e.t.Error(err)
		}
		_, _ = io.WriteString(w, token)
	}
}

// reported is every event that arrived, once, in order of first arrival.
func (e *fakeEngine) reported() (list []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[string]bool{}
	for _, b := range e.batches {
		for _, event := range b.Events {
			if key := b.BootID + string(rune(event.Seq)); !seen[key] {
				seen[key] = true
				list = append(list, event.Type+" "+event.CommandID+" "+event.Code)
			}
		}
	}
	return list
}

func (e *fakeEngine) syncCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.syncs)
}

// sim is a running panel and its owner's view of it.
type sim struct {
	t      *testing.T
	engine *fakeEngine
	panel  *panelsim.Panel
	stop   func()
}

// simState is what GET /sim says, by API.md's names.
type simState struct {
	Kind      string `json:"kind"`
	PanelID   string `json:"panel_id"`
	Online    bool   `json:"online"`
	BootID    string `json:"boot_id"`
	Entrances []struct {
		EntranceID string `json:"entrance_id"`
		Open       bool   `json:"open"`
	} `json:"entrances"`
	Grants []panel.Grant      `json:"grants"`
	Opened []panelsim.Opening `json:"opened"`
	Denied []panelsim.Denial  `json:"denied"`
	Clock  time.Time          `json:"clock"`
	Unsent int                `json:"unsent_events"`
	Number string             `json:"number"`
	Slots  []struct {
		Slot  int     `json:"slot"`
		Open  bool    `json:"open"`
		KeyID *string `json:"key_id"`
	} `json:"slots"`
	LockedUntil *time.Time     `json:"locked_until"`
	Policies    []panel.Policy `json:"policies"`
	LeaseUntil  *time.Time     `json:"lease_until"`
}

func newPanel(engine *fakeEngine, code, stateFile string) (*panelsim.Panel, error) {
	return panelsim.New(panelsim.Config{EngineURL: engine.server.URL, EnrolmentCode: code, Listen: "127.0.0.1:0", StateFile: stateFile, Logger: slog.New(slog.DiscardHandler)})
}

func stateFile(t *testing.T) string { return filepath.Join(t.TempDir(), "panel.state") }

// start runs a panel until it has told the engine that it is there and has asked
// for its grants. The test stops it, or its end does.
func (e *fakeEngine) start(code, stateFile string) *sim {
	e.t.Helper()
	p, err := newPanel(e, code, stateFile)
	if err != nil {
		e.t.Fatal(err)
	}
	syncs := e.syncCount()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	s := &sim{t: e.t, engine: e, panel: p, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			e.t.Error(err)
		}
	})}
	e.t.Cleanup(s.stop)
	await(e.t, "the panel has synced", func() bool { return e.syncCount() > syncs && s.state().Online })
	return s
}

// await polls until a condition holds; a minute is for a machine that is busy.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func (s *sim) state() (state simState) {
	s.t.Helper()
	s.control(http.MethodGet, "/sim", nil, http.StatusOK, &state)
	return state
}

// control calls the panel's own interface.
func (s *sim) control(method, path string, body any, status int, answer any) {
	s.t.Helper()
	document, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, s.panel.URL()+path, bytes.NewReader(document))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != status {
		s.t.Fatalf("%s %s: status %d, want %d", method, path, response.StatusCode, status)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sim) fault(mode, value string) {
	s.t.Helper()
	s.control(http.MethodPost, "/sim/fault", map[string]string{"mode": mode, "value": value}, http.StatusOK, new(simState))
}

func (s *sim) target() panel.Target {
	return panel.Target{PanelID: s.engine.panelID, Address: s.panel.URL(), PublicKey: s.engine.panelKey}
}

// command is one that opens ent_1, unless the test changes it.
func (s *sim) command(id string) panel.Command {
	s.t.Helper()
	return panel.Command{CommandID: id, Op: panel.OpUnlock, EntranceID: "ent_1", GrantID: "inv_1", GrantRevision: 2, BootID: s.state().BootID, ExpiresAt: time.Now().Add(10 * time.Second)}
}

func (s *sim) send(c panel.Command) panel.CommandResult {
	s.t.Helper()
	result, err := s.engine.client.Command(s.t.Context(), s.target(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *sim) put(g panel.Grant) int64 {
	s.t.Helper()
	ack, err := s.engine.client.PutGrant(s.t.Context(), s.target(), g)
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Revision
}

func (s *sim) wantOpened(commands ...string) {
	s.t.Helper()
	var got []string
	for _, o := range s.state().Opened {
		got = append(got, o.CommandID)
	}
	if !slices.Equal(got, commands) {
		s.t.Errorf("the doors opened for %q, want %q", got, commands)
	}
}
