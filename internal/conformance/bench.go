package conformance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What stands at the panels of the checks.
const (
	frontDoor = "ent_1"
	garage    = "ent_2"
	firstKey  = "key_1" // in slot 1
	secondKey = "key_2" // in slot 2
	slots     = 4
)

// patience is how long a check waits for what a panel must do by itself.
const patience = 20 * time.Second

// quiet is how long a check watches for what must not happen.
const quiet = 400 * time.Millisecond

// bench is one panel at one engine, for one check.
type bench struct {
	t      testing.TB
	ctx    context.Context
	panel  Panel
	engine *engine
	device Device
	codes  *[]string // booking codes that nobody may see

	base   time.Duration // how far ahead the clocks of panel and engine are to begin with
	skewed time.Duration // and how far the check has moved them
}

func newBench(t testing.TB, kind string, p Panel) *bench {
	t.Helper()
	listen := p.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	e, err := startEngine(listen, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return &bench{t: t, ctx: t.Context(), panel: p, engine: e, codes: new([]string)}
}

// start turns the panel on.
func (b *bench) start() {
	b.t.Helper()
	b.device = b.panel.Start(b.t, b.engine.url, b.engine.code)
	b.device.Control = strings.TrimSuffix(b.device.Control, "/")
}

// enrolled turns the panel on and waits until it has enrolled and reported.
func (b *bench) enrolled() {
	b.t.Helper()
	b.start()
	b.await("the panel enrols, reports and asks for all that it should hold", func(e *engine) bool { return len(e.batches) > 0 && len(e.syncs) > 0 })
	b.awaitLook("the panel has taken in the answers", func(s sim) bool {
		return s.Kind == b.engine.kind && (len(s.Entrances) > 0 || s.slotOf(firstKey) > 0 && s.slotOf(secondKey) > 0)
	})
}

// finish is the end of every check: what the engine found wrong, and codes that
// someone could have read.
func (b *bench) finish() {
	b.t.Helper()
	b.engine.do(func(e *engine) {
		for _, v := range e.violations {
			b.t.Errorf("protocol: %s", v)
		}
		e.violations = nil
		for _, code := range *b.codes {
			if slices.ContainsFunc(e.said, func(batch string) bool { return strings.Contains(batch, code) }) {
				b.t.Errorf("P1: a booking code is in an event")
			}
		}
	})
}

// await waits for something the panel must say by itself.
func (b *bench) await(what string, holds func(*engine) bool) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	if err := b.engine.await(ctx, holds); err != nil {
		b.engine.do(func(e *engine) {
			b.t.Errorf("heard: %d enrolments, %d batches, syncs %+v, taps %+v, protocol %v", len(e.enrolments), len(e.batches), e.syncs, e.taps, e.violations)
		})
		b.t.Fatalf("it does not happen that %s", what)
	}
}

// awaitLook waits for something that the panel must show.
func (b *bench) awaitLook(what string, holds func(sim) bool) {
	b.t.Helper()
	var said []byte
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var s sim
		if _, said, err = call(b.ctx, http.MethodGet, b.device.Control+"/sim", nil, ""); err == nil && json.Unmarshal(said, &s) == nil && holds(s) {
			return
		}
	}
	b.t.Fatalf("it does not happen that %s: %s %v", what, said, err)
}

// never watches for a while for something that must not happen.
func (b *bench) never(what string, holds func(*engine) bool) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, quiet)
	defer stop()
	if b.engine.await(ctx, holds) == nil {
		b.t.Fatalf("it must not happen that %s", what)
	}
}

// message is a signed request of the engine; change may spoil it first.
func (b *bench) message(typ string, body any, change func(*reply)) (token, jti string) {
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	r := &reply{key: b.engine.key, envelope: b.engine.envelope(b.engine.panelID, typ), body: body}
	if change != nil {
		change(r)
	}
	return b.engine.seal(r), r.Jti
}

// address is where the panel takes messages.
func (b *bench) address() (address string) {
	b.engine.do(func(e *engine) { address = e.address })
	if b.device.Address != "" {
		return b.device.Address
	}
	return address
}

// deliver brings a message to the panel as it is.
func (b *bench) deliver(method, path, token string) (code int, answer []byte, err error) {
	header := map[string]string{"Content-Type": mediaType}
	if method == http.MethodGet {
		header, token = map[string]string{"Authorization": "Bearer " + token}, ""
	}
	code, media, answer, err := callFor(b.ctx, method, b.address()+path, header, token)
	if err == nil && code == http.StatusOK && media != mediaType {
		b.t.Errorf("%s %s is answered with %q instead of %s", method, path, media, mediaType)
	}
	return code, answer, err
}

// ask sends a request that the panel must answer, and holds the answer to the
// protocol.
func (b *bench) ask(method, path, typ string, body any, answerTyp string, answer any) {
	b.t.Helper()
	token, jti := b.message(typ, body, nil)
	code, said, err := b.deliver(method, path, token)
	if err != nil || code != http.StatusOK {
		b.t.Fatalf("%s %s: status %d %s %v", method, path, code, said, err)
	}
	b.answered(said, answerTyp, jti, answer)
}

// answered holds an answer of the panel to the protocol.
func (b *bench) answered(said []byte, typ, re string, answer any) {
	b.t.Helper()
	var key ed25519.PublicKey
	b.engine.do(func(e *engine) { key = e.panelKey })
	e, err := open(string(said), key)
	if err == nil {
		err = e.check(b.engine.panelID, engineName, typ, re, b.engine.now())
	}
	if err == nil {
		err = json.Unmarshal(e.Body, answer)
	}
	if err != nil {
		b.t.Fatalf("the answer to a request: %v", err)
	}
}

