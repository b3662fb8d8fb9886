package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// The paths on which a panel calls its engine.
const (
	pathEnrol  = "/panel/v1/enrol"
	pathEvents = "/panel/v1/events"
	pathTaps   = "/panel/v1/taps"
	pathSync   = "/panel/v1/sync"
)

// engine is the other end of the protocol, made from its description alone. It
// answers as told, and holds every message of the panel to the protocol: what it
// finds wrong is in violations, which every check ends by reading.
type engine struct {
	url     string
	key     ed25519.PrivateKey
	keyID   string
	code    string // the enrolment code
	panelID string
	kind    string
	server  *http.Server

	mu      sync.Mutex
	changed chan struct{} // closed and made anew with every message
	script
	heard
}

// script is what the engine does.
type script struct {
	offset  time.Duration         // its clock is ahead by this
	lose    map[string]int        // by path: how many requests are taken in and not answered
	losing  func(eventBatch) bool // which reports are taken in and not answered
	away    map[string]bool
	lease   time.Duration // by how much every contact renews it; 0: not
	hold    []holding     // parts of what the panel should hold
	ack     func(b eventBatch, upTo int64) int64
	onAck   func(*eventsAck)
	onTap   func(tap) tapAnswer
	onEnrol func(*reply)
	onReply func(typ string, r *reply) // the last word on any answer
}

// newScript is an engine at which all is well.
func newScript() script {
	return script{lose: map[string]int{}, away: map[string]bool{}, lease: 72 * time.Hour}
}

// leased is until when a panel may admit by itself. The caller holds mu.
func (e *engine) leased() *time.Time {
	if e.lease == 0 {
		return nil
	}
	until := time.Now().Add(e.offset + e.lease).UTC()
	return &until
}

// heard is what the panel said.
type heard struct {
	panelKey   ed25519.PublicKey
	boxKey     *ecdsa.PublicKey
	address    string
	enrolments []enrolRequest
	batches    []eventBatch
	syncs      []syncRequest
	taps       []tap
	mail       mailbox
	jtis       map[string]bool
	events     map[string][]event // by boot, each once
	boots      []string           // in order of appearance
	said       []string           // every batch of events as it came
	violations []string
	version    int64 // of the newest policy document of all checks
}

// reply is an answer before it is signed.
type reply struct {
	key ed25519.PrivateKey
	envelope
	body any
}

func startEngine(listen, kind string) (*engine, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, err
	}
	e := &engine{
		url: "http://" + listener.Addr().String(), key: key, keyID: "eng_" + rand.Text()[:8], kind: kind, changed: make(chan struct{}),
		panelID: "pan_" + strings.ToLower(rand.Text()[:12]),
		script:  newScript(),
		heard:   heard{jtis: map[string]bool{}, events: map[string][]event{}, mail: mailbox{answered: map[string]string{}, refused: map[string]string{}}},
	}
	e.code = newEnrolmentCode(key.Public().(ed25519.PublicKey))
	e.hold = []holding{e.holding()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathEnrol, e.serve(pathEnrol, "enrol", "enrolled", e.enrol))
	mux.HandleFunc("POST "+pathEvents, e.serve(pathEvents, "events", "events_ack", take(e.takeEvents)))
	mux.HandleFunc("POST "+pathSync, e.serve(pathSync, "sync", "sync_answer", take(e.takeSync)))
	mux.HandleFunc("GET "+pathPoll, e.servePoll)
	mux.HandleFunc("POST "+pathAnswers, e.serve(pathAnswers, "answers", "answers_ack", take(e.takeAnswers)))
	mux.HandleFunc("POST "+pathTaps, e.serve(pathTaps, "tap", "tap_answer", take(e.takeTap)))
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = e.server.Serve(listener) }() // ends with close
	return e, nil
}

func (e *engine) close() { _ = e.server.Close() }

// holding is what the panel of a check stands at, with these grants.
func (e *engine) holding(grants ...grant) holding {
	h := holding{Grants: append([]grant{}, grants...), Entrances: []entrance{}, TimeZone: "Asia/Tokyo", Kind: e.kind}
	if e.kind == SmartBoxKind {
		h.Slots, h.Keys = slots, []keyPlace{{KeyID: firstKey, Slot: 1}, {KeyID: secondKey, Slot: 2}}
		return h
	}
	h.Entrances = []entrance{{EntranceID: frontDoor, Name: "Front door"}, {EntranceID: garage, Name: "Garage"}}
	return h
}

