package conformance

import "slices"

var resendChecks = []Check{
	{Name: "event/that_the_engine_misses_is_sent_again", Rule: "P6", run: resendFrom},
	{Name: "event/that_the_engine_misses_of_an_earlier_boot_is_sent_again", Rule: "P6", run: resendOfEarlierBoot},
}

// missing has the engine say once, when it hears of a command, that it misses events
// from the one of another command on.
func (b *bench) missing(from, when command) {
	asked := false
	b.engine.do(func(e *engine) {
		e.onAck = func(ack *eventsAck) {
			if asked || e.batchesWith(when) == 0 {
				return
			}
			if n := slices.IndexFunc(e.events[ack.BootID], about(from)); n >= 0 {
				asked = true
				ack.ResendFrom = int64(n) + 1
				ack.Seq = int64(n)
			}
		}
	})
}

func resendFrom(b *bench) {
	first, second := b.happens(), b.happens()
	b.reported("the second event", about(second))
	before := 0
	b.engine.do(func(e *engine) { before = len(e.batches) })
	var third command
	b.cutOff(func() {
		third = b.happens()
		b.missing(first, third)
	})
	b.await("the panel sends again what the engine misses", func(e *engine) bool {
		var again []event
		for _, batch := range e.batches[before:] {
			again = append(again, batch.Events...)
		}
		n := slices.IndexFunc(again, about(first))
		return n >= 0 && slices.ContainsFunc(again[n:], about(second)) && slices.ContainsFunc(again[n:], about(third))
	})
}

func resendOfEarlierBoot(b *bench) {
	first := b.happens()
	b.reported("the first event", about(first))
	before := 0
	b.engine.do(func(e *engine) { before = len(e.batches) })
	var second command
	b.cutOff(func() {
		second = b.happens()
		b.missing(first, second)
		b.powerCycle()
	})
	b.await("the panel sends again what the engine misses of an earlier boot", func(e *engine) bool {
		var again []event
		for _, batch := range e.batches[before:] {
			again = append(again, batch.Events...)
		}
		return slices.ContainsFunc(again, about(first)) && slices.ContainsFunc(again, about(second))
	})
}
