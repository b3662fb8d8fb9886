package panelsim

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"time"

	"latchkey/internal/panel"
)

const (
	kindSmartBox = "smartbox"
	slotOpens    = 30 * time.Second // how long a slot stands open if nothing is taken or put in
	numberLasts  = time.Minute      // P10
	numberGrace  = 15 * time.Second // how long the number before is good after the change
)

// rotating is the number that the box shows (P10).
type rotating struct {
	now, before string
	since       time.Time // when it changed
}

// at is the number at an instant, changed if its time is over. It changes on the
// minute, whether somebody looks or not: one that nobody has read for long is not the
// one before.
func (r rotating) at(now time.Time) rotating {
	age := now.Sub(r.since)
	if r.now != "" && age >= 0 && age < numberLasts {
		return r
	}
	if r.now != "" && age >= numberLasts && age < 2*numberLasts {
		return rotating{now: newNumber(), before: r.now, since: r.since.Add(numberLasts)}
	}
	return rotating{now: newNumber(), since: now}
}

// good reports whether a number is the one that is shown, or was until a moment ago.
func (r rotating) good(number string, now time.Time) bool {
	shown := subtle.ConstantTimeCompare([]byte(number), []byte(r.now)) == 1
	before := subtle.ConstantTimeCompare([]byte(number), []byte(r.before)) == 1
	return shown || before && r.before != "" && now.Sub(r.since) < numberGrace
}

func newNumber() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil { // crypto/rand does not fail
		return ""
	}
	return fmt.Sprintf("%06d", n.Int64())
}

// box is what this SmartBox decides on now. The caller holds mu.
func (p *Panel) box() *Box {
	b := &Box{Policy: p.memory.policies[p.memory.identity.PanelID], LeaseUntil: p.memory.lease.Until, Grants: p.memory.grants, Codes: p.codes, Keys: make([]string, p.memory.identity.Slots), Open: make([]bool, p.memory.identity.Slots)}
	for n := range b.Keys {
		b.Keys[n] = p.memory.slots[n+1]
		b.Open[n] = p.world().Before(p.openTil[slotName(n+1)])
	}
	return b
}

func slotName(slot int) string { return fmt.Sprintf("slot/%d", slot) }

// isBox reports whether this panel is a SmartBox. The caller holds mu.
func (p *Panel) isBox() bool {
	return p.memory.identity != nil && p.memory.identity.Kind == kindSmartBox
}

// learnCodes decrypts the codes of grants that are new to the box. The caller holds mu.
func (p *Panel) learnCodes(grants ...panel.Grant) {
	for _, g := range grants {
		delete(p.codes, g.GrantID)
		if g.CodeJWE == "" || g.Tombstone {
			continue
		}
		code, err := panel.OpenCode(p.encryption, g.GrantID, g.CodeJWE)
		if err != nil {
			p.config.Logger.Warn("a booking code cannot be read", slog.String("grant_id", g.GrantID), slog.Any("error", err))
			continue
		}
		p.codes[g.GrantID] = code
	}
}

// adopt puts a key where the engine believes it to be, if this box has never seen it
// and the slot is empty: a simulated person stocks the box. The caller holds mu.
func (p *Panel) adopt(places []panel.KeyPlace) error {
	var steps []entry
	for _, place := range places {
		if p.memory.keysSeen[place.KeyID] || place.Slot < 1 || place.Slot > p.memory.identity.Slots || p.memory.slots[place.Slot] != "" {
			continue
		}
		steps = append(steps, entry{Slot: &slotContent{Slot: place.Slot, KeyID: place.KeyID}})
	}
	return p.keep(steps...)
}

// typeCode is a code typed at the box.
func (p *Panel) typeCode(code string, op panel.Purpose) (Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	if p.memory.lockout.Locked(now) {
		return Verdict{Reason: reasonLockedOut, From: p.memory.lockout.Until}, nil
	}
	v := p.box().Typed(code, op, now)
	if p.faulty().mode == faultRefuse {
		v.Slot, v.Reason = 0, string(panel.ResultRefused)
	}
	event := panel.Event{At: now, GrantID: v.GrantID, Op: op, Via: "code", Slot: v.Slot}
	if v.Slot > 0 {
		event.Type = "opened"
		step := entry{Opened: &Opening{At: now, Slot: v.Slot, GrantID: v.GrantID, Via: "code", Op: string(op)}}
		return v, p.openSlot(v.Slot, v.GrantID, step, event)
	}
	event.Type, event.Code = "denied", v.Reason
	steps := []entry{p.nextEvent(entry{Denied: &Denial{At: now, GrantID: v.GrantID, Code: v.Reason, Op: string(op)}}, event)}
	if v.Reason == reasonWrongCode {
		next, locks := p.memory.lockout.WrongCode(now)
		steps = append(steps, entry{Lockout: &next})
		if locks {
			steps = append(steps, p.nextEvent(entry{}, panel.Event{At: now, Type: "lockout", Until: &next.Until}))
		}
	}
	err := p.keepCounted(steps...)
	p.reportSoon()
	return v, err
}

// nextEvent adds an event to a step and counts it. The caller holds mu and writes
// the step with keepCounted before anything else.
func (p *Panel) nextEvent(step entry, e panel.Event) entry {
	p.seq++
	e.Seq = p.seq
	step.Event = &bootEvent{BootID: p.bootID, Event: e}
	return step
}

