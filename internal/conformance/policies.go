package conformance

import (
	"net/http"
	"net/url"
	"time"
)

var policyChecks = []Check{
	{Name: "policy/newer_version_replaces", Rule: "P2", run: policyVersions},
	{Name: "policy/newer_than_the_command_is_obeyed", Rule: "P2", run: policyAndCommand},
	{Name: "policy/is_judged_after_the_revision_and_before_the_window", Rule: "P2", run: policyOrder},
	{Name: "policy/of_one_entrance_is_of_no_other", Rule: "P2", Kind: DoorKind, run: policyOfOneEntrance},
	{Name: "policy/schedule_is_read_on_the_wall_clock", Rule: "I12", run: policySchedules},
	{Name: "policy/of_an_unknown_zone_admits_nobody", Rule: "P2", run: policyUnknownZone},
	{Name: "policy/is_kept_over_a_power_cycle", Rule: "P2", run: policyKept},
	{Name: "policy/comes_with_the_sync", Rule: "P2", run: policySynced},
	{Name: "policy/comes_with_the_enrolment", Rule: "P2", fresh: true, run: policyEnrolled},
	{Name: "policy/closes_typed_pickup_and_no_drop_off", Rule: "I17", Kind: SmartBoxKind, run: policyAndCodes},
	{Name: "policy/locks_single_keys", Rule: "I17", Kind: SmartBoxKind, run: policyLockedKeys},
	{Name: "policy/refuses_no_drop_off_by_command", Rule: "K8", Kind: SmartBoxKind, run: policyAndDropOff},
	{Name: "policy/of_another_engine_is_refused", Rule: "P1", run: policyForged},
}

// policed is where the policy document of a check applies: the front door, or the box.
func (b *bench) policed() string {
	if b.engine.kind == SmartBoxKind {
		return b.engine.panelID
	}
	return frontDoor
}

// policyVersion is a version that is newer than any before it: the one panel of many
// checks holds on to what it has.
func (b *bench) policyVersion() int64 {
	var n int64
	b.engine.do(func(e *engine) {
		e.version += 10
		n = e.version
	})
	return n
}

// openPolicy restricts nothing.
func (b *bench) openPolicy() policy {
	return policy{EntranceID: b.policed(), Version: b.policyVersion(), OpenToGuests: true, Schedules: []schedule{}, TimeZone: "Asia/Tokyo"}
}

// obey gives the panel a policy document, and returns the version that it says it holds.
func (b *bench) obey(p policy) int64 {
	b.t.Helper()
	var ack policyAck
	b.ask(http.MethodPut, "/entrances/"+url.PathEscape(p.EntranceID)+"/policy", "policy", p, "policy_ack", &ack)
	if ack.EntranceID != p.EntranceID {
		b.t.Fatalf("the acknowledgement of the policy of %s names %q", p.EntranceID, ack.EntranceID)
	}
	return ack.Version
}

// mustObey gives the panel a policy document that is new to it. When the check is over
// it gets one that restricts nothing.
func (b *bench) mustObey(p policy) {
	b.t.Helper()
	if got := b.obey(p); got != p.Version {
		b.t.Fatalf("the panel must hold version %d of a new policy, but says %d", p.Version, got)
	}
}

func (b *bench) lockedDown() policy {
	p := b.openPolicy()
	p.LockedDown = true
	return p
}

func (b *bench) shut() policy {
	p := b.openPolicy()
	p.OpenToGuests = false
	return p
}

func policyVersions(b *bench) {
	g, _ := b.held()
	locked := b.lockedDown()
	b.mustObey(locked)
	b.mustCommand(b.opens(g), "locked_down")
	older, equal := b.openPolicy(), b.openPolicy()
	older.Version, equal.Version = locked.Version-1, locked.Version
	for _, p := range []policy{older, equal} {
		if got := b.obey(p); got != locked.Version {
			b.t.Errorf("after version %d the panel must hold %d, but says %d", p.Version, locked.Version, got)
		}
		b.mustCommand(b.opens(g), "locked_down")
	}
	b.mustObey(b.openPolicy())
	b.mustCommand(b.opens(g), "opened")
}