// do changes the script, or reads what was heard.
func (e *engine) do(change func(e *engine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *engine) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().Add(e.offset)
}

// await waits until something holds of what was heard.
func (e *engine) await(ctx context.Context, holds func(e *engine) bool) error {
	for {
		e.mu.Lock()
		ok, changed := holds(e), e.changed
		e.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// violation notes a breach of the protocol. The caller holds mu.
func (e *engine) violation(format string, arguments ...any) {
	e.violations = append(e.violations, fmt.Sprintf(format, arguments...))
}

// serve takes in a message of the panel, holds it to the protocol and answers it.
func (e *engine) serve(path, typ, answerTyp string, handle func(envelope, json.RawMessage) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		document, err := io.ReadAll(io.LimitReader(r.Body, maxMessage+1))
		if err != nil {
			return // the panel has gone
		}
		e.mu.Lock()
		defer func() {
			close(e.changed)
			e.changed = make(chan struct{})
			e.mu.Unlock()
		}()
		if e.away[path] {
			refuse(w, http.StatusServiceUnavailable, "away", "The engine is away.")
			return
		}
		if got := r.Header.Get("Content-Type"); got != mediaType {
			e.violation("a %s message came as %q instead of %s", typ, got, mediaType)
		}
		message, err := e.receive(string(document), typ)
		var body any
		if err == nil {
			body, err = handle(message, message.Body)
		}
		if err != nil {
			if !errors.Is(err, errTime) { // a clock that a check has moved
				e.violation("a %s message is wrong: %v", typ, err)
			}
			refuse(w, http.StatusBadRequest, "malformed", err.Error())
			return
		}
		if e.lost(path) {
			hangUp(w)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = io.WriteString(w, e.answer(message, answerTyp, body)) // if the panel has gone it will ask again
	}
}

// lost says whether the answer to what was just heard gets lost. The caller holds mu.
func (e *engine) lost(path string) bool {
	if e.lose[path] > 0 {
		e.lose[path]--
		return true
	}
	return path == pathEvents && e.losing != nil && len(e.batches) > 0 && e.losing(e.batches[len(e.batches)-1])
}

// receive opens a message and holds its envelope to the protocol. The caller holds mu.
func (e *engine) receive(token, typ string) (envelope, error) {
	key, iss := e.panelKey, e.panelID
	if typ == "enrol" {
		iss = unenrolled
		asked, err := peek(token)
		var request enrolRequest
		if err = errors.Join(err, json.Unmarshal(asked.Body, &request)); err != nil {
			return envelope{}, err
		}
		if key, err = request.PublicKey.ed25519Key(); err != nil {
			return envelope{}, err
		}
	}
	message, err := open(token, key)
	if err != nil {
		return message, err
	}
	if err := message.check(iss, engineName, typ, "", time.Now().Add(e.offset)); err != nil {
		return message, err
	}
	if e.jtis[message.Jti] {
		return message, fmt.Errorf("the jti %s came before", message.Jti)
	}
	e.jtis[message.Jti] = true
	if typ == "events" {
		e.said = append(e.said, string(message.Body))
	}
	return message, nil
}

// answer signs an answer. The caller holds mu.
func (e *engine) answer(to envelope, typ string, body any) string {
	r := &reply{key: e.key, envelope: e.envelope(to.Iss, typ), body: body}
	r.Re = to.Jti
	if typ == "enrolled" && e.onEnrol != nil {
		e.onEnrol(r)
	}
	if e.onReply != nil {
		e.onReply(typ, r)
	}
	return e.seal(r)
}

// envelope is a new one of the engine. The caller holds mu.
func (e *engine) envelope(aud, typ string) envelope {
	now := time.Now().Add(e.offset)
	return envelope{Iss: engineName, Aud: aud, Iat: now.Unix(), Exp: now.Add(lifetime).Unix(), Jti: rand.Text(), Typ: typ}
}

func (e *engine) seal(r *reply) string {
	if r.body != nil {
		document, err := json.Marshal(r.body)
		if err != nil {
			return ""
		}
		r.Body = document
	}
	payload, err := json.Marshal(r.envelope)
	if err != nil {
		return ""
	}
	return signWith(r.key, map[string]any{"alg": "EdDSA", "kid": e.keyID}, payload)
}

// take reads the body of a message for who handles it.
func take[Q any](handle func(Q) (any, error)) func(envelope, json.RawMessage) (any, error) {
	return func(_ envelope, body json.RawMessage) (any, error) {
		var q Q
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		return handle(q)
	}
}

func (e *engine) enrol(_ envelope, body json.RawMessage) (any, error) {
	var request enrolRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	key, err := request.PublicKey.ed25519Key()
	if err != nil {
		return nil, err
	}
	if request.PublicKey.D != "" || request.EncryptionKey != nil && request.EncryptionKey.D != "" {
		return nil, errors.New("a private key was sent")
	}
	if request.EncryptionKey != nil {
		if e.boxKey, err = request.EncryptionKey.p256Key(); err != nil {
			return nil, err
		}
	}
	e.enrolments = append(e.enrolments, request)
	e.panelKey, e.address = key, strings.TrimSuffix(request.Address, "/")
	engineKey := publicJWK(e.keyID, e.key.Public().(ed25519.PublicKey))
	first := e.hold[0]
	first.Next, first.LeaseUntil = "", e.leased() // the rest comes with the sync
	return enrolAnswer{PanelID: e.panelID, EngineKeys: jwkSet{Keys: []jwk{engineKey}}, holding: first}, nil
}

// takeEvents holds a batch to P6: counted from 1, without a gap, a repetition equal
// to what it repeats, and no boot after a later one.
func (e *engine) takeEvents(b eventBatch) (any, error) {
	e.batches = append(e.batches, b)
	if n := len(e.boots); n == 0 || e.boots[n-1] != b.BootID {
		if _, known := e.events[b.BootID]; known {
			e.violation("events of the boot %s came after those of a later one", b.BootID)
		}
		e.boots = append(e.boots, b.BootID)
	}
	held := e.events[b.BootID]
	for n, event := range b.Events {
		switch at := int(event.Seq); {
		case n > 0 && event.Seq != b.Events[n-1].Seq+1, at < 1, at > len(held)+1:
			e.violation("event %d of boot %s does not follow the one before it", event.Seq, b.BootID)
		case at == len(held)+1:
			held = append(held, event)
		case !reflect.DeepEqual(held[at-1], event):
			e.violation("event %d of boot %s was reported before as another one", event.Seq, b.BootID)
		}
		if event.At.IsZero() || event.Type == "" {
			e.violation("event %d of boot %s has no at or no type", event.Seq, b.BootID)
		}
	}
	e.events[b.BootID] = held
	upTo := int64(len(held))
	if e.ack != nil {
		upTo = e.ack(b, upTo)
	}
	ack := eventsAck{BootID: b.BootID, Seq: upTo, LeaseUntil: e.leased()}
	if e.onAck != nil {
		e.onAck(&ack)
	}
	return ack, nil
}

func (e *engine) takeSync(q syncRequest) (any, error) {
	e.syncs = append(e.syncs, q)
	for n, part := range e.hold {
		if n == 0 && q.After == "" || n > 0 && q.After == e.hold[n-1].Next {
			part.LeaseUntil = e.leased()
			return part, nil
		}
	}
	return nil, fmt.Errorf("after %q was in no answer", q.After)
}

func (e *engine) takeTap(q tap) (any, error) {
	e.taps = append(e.taps, q)
	if e.onTap == nil {
		return tapAnswer{Result: "expired"}, nil
	}
	return e.onTap(q), nil
}

func refuse(w http.ResponseWriter, code int, name, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problem{Code: name, Detail: detail}) // if the panel has gone there is nobody to tell
}

// hangUp breaks the connection: the request arrived and the answer is lost.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if connection, _, err := h.Hijack(); err == nil {
			_ = connection.Close() // it is to be broken
		}
	}
}
