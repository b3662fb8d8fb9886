package panelsim

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/internal/panel"
)

// postPass is a phone's offline pass held to this panel (P9). It needs no engine.
func (p *Panel) postPass(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Pass       string `json:"pass"`
		EntranceID string `json:"entrance_id"`
		Proof      string `json:"proof"`
	}
	if !readControl(w, r, &q) {
		return
	}
	if q.EntranceID == "" {
		q.EntranceID = p.onlyEntrance()
	}
	if q.EntranceID == "" || q.Pass == "" {
		writeProblem(w, http.StatusUnprocessableEntity, "invalid", "Give pass and proof, and entrance_id where the panel has several entrances.")
		return
	}
	reason, err := p.admit(r.Context(), q.Pass, q.Proof, q.EntranceID)
	if errors.Is(err, errNotEnrolled) {
		writeProblem(w, http.StatusServiceUnavailable, "not_enrolled", "The panel has not enrolled yet.")
		return
	}
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The panel could not write its state.")
		return
	}
	answer := struct {
		Result string            `json:"result"`
		Reason panel.PassRefusal `json:"reason,omitempty"`
	}{Result: "opened", Reason: reason}
	if reason != "" {
		answer.Result = "refused"
	}
	writeJSON(w, "application/json", http.StatusOK, answer)
}

// admit lets a phone in by its pass or says why not, on what the panel itself
// holds (P2). What it will do is in the journal before it is done.
func (p *Panel) admit(ctx context.Context, token, proof, entranceID string) (panel.PassRefusal, error) {
	select {
	case <-p.enrolled:
	default:
		return "", errNotEnrolled
	}
	now := p.now()
	pass, reason := panel.OpenPass(token, p.engineKeys(), now)
	if reason == "" {
		var err error
		if reason, err = panel.CheckProof(ctx, proof, pass, p.name(), entranceID, now, p.startedAt(), &p.guard); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if reason == "" {
		reason = p.judgePass(pass, entranceID, now)
	}
	return reason, p.keepPass(pass, entranceID, reason, now)
}

// judgePass decides about a pass that was proven. The caller holds mu.
func (p *Panel) judgePass(pass panel.Pass, entranceID string, now time.Time) panel.PassRefusal {
	var held *panel.Grant
	if g, known := p.memory.grants[pass.GrantID]; known {
		held = &g
	}
	switch {
	case p.faulty().mode == faultRefuse:
		return panel.PassRefused
	case !p.has(entranceID):
		return panel.PassNotShared
	}
	if reason := panel.JudgePass(pass, held, entranceID, now); reason != "" {
		return reason
	}
	return panel.PassRefusal(p.admitsByItself(entranceID, now))
}

// admitsByItself says why a panel that is cut off lets nobody in at an entrance,
// whatever they hold: the lease is over, or the entrance's policy document says so
// (P2). Empty: it does. The caller holds mu.
func (p *Panel) admitsByItself(entranceID string, now time.Time) (reason string) {
	if !now.Before(p.memory.lease.Until) {
		return panel.CodeLeaseExpired
	}
	return p.closed(entranceID, "", now)
}

// keepPass writes down what became of a pass and then opens the door. The caller
// holds mu.
func (p *Panel) keepPass(pass panel.Pass, entranceID string, reason panel.PassRefusal, now time.Time) error {
	event := panel.Event{Seq: p.seq + 1, At: now, Type: "opened", EntranceID: entranceID, GrantID: pass.GrantID, PassID: pass.ID, Via: "pass"}
	e := entry{Event: &bootEvent{BootID: p.bootID}}
	if reason == "" {
		e.Opened = &Opening{At: now, EntranceID: entranceID, GrantID: pass.GrantID, PassID: pass.ID, Via: "pass"}
	} else {
		event.Type, event.Code = "denied", string(reason)
		e.Denied = &Denial{At: now, EntranceID: entranceID, GrantID: pass.GrantID, PassID: pass.ID, Code: string(reason)}
	}
	e.Event.Event = event
	if err := p.keep(e); err != nil {
		return err
	}
	p.seq++
	if reason == "" {
		p.openTil[entranceID] = p.world().Add(doorOpens)
	}
	p.reportSoon()
	return nil
}

func (p *Panel) startedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}