// under is a command that was decided by a version of the policy.
func (b *bench) under(g grant, version int64) command {
	b.t.Helper()
	c := b.opens(g)
	c.PolicyVersion = version
	return c
}

func policyAndCommand(b *bench) {
	g, _ := b.held()
	for _, one := range []struct {
		p    policy
		want string
	}{{b.lockedDown(), "locked_down"}, {b.shut(), "closed_by_policy"}} {
		b.mustObey(one.p)
		for _, version := range []int64{0, one.p.Version - 1} {
			c := b.under(g, version)
			b.mustCommand(c, one.want)
			b.denied(c, one.want)
		}
		b.mustCommand(b.under(g, one.p.Version), "opened")
		b.mustCommand(b.under(g, one.p.Version+1), "opened")
	}
	unknown, _ := b.grant() // nor does the engine's word for a grant go before a newer policy
	b.mustCommand(b.opens(unknown), "closed_by_policy")
}

func policyOrder(b *bench) {
	g, _ := b.held()
	over := b.closed(g, 5)
	b.mustHold(over, 5)
	b.mustObey(b.lockedDown())
	late := b.opens(over)
	late.ExpiresAt = b.engine.now().Add(-time.Second)
	b.mustCommand(late, "expired")
	other := b.opens(over)
	other.BootID = newID("boot")
	b.mustCommand(other, "stale_boot")
	b.mustCommand(b.opens(g), "stale_revision")
	b.mustCommand(b.opens(over), "locked_down")
}

func policyOfOneEntrance(b *bench) {
	g, _ := b.held()
	b.mustObey(b.lockedDown())
	b.mustCommand(b.opens(g), "locked_down")
	c := b.opens(g)
	c.EntranceID = garage
	b.mustCommand(c, "opened")
}

// policySchedules moves the clock to instants at the edges of schedules. Portugal
// changes its clocks on 28 March 2027, from 01:00 to 02:00, and on 31 October 2027, from
// 02:00 back to 01:00.
func policySchedules(b *bench) {
	nights := []schedule{{Days: []string{"mon", "fri"}, From: "22:00", To: "02:00"}}
	evening := []schedule{{Days: []string{"tue"}, From: "20:00", To: "24:00"}}
	two := []schedule{{Days: []string{"wed"}, From: "08:00", To: "09:00"}, {Days: []string{"wed"}, From: "10:00", To: "11:00"}}
	gap := []schedule{{Days: []string{"sun"}, From: "01:30", To: "04:00"}}
	twice := []schedule{{Days: []string{"sun"}, From: "01:30", To: "01:45"}}
	for _, one := range []struct {
		schedules []schedule
		at        string
		open      bool
	}{
		{nights, "2027-06-04T21:59:00+01:00", false}, // a Friday
		{nights, "2027-06-04T22:00:01+01:00", true},
		{nights, "2027-06-05T01:59:00+01:00", true},
		{nights, "2027-06-05T02:00:01+01:00", false},
		{nights, "2027-06-05T22:30:00+01:00", false},
		{nights, "2027-06-06T01:00:00+01:00", false},
		{nights, "2027-06-07T22:30:00+01:00", true}, // a Monday
		{nights, "2027-06-07T01:00:00+01:00", false},
		{evening, "2027-06-08T23:59:00+01:00", true},
		{evening, "2027-06-09T00:00:01+01:00", false},
		{two, "2027-06-09T08:30:00+01:00", true},
		{two, "2027-06-09T09:30:00+01:00", false},
		{two, "2027-06-09T10:30:00+01:00", true},
		{gap, "2027-03-28T00:59:00Z", false},
		{gap, "2027-03-28T02:15:00+01:00", false},
		{gap, "2027-03-28T02:31:00+01:00", true},
		{twice, "2027-10-31T01:29:00+01:00", false},
		{twice, "2027-10-31T01:31:00+01:00", true},
		{twice, "2027-10-31T01:15:00Z", true},
		{twice, "2027-10-31T01:46:00Z", false},
	} {
		at, err := time.Parse(time.RFC3339, one.at)
		if err != nil {
			b.t.Fatal(err)
		}
		b.skew(time.Until(at) - b.base)
		p := b.openPolicy()
		p.Schedules, p.TimeZone = one.schedules, "Europe/Lisbon"
		b.mustObey(p)
		g, _ := b.held()
		want := map[bool]string{true: "opened", false: "closed_by_policy"}[one.open]
		if got := b.command(b.opens(g)).Result; got != want {
			b.t.Errorf("with the schedules %v at %s the result must be %s, but is %s", one.schedules, one.at, want, got)
		}
	}
}

