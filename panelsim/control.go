package panelsim

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/panel"
)

// faultMode is a way in which the panel does not work.
type faultMode string

const (
	faultNone      faultMode = "none"
	faultOffline   faultMode = "offline"    // neither answers nor reports
	faultSlow      faultMode = "slow"       // thinks for value before it acts
	faultLoseAck   faultMode = "lose_ack"   // acts and hangs up
	faultRefuse    faultMode = "refuse"     // opens for nobody
	faultClockSkew faultMode = "clock_skew" // its clock is ahead by value
)

type fault struct {
	mode  faultMode
	value time.Duration
	until time.Time // zero: until told otherwise
}

func (f fault) skew() time.Duration {
	if f.mode == faultClockSkew {
		return f.value
	}
	return 0
}

// currentFault is the fault in force.
func (p *Panel) currentFault() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faulty()
}

// faulty is currentFault for who holds mu. A fault whose time is over is over.
func (p *Panel) faulty() fault {
	if !p.fault.until.IsZero() && p.world().After(p.fault.until) {
		p.fault = fault{}
	}
	return p.fault
}

func (p *Panel) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("PUT /grants/{id}", fromEngine(p, panel.TypeGrant, panel.TypeGrantAck, p.putGrant))
	mux.Handle("PUT /entrances/{id}/policy", fromEngine(p, panel.TypePolicy, panel.TypePolicyAck, p.putPolicy))
	mux.Handle("POST /commands", fromEngine(p, panel.TypeCommand, panel.TypeResult, p.command))
	mux.Handle("GET /status", fromEngine(p, panel.TypeStatusQuery, panel.TypeStatus, p.status))
	mux.HandleFunc("GET /sim", p.getSim)
	mux.HandleFunc("POST /sim/tap", p.postTap)
	mux.HandleFunc("POST /sim/pass", p.postPass)
	mux.HandleFunc("POST /sim/code", p.postCode)
	mux.HandleFunc("POST /sim/keys", p.postKeys)
	mux.HandleFunc("POST /sim/fault", p.postFault)
	mux.HandleFunc("POST /sim/restart", p.postRestart)
	mux.HandleFunc("POST /sim/tamper", p.postTamper)
	mux.HandleFunc("POST /sim/battery", p.postBattery)
	mux.HandleFunc("GET /{$}", p.getPage)
	mux.HandleFunc("POST /{$}", p.postPage)
	mux.HandleFunc("GET /page.css", getPageFile)
	mux.HandleFunc("GET /page.js", getPageFile)
	return http.NewCrossOriginProtection().Handler(mux)
}

