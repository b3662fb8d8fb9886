package conformance

import (
	"net/http"
	"net/url"
	"time"
)

var leaseChecks = []Check{
	{Name: "lease/is_reported", Rule: "P2", run: leaseReported},
	{Name: "lease/of_the_latest_message_counts", Rule: "P2", run: leaseOfTheLatest},
	{Name: "lease/over_admits_nobody_by_itself", Rule: "P2", Kind: SmartBoxKind, run: leaseOver},
	{Name: "lease/comes_with_the_enrolment", Rule: "P2", Kind: SmartBoxKind, fresh: true, run: leaseEnrolled},
	{Name: "lease/is_kept_over_a_power_cycle_and_lost_with_a_wipe", Rule: "P2", Kind: SmartBoxKind, run: leaseKept},
}

// awaitLease makes the panel report until it says that it holds a lease to about then.
func (b *bench) awaitLease(until time.Time) {
	b.t.Helper()
	b.happens()
	b.await("the panel reports the lease that it holds", func(e *engine) bool {
		last := e.batches[len(e.batches)-1].LeaseUntil
		return last != nil && last.Sub(until).Abs() < 2*time.Second
	})
}

// leasing is a grant that sets a lease, in a message of another time.
func (b *bench) leasing(iat time.Duration, until time.Time) {
	b.t.Helper()
	g, _ := b.grant()
	g.LeaseUntil = &until
	token, jti := b.message("grant", g, func(r *reply) {
		r.Iat += int64(iat / time.Second)
		r.Exp += int64(iat / time.Second)
	})
	code, said, err := b.deliver(http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), token)
	if err != nil || code != http.StatusOK {
		b.t.Fatalf("a grant with a lease: %d %s %v", code, said, err)
	}
	b.answered(said, "grant_ack", jti, &grantAck{})
}

// noLease has the engine give none by itself from now on.
func (b *bench) noLease() { b.engine.do(func(e *engine) { e.lease = 0 }) }

func leaseReported(b *bench) {
	b.noLease()
	until := b.engine.now().Add(5 * time.Hour)
	b.leasing(2*time.Second, until) // later than what may still be under way
	b.awaitLease(until)
	b.engine.do(func(e *engine) {
		for _, batch := range e.batches {
			if batch.At.Sub(time.Now().Add(e.offset)).Abs() > tolerance {
				b.t.Errorf("a report must name the panel's clock as at, but has %s", batch.At)
			}
		}
	})
}

func leaseOfTheLatest(b *bench) {
	b.noLease()
	latest := b.engine.now().Add(4 * time.Hour)
	b.leasing(10*time.Second, latest)
	b.awaitLease(latest)
	b.leasing(0, latest.Add(time.Hour))
	b.leasing(-10*time.Second, latest.Add(-time.Hour))
	b.awaitLease(latest)
	shorter := latest.Add(-2 * time.Hour)
	b.leasing(20*time.Second, shorter)
	b.awaitLease(shorter)
}

func leaseOver(b *bench) {
	g, code := b.grant()
	g.StartsAt, g.EndsAt = nil, nil
	b.mustHold(g, 3)
	b.noLease()
	b.leasing(10*time.Second, b.engine.now().Add(20*time.Minute))
	b.cutOff(func() {
		b.mustType(code, "pickup")
		b.skew(21 * time.Minute)
		b.mustNotType(code, "pickup", "lease_expired")
		b.mustBeFree(b.mustType(code, "dropoff"))
		b.mustCommand(b.opens(g), "opened")
	})
	b.wasTyped("denied", g.GrantID, "pickup", "lease_expired", 0)
	b.engine.do(func(e *engine) { e.lease = time.Hour })
	b.happens()
	b.awaitTyped(code, "pickup")
}

// awaitTyped types a code until it opens: after the panel had contact again.
func (b *bench) awaitTyped(code, op string) {
	b.t.Helper()
	b.awaitAsked("the code opens", func() bool { return b.typeCode(code, op).Result == "opened" })
}

func leaseEnrolled(b *bench) {
	b.engine.do(func(e *engine) {
		e.away[pathSync], e.away[pathEvents] = true, true
		e.onEnrol = func(*reply) { e.lease = 0 } // the answer is made: nothing after it has one
	})
	b.start()
	b.await("the panel enrols", func(e *engine) bool { return len(e.enrolments) > 0 && e.lease == 0 })
	b.awaitLook("the panel has taken in the answer", func(s sim) bool { return s.Kind == SmartBoxKind && s.slotOf(firstKey) > 0 })
	_, code := b.held()
	b.mustType(code, "pickup")
}

func leaseKept(b *bench) {
	_, code := b.held()
	b.cutOff(func() {
		b.powerCycle()
		b.mustType(code, "pickup")
	})
	b.noLease()
	b.wipe()
	b.await("the panel asks for all that it should hold", func(e *engine) bool { return e.syncs[len(e.syncs)-1].Lost })
	_, code = b.held()
	b.mustNotType(code, "pickup", "lease_expired")
	b.mustType(code, "dropoff")
}
