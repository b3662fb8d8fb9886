package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The kinds of panels.
const (
	DoorKind     = "door"
	SmartBoxKind = "smartbox"
)

// Panel describes the panels under test.
type Panel struct {
	// Start turns on a panel that has not enrolled yet, which is to enrol with an
	// engine by a code. It may return before the panel has enrolled.
	Start func(t testing.TB, engineURL, code string) Device
	// StartPolling is Start for a panel that announces no address and fetches its
	// messages from the engine; nil: there are none. Its Device has a PowerCycle.
	StartPolling func(t testing.TB, engineURL, code string) Device
	// One says that there is one panel only, which can enrol once: the checks then
	// share it, one after the other, and those that need a new one are skipped.
	One bool
	// Listen is where the suite's engine listens, host and port; a panel elsewhere
	// needs an address that it can reach. Empty: a free port of this machine.
	Listen string
	// Choose says which checks to make; nil: all.
	Choose func(Check) bool
	// Slow adds the checks that take a minute or more.
	Slow bool
}

// Device is one panel under test.
type Device struct {
	// Control is the address of its control interface, see the package comment.
	Control string
	// Address is where the panel takes messages of the engine, if not at the address
	// that it announces.
	Address string
	// PowerCycle turns it off without warning and on again. Without it, the control
	// interface does.
	PowerCycle func(t testing.TB)
}

// sim is what the control interface shows of a panel.
type sim struct {
	Kind      string    `json:"kind"`
	Clock     time.Time `json:"clock"`
	Number    string    `json:"number"`
	Entrances []struct {
		EntranceID string `json:"entrance_id"`
	} `json:"entrances"`
	Slots []struct {
		Slot  int     `json:"slot"`
		Open  bool    `json:"open"`
		KeyID *string `json:"key_id"`
	} `json:"slots"`
	Grants []grant   `json:"grants"`
	Opened []opening `json:"opened"`
}

// opening is a door or a slot that opened.
type opening struct {
	EntranceID string `json:"entrance_id"`
	Slot       int    `json:"slot"`
	GrantID    string `json:"grant_id"`
	CommandID  string `json:"command_id"`
	Via        string `json:"via"`
}

// typed is what became of a typed code.
type typed struct {
	Result string `json:"result"`
	Slot   int    `json:"slot"`
	Reason string `json:"reason"`
}

// slotOf is the slot that holds a key; 0: none.
func (s sim) slotOf(key string) int {
	for _, slot := range s.Slots {
		if slot.KeyID != nil && *slot.KeyID == key {
			return slot.Slot
		}
	}
	return 0
}

func (s sim) grant(id string) (grant, bool) {
	for _, g := range s.Grants {
		if g.GrantID == id {
			return g, true
		}
	}
	return grant{}, false
}

// client follows no redirects: a message goes to the panel it is for or nowhere.
var client = &http.Client{
	Timeout:       20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// call makes one HTTP request.
func call(ctx context.Context, method, url string, header map[string]string, body string) (code int, answer []byte, err error) {
	code, _, answer, err = callFor(ctx, method, url, header, body)
	return code, answer, err
}

// callFor is call for who wants to know the media type of the answer.
func callFor(ctx context.Context, method, url string, header map[string]string, body string) (code int, media string, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxMessage+1))
	return response.StatusCode, response.Header.Get("Content-Type"), answer, errors.Join(err, response.Body.Close())
}

// control makes a call to the control interface, which must succeed.
func (b *bench) control(method, path string, body, answer any) {
	b.t.Helper()
	document, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	code, said, err := call(b.ctx, method, b.device.Control+path, map[string]string{"Content-Type": "application/json"}, string(document))
	if err != nil || code != http.StatusOK {
		b.t.Fatalf("control interface: %s %s: status %d %s %v", method, path, code, bytes.TrimSpace(said), err)
	}
	if answer != nil {
		if err := json.Unmarshal(said, answer); err != nil {
			b.t.Fatalf("control interface: %s %s: %v", method, path, err)
		}
	}
}

// look is what the panel shows now.
func (b *bench) look() (s sim) {
	b.t.Helper()
	b.control(http.MethodGet, "/sim", nil, &s)
	return s
}