// keepCounted is keep for steps with events: what could not be written was not
// counted either.
func (p *Panel) keepCounted(steps ...entry) error {
	err := p.keep(steps...)
	if err == nil {
		return nil
	}
	for _, e := range steps {
		if e.Event != nil {
			p.seq--
		}
	}
	return err
}

// openSlot journals an opening and then opens the slot. The caller holds mu.
func (p *Panel) openSlot(slot int, grantID string, step entry, event panel.Event) error {
	if err := p.keepCounted(p.nextEvent(step, event)); err != nil {
		return err
	}
	p.openTil[slotName(slot)] = p.world().Add(slotOpens)
	p.openedBy[slot] = grantID
	p.reportSoon()
	return nil
}

// judgeSlot decides about a command to open a slot on what the box itself knows
// (P4, P10). The caller holds mu.
func (p *Panel) judgeSlot(c panel.Command, now time.Time) (panel.Result, int) {
	g, known := p.memory.grants[c.GrantID]
	b := p.box()
	p.number = p.number.at(now)
	switch {
	case p.faulty().mode == faultRefuse:
		return panel.ResultRefused, 0
	case c.BootID != p.bootID:
		return panel.ResultStaleBoot, 0
	case !now.Before(c.ExpiresAt):
		return panel.ResultExpired, 0
	case !p.number.good(c.PanelCode, now):
		p.number = rotating{}.at(now) // nobody guesses the same number twice
		return panel.ResultWrongPanelCode, 0
	case known && g.Tombstone:
		return panel.ResultStaleRevision, 0
	case c.Purpose == panel.PurposeDropOff:
		v := b.dropOff()
		return resultOf(v), v.Slot
	case known && g.Revision > c.GrantRevision:
		return panel.ResultStaleRevision, 0
	case p.outdated(c, p.memory.identity.PanelID, now) != "":
		return p.outdated(c, p.memory.identity.PanelID, now), 0
	case !known || g.Revision < c.GrantRevision: // the engine knows more than we do, and has signed it
		v := b.slotOf(c.KeyID)
		return resultOf(v), v.Slot
	case g.NoPickup != "":
		return panel.ResultPickupDenied, 0
	default:
		v := b.pickup(g, now)
		return resultOf(v), v.Slot
	}
}

// resultOf says a verdict in the words of commands.
func resultOf(v Verdict) panel.Result {
	switch v.Reason {
	case "":
		return panel.ResultOpened
	case reasonKeyNotHere:
		return panel.ResultKeyNotHere
	case reasonNoFreeSlot:
		return panel.ResultNoFreeSlot
	default:
		return panel.ResultOutsideWindow
	}
}

// obeySlot carries out a command to open a slot at most once, as obey does for an
// entrance (P4). The caller holds mu.
func (p *Panel) obeySlot(c panel.Command) (panel.CommandResult, error) {
	now := p.clock()
	judged, slot := p.judgeSlot(c, now)
	result := panel.CommandResult{CommandID: c.CommandID, Result: judged, Slot: slot, Reason: reasons[judged], At: now}
	event := panel.Event{At: now, CommandID: c.CommandID, GrantID: c.GrantID, Op: c.Purpose, Via: "command", Slot: slot}
	if judged == panel.ResultOpened {
		event.Type = "opened"
		step := entry{Seen: &result, Opened: &Opening{At: now, Slot: slot, GrantID: c.GrantID, CommandID: c.CommandID, Via: "command", Op: string(c.Purpose)}}
		return result, p.openSlot(slot, c.GrantID, step, event)
	}
	event.Type, event.Code = "denied", string(judged)
	err := p.keepCounted(p.nextEvent(entry{Seen: &result, Denied: &Denial{
		At: now, GrantID: c.GrantID, CommandID: c.CommandID, Code: string(judged), Op: string(c.Purpose),
	}}, event))
	p.reportSoon()
	return result, err
}

// moved is what a person does to an open slot by hand: takes the key out, or puts
// one in. The slot closes behind it.
func (p *Panel) moved(slot int, keyID string) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isBox() || slot < 1 || slot > p.memory.identity.Slots {
		return &refusal{http.StatusUnprocessableEntity, "invalid", "This panel has no such slot."}
	}
	held := p.memory.slots[slot]
	switch {
	case !p.world().Before(p.openTil[slotName(slot)]):
		return &refusal{http.StatusConflict, "slot_closed", "The slot is closed. Open it with a code or a command first."}
	case keyID == "" && held == "":
		return &refusal{http.StatusConflict, "slot_empty", "There is no key in this slot."}
	case keyID != "" && held != "":
		return &refusal{http.StatusConflict, "slot_taken", "There is a key in this slot already."}
	case keyID != "" && slices.Contains(p.box().Keys, keyID):
		return &refusal{http.StatusConflict, "key_elsewhere", "This key is in another slot."}
	}
	event := panel.Event{At: p.clock(), Type: "key_returned", Slot: slot, KeyID: keyID, GrantID: p.openedBy[slot]}
	if keyID == "" {
		event.Type, event.KeyID = "key_taken", held
	}
	if err := p.keepCounted(p.nextEvent(entry{Slot: &slotContent{Slot: slot, KeyID: keyID}}, event)); err != nil {
		return &refusal{http.StatusInternalServerError, "internal", "The panel could not write its state."}
	}
	delete(p.openTil, slotName(slot))
	delete(p.openedBy, slot)
	p.reportSoon()
	return nil
}

// refusal is a control call's no.
type refusal struct {
	status       int
	code, detail string
}
