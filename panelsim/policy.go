package panelsim

import (
	"context"
	"net/http"
	"slices"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/panel"
)

// lease is until when the panel admits by itself, and when the message was signed
// that said so (P2).
type lease struct {
	Until  time.Time `json:"until"`
	Signed int64     `json:"signed"` // Unix seconds
}

// renewLease takes the lease that a message of the engine carries, if it carries one
// and is not older than the one that gave the lease before. It is on disk before
// the panel admits anybody by it.
func (p *Panel) renewLease(message any, signed int64) error {
	carrier, ok := message.(interface{ Lease() *time.Time })
	if !ok || carrier.Lease() == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takeLease(lease{Until: carrier.Lease().UTC(), Signed: signed})
}

// takeLease is renewLease for who holds mu.
func (p *Panel) takeLease(next lease) error {
	known := &p.memory.lease
	switch {
	case next.Signed < known.Signed:
		return nil
	case next.Until.Equal(known.Until):
		known.Signed = next.Signed
		return nil
	}
	return p.keep(entry{Lease: &next})
}

// takeEnrolled takes in what the panel should hold from its enrolment on. The caller
// holds mu.
func (p *Panel) takeEnrolled(answer panel.EnrolAnswer) error {
	if answer.LeaseUntil != nil {
		if err := p.takeLease(lease{Until: answer.LeaseUntil.UTC(), Signed: p.memory.lease.Signed}); err != nil {
			return err
		}
	}
	if err := p.takePolicies(answer.Policies); err != nil {
		return err
	}
	return p.take(answer.Grants)
}

// leaseHeld is the lease as the panel reports it; nil: it was never given one. The
// caller holds mu.
func (p *Panel) leaseHeld() *time.Time {
	until := p.memory.lease.Until
	if until.IsZero() {
		return nil
	}
	return &until
}

// putPolicy takes in a policy document and says which version is held now (P2).
func (p *Panel) putPolicy(_ context.Context, d panel.Policy) (any, error) {
	if d.EntranceID == "" {
		return nil, &panel.Error{Code: panel.CodeMalformed, Detail: "entrance_id is missing."}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.takePolicies([]panel.Policy{d}); err != nil {
		return nil, err
	}
	if d.EntranceID != p.memory.identity.PanelID && !p.has(d.EntranceID) {
		p.askForAll()
	}
	return panel.PolicyAck{EntranceID: d.EntranceID, Version: p.memory.policies[d.EntranceID].Version}, nil
}

// takePolicies applies documents, each of another entrance, by version. The caller
// holds mu.
func (p *Panel) takePolicies(documents []panel.Policy) error {
	var newer []entry
	for _, d := range documents {
		if known, ok := p.memory.policies[d.EntranceID]; !ok || known.Version < d.Version {
			newer = append(newer, entry{Policy: &d})
		}
	}
	return p.keep(newer...)
}

// closed says why nobody comes in by the policy document of an entrance, or of the
// box, now; empty: they may. Where the panel holds no document it has nothing to
// say. The caller holds mu.
func (p *Panel) closed(entranceID, keyID string, now time.Time) string {
	d, known := p.memory.policies[entranceID]
	if !known {
		return ""
	}
	return closedBy(d, keyID, now)
}

// closedBy is what a policy document says of an instant, and of a key that somebody
// wants to take out.
func closedBy(d panel.Policy, keyID string, now time.Time) string {
	switch {
	case d.LockedDown, keyID != "" && slices.Contains(d.LockedKeys, keyID):
		return string(panel.ResultLockedDown)
	case !d.OpenToGuests:
		return string(panel.ResultClosed)
	case len(d.Schedules) == 0:
		return ""
	}
	zone, err := time.LoadLocation(d.TimeZone)
	if err != nil { // better closed than open at the wrong hour
		return string(panel.ResultClosed)
	}
	schedules := make([]access.Schedule, 0, len(d.Schedules))
	for _, s := range d.Schedules {
		schedule := access.Schedule{From: s.From, To: s.To}
		for _, day := range s.Days {
			schedule.Days = append(schedule.Days, access.Weekday(day))
		}
		schedules = append(schedules, schedule)
	}
	if open, _ := access.ScheduleOpen(schedules, zone, now); !open {
		return string(panel.ResultClosed)
	}
	return ""
}

// outdated says how a command is judged that was decided by an older document than
// the panel holds; empty: as if there were none. The caller holds mu.
func (p *Panel) outdated(c panel.Command, entranceID string, now time.Time) panel.Result {
	if p.memory.policies[entranceID].Version <= c.PolicyVersion {
		return ""
	}
	return panel.Result(p.closed(entranceID, c.KeyID, now))
}

// postTamper is somebody who opens the panel's housing.
func (p *Panel) postTamper(w http.ResponseWriter, r *http.Request) {
	p.happens(w, r, panel.Event{Type: panel.EventTamper})
}

// postBattery is the battery, which reports how full it is.
func (p *Panel) postBattery(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Level int `json:"level"`
	}
	if !readControl(w, r, &q) {
		return
	}
	if q.Level < 0 || q.Level > 100 {
		writeProblem(w, http.StatusUnprocessableEntity, "invalid", "level must be 0 to 100 (percent).")
		return
	}
	p.happens(w, r, panel.Event{Type: panel.EventBattery, Level: &q.Level})
}

// happens journals an event that the panel only has to report.
func (p *Panel) happens(w http.ResponseWriter, r *http.Request, e panel.Event) {
	p.mu.Lock()
	e.At = p.clock()
	err := p.keepCounted(p.nextEvent(entry{}, e))
	p.mu.Unlock()
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The panel could not write its state.")
		return
	}
	p.reportSoon()
	p.getSim(w, r)
}
