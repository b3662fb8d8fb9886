package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// mortal is an app that fails at random and can die and come back. It verifies every
// request and holds the events of each item to their order.
type mortal struct {
	t      *testing.T
	secret string
	addr   string
	chance *rand.Rand

	mu       sync.Mutex
	server   *httptest.Server
	arrived  map[string]int // per item: the latest event that came
	answered map[string]int // per item: the latest event that was taken
	taken    int
	repeated int
	failed   int
	faults   []string
}

func newMortal(t *testing.T) *mortal {
	m := &mortal{t: t, addr: "127.0.0.1:0", chance: rand.New(rand.NewPCG(1, 2)), arrived: map[string]int{}, answered: map[string]int{}}
	m.live()
	m.addr = m.server.Listener.Addr().String()
	t.Cleanup(m.die)
	return m
}

// live begins to listen, where it did before.
func (m *mortal) live() {
	var listener net.Listener
	var err error
	for range 100 { // the address may still be held by a connection that is ending
		if listener, err = net.Listen("tcp", m.addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}}
	server.Start()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.server = server
}

// die breaks all connections and answers no more.
func (m *mortal) die() {
	m.mu.Lock()
	server := m.server
	m.mu.Unlock()
	_ = server.Listener.Close()
	server.CloseClientConnections()
	server.Close()
}

func (m *mortal) ServeHTTP(answer http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // died while it was reading
	}
	switch m.take(q.Header, body) {
	case answerTaken:
		answer.WriteHeader(http.StatusNoContent)
	case answerFailed:
		http.Error(answer, "out of order", http.StatusInternalServerError)
	case answerLost:
		panic(http.ErrAbortHandler)
	}
}

type reply int

const (
	answerTaken reply = iota
	answerFailed
	answerLost // taken or not, the engine does not hear of it
)

// take checks a request and throws a die for what becomes of it.
func (m *mortal) take(header http.Header, body []byte) reply {
	var q request
	err := verify(m.secret, header, body, time.Now())
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || q.Data.ItemID == nil || q.Data.ID != header.Get("Webhook-Id") {
		m.faults = append(m.faults, fmt.Sprintf("a request that is not one: %v", err))
		return answerFailed
	}
	item, n := *q.Data.ItemID, q.Data.Detail.N
	if before := m.arrived[item]; n != before && (n != before+1 || m.answered[item] != before) {
		m.faults = append(m.faults, fmt.Sprintf("%s: event %d came after %d, of which %d is taken", item, n, before, m.answered[item]))
	}
	m.arrived[item] = n
	die := m.chance.IntN(100)
	if die < 8 {
		m.failed++
		return answerFailed
	}
	if die < 11 { // broken before it was taken
		m.failed++
		return answerLost
	}
	if m.answered[item] == n {
		m.repeated++
	} else {
		m.answered[item] = n
		m.taken++
	}
	if die < 14 { // taken, and the answer is lost
		return answerLost
	}
	return answerTaken
}

func (m *mortal) counts() (taken, repeated, failed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken, m.repeated, m.failed
}