func policyUnknownZone(b *bench) {
	g, _ := b.held()
	p := b.openPolicy()
	p.TimeZone, p.Schedules = "Mars/Olympus_Mons", []schedule{{Days: []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, From: "00:00", To: "24:00"}}
	b.mustObey(p)
	b.mustCommand(b.opens(g), "closed_by_policy")
}

func policyKept(b *bench) {
	g, _ := b.held()
	p := b.lockedDown()
	b.mustObey(p)
	b.cutOff(func() {
		b.powerCycle()
		b.mustCommand(b.opens(g), "locked_down")
		if got := b.obey(p); got != p.Version {
			b.t.Errorf("after a power cycle the panel must hold version %d, but says %d", p.Version, got)
		}
	})
}

func policySynced(b *bench) {
	g, _ := b.held()
	p := b.lockedDown()
	b.engine.do(func(e *engine) {
		e.hold = []holding{e.holding()}
		e.hold[0].Policies = []policy{p}
	})
	b.syncsSince("the panel asks for all that it should hold", b.powerCycle, atLeast(1))
	older := b.openPolicy()
	older.Version = p.Version - 1
	b.awaitAsked("the panel holds the policy of the sync", func() bool { return b.obey(older) == p.Version })
	b.mustCommand(b.opens(g), "locked_down")
}

func policyEnrolled(b *bench) {
	p := b.lockedDown()
	b.engine.do(func(e *engine) {
		e.hold[0].Policies = []policy{p}
		e.away[pathSync] = true
	})
	b.start()
	b.await("the panel enrols and reports", func(e *engine) bool { return len(e.batches) > 0 })
	g, _ := b.held()
	b.mustCommand(b.opens(g), "locked_down")
}

// awaitAsked asks again and again.
func (b *bench) awaitAsked(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("it does not happen that %s", what)
		}
	}
}

func policyAndCodes(b *bench) {
	g, code := b.held()
	for _, one := range []struct {
		p    policy
		want string
	}{{b.lockedDown(), "locked_down"}, {b.shut(), "closed_by_policy"}} {
		b.mustObey(one.p)
		b.cutOff(func() {
			b.mustNotType(code, "pickup", one.want)
			b.mustBeFree(b.mustType(code, "dropoff"))
		})
		b.wasTyped("denied", g.GrantID, "pickup", one.want, 0)
	}
	b.mustObey(b.openPolicy())
	b.mustType(code, "pickup")
}

func policyLockedKeys(b *bench) {
	_, code := b.held()
	other, otherCode := b.grant()
	other.KeyID = secondKey
	b.mustHold(other, 3)
	p := b.openPolicy()
	p.LockedKeys = []string{secondKey}
	b.mustObey(p)
	b.mustType(code, "pickup")
	b.mustNotType(otherCode, "pickup", "locked_down")
	b.mustType(otherCode, "dropoff")
	b.mustCommand(b.under(other, p.Version-1), "locked_down")
	b.mustCommand(b.under(other, p.Version), "opened")
}

func policyAndDropOff(b *bench) {
	g, _ := b.held()
	b.mustObey(b.lockedDown())
	b.mustBeFree(b.mustCommand(b.toDropOff(g), "opened").Slot)
}

func policyForged(b *bench) {
	g, _ := b.held()
	b.mustObey(b.openPolicy())
	p, foreign := b.lockedDown(), foreignKey(b)
	token, _ := b.message("policy", p, func(r *reply) { r.key = foreign })
	b.refused("a policy of another engine", http.MethodPut, "/entrances/"+url.PathEscape(p.EntranceID)+"/policy", token, "bad_signature")
	b.mustCommand(b.opens(g), "opened")
}
