package conformance

import (
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

var tapChecks = []Check{
	{Name: "tap/opens_by_the_command_in_the_answer", Rule: "I9", Kind: DoorKind, run: tapOpens},
	{Name: "tap/without_a_command_opens_nothing", Rule: "I9", Kind: DoorKind, run: tapWithoutCommand},
	{Name: "tap/command_in_the_answer_is_judged", Rule: "P4", Kind: DoorKind, run: tapCommandIsJudged},
	{Name: "tap/lost_answer_is_asked_for_again", Rule: "I9", Kind: DoorKind, run: tapAgain},
	{Name: "tap/command_that_also_comes_directly_opens_once", Rule: "P4", Kind: DoorKind, run: tapAndCommand},
	{Name: "tap/answer_of_another_engine_opens_nothing", Rule: "P1", Kind: DoorKind, run: badTapAnswer(func(b *bench, r *reply) { r.key = foreignKey(b) })},
	{Name: "tap/answer_to_another_tap_opens_nothing", Rule: "P1", Kind: DoorKind, run: badTapAnswer(func(_ *bench, r *reply) { r.Re = rand.Text() })},
	{Name: "tap/answer_for_another_panel_opens_nothing", Rule: "P1", Kind: DoorKind, run: badTapAnswer(func(_ *bench, r *reply) { r.Aud = "pan_other" })},
	{Name: "tap/old_answer_opens_nothing", Rule: "P1", Kind: DoorKind, run: badTapAnswer(func(_ *bench, r *reply) { r.Iat, r.Exp = r.Iat-600, r.Exp-600 })},
}

// tapped holds a phone to the panel; the engine answers so.
func (b *bench) tapped(answer tapAnswer) (asked []tap) {
	b.t.Helper()
	before := 0
	b.engine.do(func(e *engine) {
		before = len(e.taps)
		e.onTap = func(tap) tapAnswer { return answer }
	})
	token := newID("tap")
	b.hold(token)
	b.await("the panel asks what a tap does", func(e *engine) bool { return len(e.taps) > before })
	boot := b.status().BootID
	b.engine.do(func(e *engine) { asked = slices.Clone(e.taps[before:]) })
	for _, q := range asked {
		if q.TapToken != token || q.EntranceID != frontDoor || q.BootID != boot || q.TapID == "" {
			b.t.Errorf("a tap must name token, entrance and boot and have an id, but is %+v", q)
		}
	}
	return asked
}

func tapOpens(b *bench) {
	g, _ := b.held()
	c, next := b.opens(g), b.opens(g)
	first := b.tapped(tapAnswer{Result: "verified", Command: &c})
	b.mustHaveOpened(c.CommandID, 1)
	e := b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
	if e.GrantID != g.GrantID || e.EntranceID != frontDoor {
		b.t.Errorf("the event must name grant and entrance, but is %+v", e)
	}
	second := b.tapped(tapAnswer{Result: "verified", Command: &next})
	b.mustHaveOpened(next.CommandID, 1)
	if first[0].TapID == second[0].TapID {
		b.t.Errorf("two taps must have two ids")
	}
}

func tapWithoutCommand(b *bench) {
	before := len(b.look().Opened)
	for _, said := range []string{"verified", "wrong_entrance", "expired", "something_new"} {
		b.tapped(tapAnswer{Result: said})
	}
	if after := len(b.look().Opened); after != before {
		b.t.Errorf("answers without a command have opened %d times", after-before)
	}
}

func tapCommandIsJudged(b *bench) {
	g, _ := b.held()
	late := b.opens(g)
	late.ExpiresAt = b.engine.now().Add(-time.Second)
	other := b.opens(g)
	other.BootID = newID("boot")
	stale := b.opens(g)
	stale.GrantRevision = g.Revision - 1
	for _, c := range []command{late, other, stale} {
		b.tapped(tapAnswer{Result: "verified", Command: &c})
		b.mustHaveOpened(c.CommandID, 0)
		b.reported("the refusal", func(e event) bool { return e.Type == "denied" && e.CommandID == c.CommandID })
	}
}

func tapAgain(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	b.engine.do(func(e *engine) { e.lose[pathTaps] = 1 })
	asked := b.tapped(tapAnswer{Result: "verified", Command: &c})
	b.await("a tap whose answer was lost is sent again", func(e *engine) bool {
		n := 0
		for _, q := range e.taps {
			if q == asked[0] {
				n++
			}
		}
		return n > 1
	})
	b.awaitLook("the door opens", func(s sim) bool {
		return slices.ContainsFunc(s.Opened, func(o opening) bool { return o.CommandID == c.CommandID })
	})
	b.mustHaveOpened(c.CommandID, 1)
}

func tapAndCommand(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	b.tapped(tapAnswer{Result: "verified", Command: &c})
	b.mustCommand(c, "opened")
	direct := b.opens(g)
	b.mustCommand(direct, "opened")
	b.tapped(tapAnswer{Result: "verified", Command: &direct})
	b.mustHaveOpened(direct.CommandID, 1)
}

// badTapAnswer is an answer that the panel must not believe.
func badTapAnswer(change func(*bench, *reply)) func(*bench) {
	return func(b *bench) {
		g, _ := b.held()
		c := b.opens(g)
		b.engine.do(func(e *engine) {
			e.onReply = func(typ string, r *reply) {
				if typ == "tap_answer" {
					change(b, r)
				}
			}
		})
		b.tapped(tapAnswer{Result: "verified", Command: &c})
		b.mustHaveOpened(c.CommandID, 0)
		if code, _, err := call(b.ctx, http.MethodGet, b.device.Control+"/sim", nil, ""); err != nil || code != http.StatusOK {
			b.t.Errorf("the panel is gone: %d %v", code, err)
		}
	}
}
