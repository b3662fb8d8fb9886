package conformance

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	pathPoll    = "/panel/v1/commands"
	pathAnswers = "/panel/v1/answers"
)

var pollChecks = []Check{
	{Name: "poll/announces_no_address", Rule: "P1", polls: true, run: pollNoAddress},
	{Name: "poll/brings_grants_commands_and_queries", Rule: "P4", polls: true, run: pollObeys},
	{Name: "poll/refusals_are_named", Rule: "P1", polls: true, run: pollRefusals},
	{Name: "poll/several_messages_are_taken_in_order", Rule: "P3", polls: true, run: pollInOrder},
	{Name: "poll/answers_are_sent_again_until_they_are_acknowledged", Rule: "P4", polls: true, run: pollAnswersAgain},
	{Name: "poll/deliveries_of_another_engine_are_refused", Rule: "P1", polls: true, run: pollForged},
	{Name: "poll/goes_on_after_a_power_cycle", Rule: "P2", polls: true, run: pollAfterPowerCycle},
}

type (
	pollRequest struct {
		BootID string `json:"boot_id"`
	}
	deliveries struct {
		Messages []string `json:"messages"`
	}
	answers struct {
		Answers []string `json:"answers"`
		Refused []struct {
			Re     string `json:"re"`
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"refused"`
	}
)

// mailbox is what waits for a panel that polls, and what came back.
type mailbox struct {
	polls    []pollRequest
	waiting  []string
	newest   int               // poll
	answered map[string]string // by the jti of the request
	refused  map[string]string // code, likewise
	posts    int
}

// servePoll answers when there is something to deliver, a newer poll comes, or the
// time that the panel gave is over.
func (e *engine) servePoll(w http.ResponseWriter, r *http.Request) {
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := func() {
		close(e.changed)
		e.changed = make(chan struct{})
	}
	message, refusal := e.receive(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "poll")
	var q pollRequest
	if refusal == nil {
		refusal = json.Unmarshal(message.Body, &q)
	}
	if err != nil || wait <= 0 || wait > 25*time.Second || refusal != nil || q.BootID == "" {
		e.violation("a poll is wrong: wait %s %v %v", wait, err, refusal)
		heard()
		refuse(w, http.StatusBadRequest, "malformed", "The poll is wrong.")
		return
	}
	e.mail.polls = append(e.mail.polls, q)
	e.mail.newest++
	mine := e.mail.newest
	heard()
	over := time.After(wait)
	for len(e.mail.waiting) == 0 && mine == e.mail.newest {
		changed := e.changed
		e.mu.Unlock()
		ended := false
		select {
		case <-changed:
		case <-over:
			ended = true
		case <-r.Context().Done():
			ended = true
		}
		e.mu.Lock()
		if ended {
			break
		}
	}
	out := deliveries{Messages: []string{}}
	if mine == e.mail.newest && r.Context().Err() == nil {
		out.Messages, e.mail.waiting = append(out.Messages, e.mail.waiting...), nil
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = io.WriteString(w, e.answer(message, "deliveries", out)) // if the panel has gone the messages are lost
}

func (e *engine) takeAnswers(a answers) (any, error) {
	e.mail.posts++
	for _, token := range a.Answers {
		answer, err := open(token, e.panelKey)
		if err != nil {
			return nil, err
		}
		e.mail.answered[answer.Re] = token
	}
	for _, no := range a.Refused {
		if no.Re == "" || no.Code == "" || no.Detail == "" {
			e.violation("a refusal must name re, code and detail, but is %+v", no)
		}
		e.mail.refused[no.Re] = no.Code
	}
	return struct{}{}, nil
}

// post puts messages where the next poll finds them.
func (b *bench) post(tokens ...string) {
	b.engine.do(func(e *engine) {
		e.mail.waiting = append(e.mail.waiting, tokens...)
		close(e.changed)
		e.changed = make(chan struct{})
	})
}

// fetched waits for the answer to a message that was fetched by a poll.
func (b *bench) fetched(typ, jti string, answer any) {
	b.t.Helper()
	token := ""
	b.await("the panel answers what it fetched", func(e *engine) bool {
		token = e.mail.answered[jti]
		return token != ""
	})
	b.answered([]byte(token), typ, jti, answer)
}

// fetchedCommand is a command that is fetched by a poll.
func (b *bench) fetchedCommand(c command) (r result) {
	b.t.Helper()
	token, jti := b.message("command", c, nil)
	b.post(token)
	b.fetched("result", jti, &r)
	return r
}

// fetchedGrant is a grant that the panel holds, fetched by a poll.
func (b *bench) fetchedGrant() grant {
	b.t.Helper()
	g, _ := b.grant()
	token, jti := b.message("grant", g, nil)
	b.post(token)
	var ack grantAck
	b.fetched("grant_ack", jti, &ack)
	if ack.GrantID != g.GrantID || ack.Revision != g.Revision {
		b.t.Fatalf("a grant that was fetched is acknowledged with %+v", ack)
	}
	return g
}

// opensHere is opens for a panel that nobody can ask for its boot id.
func (b *bench) opensHere(g grant) command {
	b.t.Helper()
	c := command{CommandID: newID("cmd"), Op: "unlock", EntranceID: frontDoor, GrantID: g.GrantID, GrantRevision: g.Revision, ExpiresAt: b.engine.now().Add(time.Minute)}
	b.engine.do(func(e *engine) { c.BootID = e.mail.polls[len(e.mail.polls)-1].BootID })
	if b.engine.kind == SmartBoxKind {
		c.Op, c.EntranceID, c.Purpose, c.KeyID, c.PanelCode = "open_slot", "", "pickup", g.KeyID, b.look().Number
	}
	return c
}

func pollNoAddress(b *bench) {
	b.engine.do(func(e *engine) {
		if address := e.enrolments[0].Address; address != "" {
			b.t.Errorf("a panel that polls must announce no address, but announces %s", address)
		}
	})
	b.await("the panel polls", func(e *engine) bool { return len(e.mail.polls) > 0 })
}

func pollObeys(b *bench) {
	g := b.fetchedGrant()
	token, jti := b.message("status_query", struct{}{}, nil)
	b.post(token)
	var s status
	b.fetched("status", jti, &s)
	c := b.opensHere(g)
	if s.BootID != c.BootID {
		b.t.Errorf("a poll must name the boot %s, but names %s", s.BootID, c.BootID)
	}
	if r := b.fetchedCommand(c); r.Result != "opened" {
		b.t.Errorf("a command that was fetched has the result %s", r.Result)
	}
	if r := b.fetchedCommand(c); r.Result != "opened" {
		b.t.Errorf("a command that was fetched twice has the result %s", r.Result)
	}
	b.mustHaveOpened(c.CommandID, 1)
	late := b.opensHere(g)
	late.ExpiresAt = b.engine.now().Add(-time.Second)
	if r := b.fetchedCommand(late); r.Result != "expired" {
		b.t.Errorf("an expired command that was fetched has the result %s", r.Result)
	}
	b.mustHaveOpened(late.CommandID, 0)
}

func pollRefusals(b *bench) {
	g := b.fetchedGrant()
	for want, change := range map[string]func(*reply){
		"bad_signature":   func(r *reply) { r.key = foreignKey(b) },
		"wrong_audience":  func(r *reply) { r.Aud = "pan_other" },
		"expired_message": at(-600, -540),
	} {
		c := b.opensHere(g)
		token, jti := b.message("command", c, change)
		b.post(token)
		got := ""
		b.await("the panel refuses "+want, func(e *engine) bool {
			got = e.mail.refused[jti]
			return got != "" || e.mail.answered[jti] != ""
		})
		if got != want {
			b.t.Errorf("the refusal must be %s, but is %q", want, got)
		}
		b.mustHaveOpened(c.CommandID, 0)
	}
}

func pollInOrder(b *bench) {
	g := b.fetchedGrant()
	b.await("the panel polls", func(e *engine) bool { return len(e.mail.polls) > 0 })
	over, c := b.closed(g, 4), b.opensHere(g)
	c.GrantRevision = 4
	first, _ := b.message("grant", over, nil)
	second, jti := b.message("command", c, nil)
	b.post(first, second)
	var r result
	b.fetched("result", jti, &r)
	if r.Result != "outside_window" {
		b.t.Errorf("a command after the grant that closes its window has the result %s", r.Result)
	}
	b.mustHaveOpened(c.CommandID, 0)
}

func pollAnswersAgain(b *bench) {
	g := b.fetchedGrant()
	c := b.opensHere(g)
	before := 0
	b.engine.do(func(e *engine) {
		before = e.mail.posts
		e.lose[pathAnswers] = 1
	})
	if r := b.fetchedCommand(c); r.Result != "opened" {
		b.t.Errorf("a command that was fetched has the result %s", r.Result)
	}
	b.await("answers whose acknowledgement was lost are sent again", func(e *engine) bool { return e.mail.posts > before+1 })
	b.mustHaveOpened(c.CommandID, 1)
}

func pollForged(b *bench) {
	g := b.fetchedGrant()
	spoilt := false
	b.engine.do(func(e *engine) {
		e.onReply = func(typ string, r *reply) {
			if out, ok := r.body.(deliveries); ok && typ == "deliveries" && len(out.Messages) > 0 && !spoilt {
				spoilt = true
				r.key = foreignKey(b)
			}
		}
	})
	c := b.opensHere(g)
	token, _ := b.message("command", c, nil)
	b.post(token)
	b.await("the panel polls again after an answer of another engine", func(e *engine) bool { return spoilt && len(e.mail.waiting) == 0 })
	if r := b.fetchedCommand(b.opensHere(g)); r.Result != "opened" {
		b.t.Errorf("after that a command has the result %s", r.Result)
	}
	b.mustHaveOpened(c.CommandID, 0)
}

func pollAfterPowerCycle(b *bench) {
	g := b.fetchedGrant()
	c := b.opensHere(g)
	b.fetchedCommand(c)
	b.device.PowerCycle(b.t)
	b.await("the panel polls with another boot id", func(e *engine) bool {
		return !slices.ContainsFunc(e.mail.polls[len(e.mail.polls)-1:], func(q pollRequest) bool { return q.BootID == c.BootID })
	})
	if r := b.fetchedCommand(c); r.Result != "opened" {
		b.t.Errorf("a command id from before the power cycle has the result %s", r.Result)
	}
	b.mustHaveOpened(c.CommandID, 1)
	if r := b.fetchedCommand(b.opensHere(g)); r.Result != "opened" {
		b.t.Errorf("after a power cycle a command has the result %s", r.Result)
	}
}
