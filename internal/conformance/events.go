package conformance

import (
	"crypto/rand"
	"slices"
	"time"
)

var eventChecks = []Check{
	{Name: "event/counts_from_1_in_every_boot", Rule: "P6", run: countsFromOne},
	{Name: "event/is_kept_until_acknowledged", Rule: "P6", run: keptUntilAcknowledged},
	{Name: "event/is_kept_over_a_power_cycle", Rule: "P6", run: keptWithItsTime},
	{Name: "event/that_was_not_acknowledged_is_sent_again", Rule: "P6", run: partlyAcknowledged},
	{Name: "event/of_an_earlier_boot_comes_first", Rule: "P6", run: earlierBootFirst},
	{Name: "event/acknowledgement_of_another_engine_is_refused", Rule: "P1", run: badAcknowledgement(func(b *bench, r *reply) { r.key = foreignKey(b) })},
	{Name: "event/acknowledgement_of_another_report_is_refused", Rule: "P1", run: badAcknowledgement(func(_ *bench, r *reply) { r.Re = rand.Text() })},
	{Name: "event/acknowledgement_for_another_panel_is_refused", Rule: "P1", run: badAcknowledgement(func(_ *bench, r *reply) { r.Aud = "pan_other" })},
	{Name: "event/acknowledgement_of_another_type_is_refused", Rule: "P1", run: badAcknowledgement(func(_ *bench, r *reply) { r.Typ = "sync_answer" })},
	{Name: "event/acknowledgement_from_yesterday_is_refused", Rule: "P1", run: badAcknowledgement(func(_ *bench, r *reply) { r.Iat, r.Exp = r.Iat-86400, r.Exp-86400 })},
	{Name: "event/empty_report_comes_at_least_every_60_seconds", Rule: "P8", slow: true, run: heartbeat},
}

// happens makes something happen that a panel must report: a command that expired.
func (b *bench) happens() (c command) {
	b.t.Helper()
	g, _ := b.grant()
	c = b.opens(g)
	c.ExpiresAt = b.engine.now().Add(-time.Second)
	b.mustCommand(c, "expired")
	return c
}

// about says whether an event is about a command.
func about(c command) func(event) bool {
	return func(e event) bool { return e.CommandID == c.CommandID }
}

// batchesWith counts the reports that have an event of a command. The caller holds mu.
func (e *engine) batchesWith(c command) (n int) {
	for _, batch := range e.batches {
		if slices.ContainsFunc(batch.Events, about(c)) {
			n++
		}
	}
	return n
}

func countsFromOne(b *bench) {
	for range 2 {
		boot := b.status().BootID
		first, second := b.happens(), b.happens()
		b.reported("the first event", about(first))
		b.reported("the second event", about(second))
		b.engine.do(func(e *engine) {
			events := e.events[boot]
			if n := len(events); n < 2 || events[0].Seq != 1 || !about(second)(events[n-1]) || !about(first)(events[n-2]) {
				b.t.Errorf("the boot %s must count its events from 1 in order, but has %+v", boot, events)
			}
		})
		b.powerCycle()
	}
}

func keptUntilAcknowledged(b *bench) {
	var c command
	b.cutOff(func() {
		c = b.happens()
		b.engine.do(func(e *engine) {
			e.losing = func(eventBatch) bool { return e.batchesWith(c) == 1 || e.batchesWith(c) == 2 }
		})
	})
	b.await("a report is sent again until it is acknowledged", func(e *engine) bool { return e.batchesWith(c) > 2 })
	b.reported("the event", about(c))
}

func keptWithItsTime(b *bench) {
	var c command
	var boot string
	var happened time.Time
	b.cutOff(func() {
		boot = b.status().BootID
		c = b.happens()
		happened = b.engine.now()
		b.powerCycle()
	})
	e := b.reported("what happened before the power cycle", about(c))
	if e.At.Sub(happened).Abs() > 5*time.Second {
		b.t.Errorf("the event must have its own time, about %s, but has %s", happened, e.At)
	}
	b.engine.do(func(e *engine) {
		if !slices.ContainsFunc(e.events[boot], about(c)) {
			b.t.Errorf("the event must be reported under the boot id in which it happened")
		}
	})
}

func partlyAcknowledged(b *bench) {
	var commands []command
	b.cutOff(func() { commands = append(commands, b.happens(), b.happens(), b.happens()) })
	once := true
	b.engine.do(func(e *engine) {
		e.ack = func(batch eventBatch, upTo int64) int64 {
			if n := slices.IndexFunc(batch.Events, about(commands[0])); n >= 0 && once {
				once = false
				return batch.Events[n].Seq
			}
			return upTo
		}
	})
	// They come in one report or in several, as the panel likes.
	b.await("the rest is sent after a part was acknowledged", func(e *engine) bool {
		n := slices.IndexFunc(e.batches, func(batch eventBatch) bool { return slices.ContainsFunc(batch.Events, about(commands[0])) })
		if once || n < 0 {
			return false
		}
		later := slices.Concat(func() (all []([]event)) {
			for _, batch := range e.batches[n+1:] {
				all = append(all, batch.Events)
			}
			return all
		}()...)
		return slices.ContainsFunc(later, about(commands[1])) && slices.ContainsFunc(later, about(commands[2]))
	})
	for _, c := range commands {
		b.reported("the event", about(c))
	}
}

func earlierBootFirst(b *bench) {
	var before, after command
	b.cutOff(func() {
		before = b.happens()
		b.powerCycle()
		after = b.happens()
	})
	b.reported("what happened in the later boot", about(after))
	b.engine.do(func(e *engine) {
		with := func(c command) int {
			return slices.IndexFunc(e.batches, func(batch eventBatch) bool { return slices.ContainsFunc(batch.Events, about(c)) })
		}
		first, second := with(before), with(after)
		if first < 0 || first >= second {
			b.t.Errorf("what happened in the earlier boot must be reported first")
			return
		}
		if e.batches[first].BootID == e.batches[second].BootID || e.batches[second].Events[0].Seq != 1 {
			b.t.Errorf("a report must have the events of one boot, and every boot counts from 1")
		}
	})
}

// badAcknowledgement is an answer that the panel must not believe: it has to keep
// its events and send them again.
func badAcknowledgement(change func(*bench, *reply)) func(*bench) {
	return func(b *bench) {
		var c command
		b.cutOff(func() { c = b.happens() })
		once := true
		b.engine.do(func(e *engine) {
			e.onReply = func(typ string, r *reply) {
				if typ == "events_ack" && e.batchesWith(c) == 1 && once {
					once = false
					change(b, r)
				}
			}
		})
		b.await("a report is sent again that was not acknowledged by the engine", func(e *engine) bool { return e.batchesWith(c) > 1 })
	}
}

func heartbeat(b *bench) {
	n := 0
	b.engine.do(func(e *engine) { n = len(e.batches) })
	started := time.Now()
	ctx := b.ctx
	for range 2 {
		if err := b.engine.await(ctx, func(e *engine) bool { return len(e.batches) > n }); err != nil {
			b.t.Fatal(err)
		}
		if waited := time.Since(started); waited > time.Minute {
			b.t.Fatalf("the panel said nothing for %s", waited.Round(time.Second))
		}
		started = time.Now()
		b.engine.do(func(e *engine) {
			n = len(e.batches)
			if last := e.batches[n-1]; last.BootID == "" || len(last.Events) > 0 {
				b.t.Errorf("a report of a panel at which nothing happened must have its boot id and no event, but is %+v", last)
			}
		})
	}
}