// fault breaks the panel, or mends it.
func (b *bench) fault(mode, value string) {
	b.t.Helper()
	b.control(http.MethodPost, "/sim/fault", map[string]string{"mode": mode, "value": value}, nil)
}

// skew moves the panel's clock, and the engine's with it: what is tried is what the
// panel does at another time, not what it thinks of an engine with another clock.
func (b *bench) skew(d time.Duration) {
	b.t.Helper()
	b.skewed = d
	b.fault("clock_skew", (b.base + d).String())
	b.engine.do(func(e *engine) { e.offset = b.base + d })
}

// wipe turns the panel off and on, and all it held but its identity is lost.
func (b *bench) wipe() {
	b.t.Helper()
	b.control(http.MethodPost, "/sim/restart", map[string]bool{"wipe": true}, nil)
}

// powerCycle turns the panel off and on, and waits until it answers the engine
// again. What it has to keep it keeps.
func (b *bench) powerCycle() {
	b.t.Helper()
	if b.device.PowerCycle == nil {
		b.restart()
		return
	}
	b.device.PowerCycle(b.t)
	b.isBack()
}

// restart is a power cycle by the control interface.
func (b *bench) restart() {
	b.t.Helper()
	b.control(http.MethodPost, "/sim/restart", map[string]bool{"wipe": false}, nil)
	b.isBack()
}

// isBack waits until the panel answers after a power cycle, and has asked the engine
// for all that it should hold.
func (b *bench) isBack() {
	b.t.Helper()
	client.CloseIdleConnections() // those to the panel lead nowhere now
	if b.base+b.skewed != 0 {
		b.skew(b.skewed) // a clock that is set anew at every start
	}
	var s status
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		token, jti := b.message("status_query", struct{}{}, nil)
		code, said, err := b.deliver(http.MethodGet, "/status", token)
		if err == nil && code == http.StatusOK {
			b.answered(said, "status", jti, &s)
			break
		}
		if time.Now().After(end) {
			b.t.Fatalf("the panel does not answer after a power cycle: %d %s %v", code, said, err)
		}
	}
	b.await("the panel asks for all that it should hold after a start", func(e *engine) bool {
		return e.away[pathSync] || slices.ContainsFunc(e.syncs, func(q syncRequest) bool { return q.BootID == s.BootID })
	})
}

// typeCode types a code at a SmartBox.
func (b *bench) typeCode(code, op string) (answer typed) {
	b.t.Helper()
	b.control(http.MethodPost, "/sim/code", map[string]string{"code": code, "op": op}, &answer)
	return answer
}

// mustType types a code that must open, and returns the slot.
func (b *bench) mustType(code, op string) int {
	b.t.Helper()
	answer := b.typeCode(code, op)
	if answer.Result != "opened" || answer.Slot < 1 || answer.Slot > slots {
		b.t.Fatalf("the code must open for %s, but the box says %+v", op, answer)
	}
	return answer.Slot
}

// mustNotType types a code that must be refused. reason may be empty: any.
func (b *bench) mustNotType(code, op, reason string) {
	b.t.Helper()
	answer := b.typeCode(code, op)
	if answer.Result != "refused" || answer.Slot != 0 || reason != "" && answer.Reason != reason {
		b.t.Fatalf("the code must be refused for %s (%s), but the box says %+v", op, reason, answer)
	}
}

// hand takes the key out of an open slot (no key), or puts one in.
func (b *bench) hand(slot int, key string) {
	b.t.Helper()
	body := map[string]any{"slot": slot, "key_id": nil}
	if key != "" {
		body["key_id"] = key
	}
	b.control(http.MethodPost, "/sim/keys", body, nil)
}

// hold holds a phone to the panel. What the panel makes of it is not looked at.
func (b *bench) hold(token string) {
	b.t.Helper()
	body := fmt.Sprintf(`{"tap_token":%q,"entrance_id":%q}`, token, frontDoor)
	if _, _, err := call(b.ctx, http.MethodPost, b.device.Control+"/sim/tap", map[string]string{"Content-Type": "application/json"}, body); err != nil {
		b.t.Fatalf("control interface: %v", err)
	}
}