// refused delivers a message that the panel must refuse: with a status in the four
// hundreds and one of these codes.
func (b *bench) refused(what, method, path, token string, codes ...string) {
	b.t.Helper()
	code, said, err := b.deliver(method, path, token)
	var p problem
	if err == nil {
		err = json.Unmarshal(said, &p)
	}
	if err != nil || code < 400 || code > 499 || !slices.Contains(codes, p.Code) || p.Detail == "" {
		b.t.Errorf("%s must be refused with a status 4xx, one of the codes %v and a detail, but the answer is %d %s %v", what, codes, code, said, err)
	}
}

// put gives the panel a grant, and returns the revision that it says it holds.
func (b *bench) put(g grant) int64 {
	b.t.Helper()
	b.engine.do(func(e *engine) { g.LeaseUntil = e.leased() })
	var ack grantAck
	b.ask(http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), "grant", g, "grant_ack", &ack)
	if ack.GrantID != g.GrantID {
		b.t.Fatalf("the acknowledgement of grant %s names grant %q", g.GrantID, ack.GrantID)
	}
	return ack.Revision
}

// command sends a command.
func (b *bench) command(c command) (r result) {
	b.t.Helper()
	b.ask(http.MethodPost, "/commands", "command", c, "result", &r)
	if r.CommandID != c.CommandID || r.At.IsZero() {
		b.t.Fatalf("the result of command %s is %+v", c.CommandID, r)
	}
	return r
}

// mustCommand sends a command that must have this result, and open or not.
func (b *bench) mustCommand(c command, want string) result {
	b.t.Helper()
	r := b.command(c)
	if r.Result != want {
		b.t.Fatalf("the result of the command must be %s, but is %s", want, r.Result)
	}
	b.mustHaveOpened(c.CommandID, map[bool]int{true: 1}[want == "opened"])
	return r
}

// mustHaveOpened counts how often a command opened something.
func (b *bench) mustHaveOpened(commandID string, times int) {
	b.t.Helper()
	n := 0
	for _, o := range b.look().Opened {
		if o.CommandID == commandID {
			n++
		}
	}
	if n != times {
		b.t.Fatalf("the command must have opened %d times, but has %d times", times, n)
	}
}

// status asks the panel how it is.
func (b *bench) status() (s status) {
	b.t.Helper()
	b.ask(http.MethodGet, "/status", "status_query", struct{}{}, "status", &s)
	return s
}

// newID is an id that no other check uses.
func newID(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()[:16]) }

// grant is one of this panel's kind that gives access now: to both entrances, or to
// the first key. The code of a reservation is its second value.
func (b *bench) grant() (grant, string) {
	b.t.Helper()
	from, to := b.engine.now().Add(-time.Hour), b.engine.now().Add(time.Hour)
	g := grant{GrantID: newID("inv"), Kind: "invitation", Revision: 3, StartsAt: &from, EndsAt: &to, EntranceIDs: []string{frontDoor, garage}}
	if b.engine.kind != SmartBoxKind {
		return g, ""
	}
	code := newCode()
	*b.codes = append(*b.codes, code)
	g.GrantID, g.Kind, g.EntranceIDs, g.KeyID = newID("res"), "reservation", []string{}, firstKey
	g.CodeJWE = b.seal(g.GrantID, code)
	return g, code
}

// held is a grant that the panel holds.
func (b *bench) held() (grant, string) {
	b.t.Helper()
	g, code := b.grant()
	if got := b.put(g); got != g.Revision {
		b.t.Fatalf("the panel must hold revision %d of a new grant, but says %d", g.Revision, got)
	}
	return g, code
}

func (b *bench) seal(grantID, code string) string {
	b.t.Helper()
	var sealed string
	var err error
	b.engine.do(func(e *engine) {
		if e.boxKey == nil {
			err = fmt.Errorf("the panel sent no encryption_key when it enrolled")
			return
		}
		sealed, err = sealCode(e.boxKey, jose.ECDH_ES, jose.A256GCM, grantID, code)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return sealed
}

func newCode() string {
	digits := make([]byte, 8)
	_, _ = rand.Read(digits) // never fails
	for n := range digits {
		digits[n] = '0' + digits[n]%10
	}
	return string(digits)
}

// opens is a command that opens by a grant, if the panel lets it: the front door, or
// the slot of the key for pickup.
func (b *bench) opens(g grant) command {
	b.t.Helper()
	c := command{CommandID: newID("cmd"), Op: "unlock", EntranceID: frontDoor, GrantID: g.GrantID, GrantRevision: g.Revision, BootID: b.status().BootID, ExpiresAt: b.engine.now().Add(10 * time.Second)}
	if b.engine.kind == SmartBoxKind {
		c.Op, c.EntranceID, c.Purpose, c.KeyID, c.PanelCode = "open_slot", "", "pickup", g.KeyID, b.look().Number
	}
	return c
}

// fresh is a command again in all but its id.
func fresh(c command) command {
	c.CommandID = newID("cmd")
	return c
}

// reported waits for an event, which must come once.
func (b *bench) reported(what string, is func(event) bool) (found event) {
	b.t.Helper()
	b.await("the panel reports "+what, func(e *engine) bool {
		found = event{}
		for _, events := range e.events {
			if n := slices.IndexFunc(events, is); n >= 0 {
				found = events[n]
				return true
			}
		}
		return false
	})
	b.engine.do(func(e *engine) {
		n := 0
		for _, events := range e.events {
			for _, event := range events {
				if is(event) {
					n++
				}
			}
		}
		if n != 1 {
			b.t.Errorf("the panel must report %s once, but has %d times", what, n)
		}
	})
	return found
}