// simState is GET /sim.
type simState struct {
	Kind      string        `json:"kind"`
	PanelID   string        `json:"panel_id"`
	Online    bool          `json:"online"`
	Clock     time.Time     `json:"clock"`
	BootID    string        `json:"boot_id"`
	Fault     faultMode     `json:"fault"`
	Entrances []simEntrance `json:"entrances"`
	Grants    []panel.Grant `json:"grants"`
	Opened    []Opening     `json:"opened"`
	Denied    []Denial      `json:"denied"`
	Unsent    int           `json:"unsent_events"`
	// EngineKeyIDs are the engine's keys that the panel trusts.
	EngineKeyIDs []string `json:"engine_key_ids"`

	Policies   []panel.Policy `json:"policies"`
	LeaseUntil *time.Time     `json:"lease_until"`

	// Of a SmartBox.
	Number      string     `json:"number,omitempty"`
	Slots       []simSlot  `json:"slots,omitempty"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
}

// simSlot is a slot and the key in it; null: none.
type simSlot struct {
	Slot  int     `json:"slot"`
	Open  bool    `json:"open"`
	KeyID *string `json:"key_id"`
}

type simEntrance struct {
	EntranceID string `json:"entrance_id"`
	Name       string `json:"name"`
	Open       bool   `json:"open"`
}

func (p *Panel) state() simState {
	f := p.currentFault()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := simState{
		Kind: p.kind(), Online: p.online && f.mode != faultOffline, Clock: p.clock(), BootID: p.bootID, Fault: f.mode, Unsent: len(p.memory.events),
		Entrances: []simEntrance{}, Grants: slices.Collect(maps.Values(p.memory.grants)),
		Opened: append([]Opening{}, p.memory.opened...), Denied: append([]Denial{}, p.memory.denied...),
	}
	slices.SortFunc(s.Grants, func(a, b panel.Grant) int { return strings.Compare(a.GrantID, b.GrantID) })
	if s.Grants == nil {
		s.Grants = []panel.Grant{}
	}
	s.Policies, s.LeaseUntil = []panel.Policy{}, p.leaseHeld()
	for _, id := range sortedKeys(p.memory.policies) {
		s.Policies = append(s.Policies, p.memory.policies[id])
	}
	if s.Fault == "" {
		s.Fault = faultNone
	}
	if id := p.memory.identity; id != nil {
		s.PanelID, s.EngineKeyIDs = id.PanelID, id.EngineKeys.IDs()
		for _, e := range id.Entrances {
			s.Entrances = append(s.Entrances, simEntrance{EntranceID: e.EntranceID, Name: e.Name, Open: p.world().Before(p.openTil[e.EntranceID])})
		}
	}
	if p.isBox() {
		p.showBox(&s)
	}
	return s
}

// showBox adds what only a SmartBox has. The caller holds mu.
func (p *Panel) showBox(s *simState) {
	now := p.clock()
	p.number = p.number.at(now)
	s.Number = p.number.now
	if p.memory.lockout.Locked(now) {
		s.LockedUntil = &p.memory.lockout.Until
	}
	b := p.box()
	for n, key := range b.Keys {
		slot := simSlot{Slot: n + 1, Open: b.Open[n]}
		if key != "" {
			slot.KeyID = &key
		}
		s.Slots = append(s.Slots, slot)
	}
	for n := range s.Grants {
		s.Grants[n].CodeJWE = "" // for its box alone
	}
}

func (p *Panel) getSim(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, "application/json", http.StatusOK, p.state())
}

// readControl reads the body of a control call.
func readControl(w http.ResponseWriter, r *http.Request, body any) bool {
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil && len(document) > 0 {
		err = json.Unmarshal(document, body)
	}
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "malformed", "Send a small JSON object.")
	}
	return err == nil
}

func (p *Panel) postTap(w http.ResponseWriter, r *http.Request) {
	var q struct {
		TapToken   string `json:"tap_token"`
		EntranceID string `json:"entrance_id"`
	}
	if !readControl(w, r, &q) {
		return
	}
	if q.EntranceID == "" {
		q.EntranceID = p.onlyEntrance()
	}
	if q.EntranceID == "" || q.TapToken == "" {
		writeProblem(w, http.StatusUnprocessableEntity, "invalid", "Give tap_token, and entrance_id where the panel has several entrances.")
		return
	}
	answer, _, err := p.hold(r.Context(), q.TapToken, q.EntranceID)
	if errors.Is(err, errNotEnrolled) {
		writeProblem(w, http.StatusServiceUnavailable, "not_enrolled", "The panel has not enrolled yet.")
		return
	}
	if refusal, ok := panel.AsError(err); ok {
		writeProblem(w, http.StatusUnprocessableEntity, string(refusal.Code), refusal.Detail)
		return
	}
	if err != nil {
		writeProblem(w, http.StatusBadGateway, "engine_away", "The engine did not answer. Hold the phone to the panel again.")
		return
	}
	writeJSON(w, "application/json", http.StatusOK, answer)
}

func (p *Panel) onlyEntrance() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id := p.memory.identity; id != nil && len(id.Entrances) == 1 {
		return id.Entrances[0].EntranceID
	}
	return ""
}

func (p *Panel) postFault(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Mode  faultMode `json:"mode"`
		For   string    `json:"for"`
		Value string    `json:"value"`
	}
	if !readControl(w, r, &q) {
		return
	}
	f, err := parseFault(q.Mode, q.For, q.Value, p.world())
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "invalid", err.Error())
		return
	}
	p.mu.Lock()
	p.fault = f
	if f.mode == faultOffline && p.hangUpPoll != nil {
		p.hangUpPoll()
	}
	p.mu.Unlock()
	p.reportSoon()
	p.getSim(w, r)
}

func parseFault(mode faultMode, lasts, value string, now time.Time) (f fault, err error) {
	f.mode = mode
	switch mode {
	case faultNone, faultOffline, faultLoseAck, faultRefuse:
	case faultSlow, faultClockSkew:
		if f.value, err = time.ParseDuration(value); err != nil {
			return f, fmt.Errorf("the fault %s needs a value such as 3s", mode)
		}
	default:
		return f, fmt.Errorf("mode must be offline, slow, lose_ack, refuse, clock_skew or none")
	}
	if lasts == "" {
		return f, nil
	}
	d, err := time.ParseDuration(lasts)
	if err != nil {
		return f, fmt.Errorf("for must be a duration such as 10s")
	}
	f.until = now.Add(d)
	return f, nil
}

// postRestart is a power cycle: a new boot id, and with wipe nothing left but the
// panel's identity.
func (p *Panel) postRestart(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Wipe bool `json:"wipe"`
	}
	if !readControl(w, r, &q) {
		return
	}
	if err := p.restart(q.Wipe); err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The panel could not write its state.")
		return
	}
	p.getSim(w, r)
}

func (p *Panel) restart(wipe bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wipe {
		if err := p.keep(entry{Wiped: true}); err != nil {
			return err
		}
		p.lost = true
	}
	p.bootID, p.seq, p.openTil, p.openedBy = rand.Text(), 0, map[string]time.Time{}, map[int]string{}
	if wipe {
		p.codes = map[string]string{}
	}
	p.askForAll()
	return nil
}

// postCode is a code typed at the box.
func (p *Panel) postCode(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Code string        `json:"code"`
		Op   panel.Purpose `json:"op"`
	}
	if !readControl(w, r, &q) {
		return
	}
	if no := p.takesCodes(q.Code, q.Op); no != nil {
		writeProblem(w, no.status, no.code, no.detail)
		return
	}
	v, err := p.typeCode(q.Code, q.Op)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The panel could not write its state.")
		return
	}
	answer := struct {
		Result string     `json:"result"`
		Slot   int        `json:"slot,omitempty"`
		Reason string     `json:"reason,omitempty"`
		From   *time.Time `json:"from,omitempty"`
	}{Result: "opened", Slot: v.Slot, Reason: v.Reason}
	if v.Slot == 0 {
		answer.Result = "refused"
	}
	if !v.From.IsZero() {
		answer.From = &v.From
	}
	writeJSON(w, "application/json", http.StatusOK, answer)
}

// takesCodes refuses what nobody can type here.
func (p *Panel) takesCodes(code string, op panel.Purpose) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.isBox():
		return &refusal{http.StatusConflict, "no_keypad", "Only a SmartBox that has enrolled takes codes."}
	case op != panel.PurposePickup && op != panel.PurposeDropOff:
		return &refusal{http.StatusUnprocessableEntity, "invalid", "op must be pickup or dropoff."}
	case code == "" || len(code) > 32:
		return &refusal{http.StatusUnprocessableEntity, "invalid", "code must have 1 to 32 characters."}
	}
	return nil
}

// postKeys is a person's hand in an open slot.
func (p *Panel) postKeys(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Slot  int     `json:"slot"`
		KeyID *string `json:"key_id"`
	}
	if !readControl(w, r, &q) {
		return
	}
	key := ""
	if q.KeyID != nil {
		key = *q.KeyID
	}
	if no := p.moved(q.Slot, key); no != nil {
		writeProblem(w, no.status, no.code, no.detail)
		return
	}
	p.getSim(w, r)
}
