package conformance

import (
	"net/http"
	"sync"
	"time"
)

var commandChecks = []Check{
	{Name: "command/opens_and_is_reported", Rule: "P4", run: commandOpens},
	{Name: "command/refusal_is_reported", Rule: "P6", run: refusalIsReported},
	{Name: "command/expired_never_opens", Rule: "P4", run: expiredNeverOpens},
	{Name: "command/that_waited_too_long_never_opens", Rule: "P4", run: lateNeverOpens},
	{Name: "command/names_the_current_boot", Rule: "P4", run: namesTheBoot},
	{Name: "command/twice_opens_once", Rule: "P4", run: twiceOpensOnce},
	{Name: "command/many_times_at_once_opens_once", Rule: "P4", run: atOnceOpensOnce},
	{Name: "command/first_result_stays", Rule: "P4", run: firstResultStays},
	{Name: "command/over_a_power_cycle_opens_once", Rule: "P4", run: onceOverPowerCycle},
	{Name: "command/whose_acknowledgement_is_lost_opens_once", Rule: "P4", run: lostAcknowledgement},
	{Name: "command/through_a_power_cycle_opens_at_most_once", Rule: "P4", run: throughPowerCycle},
	{Name: "command/under_an_older_revision_is_stale", Rule: "P4", run: olderIsStale},
	{Name: "command/under_a_newer_revision_is_the_engine_s_word", Rule: "P4", run: newerIsBelieved},
	{Name: "command/inside_the_window_only", Rule: "P2", run: insideTheWindow},
	{Name: "command/for_an_entrance_of_the_grant_only", Rule: "P4", Kind: DoorKind, run: entranceOfTheGrant},
	{Name: "command/of_another_operation_opens_nothing", Rule: "P4", run: otherOperations},
	{Name: "command/without_id_is_refused", Rule: "P4", run: commandWithoutID},
}

func commandOpens(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	r := b.mustCommand(c, "opened")
	e := b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
	if e.GrantID != g.GrantID || e.EntranceID != c.EntranceID || e.Slot != r.Slot || e.At.Sub(r.At).Abs() > time.Second {
		b.t.Errorf("the event %+v must name the grant, the place and the time of the opening %+v", e, r)
	}
	if b.engine.kind == SmartBoxKind && (r.Slot != b.look().slotOf(firstKey) || e.Op != "pickup" || e.Via != "command") {
		b.t.Errorf("the result %+v must name the slot, and the event %+v op and via", r, e)
	}
}

// denied waits for the report of a refused command.
func (b *bench) denied(c command, code string) {
	b.t.Helper()
	e := b.reported("the refusal", func(e event) bool { return e.Type == "denied" && e.CommandID == c.CommandID })
	if e.Code != code || e.GrantID != c.GrantID || e.EntranceID != c.EntranceID || e.Op != c.Purpose {
		b.t.Errorf("the event of a refusal must name code %s, grant and place, but is %+v", code, e)
	}
}

func refusalIsReported(b *bench) {
	g, _ := b.held()
	over := b.closed(g, 4)
	b.mustHold(over, 4)
	c := b.opens(over)
	b.mustCommand(c, "outside_window")
	b.denied(c, "outside_window")
	stale := b.opens(g)
	b.mustCommand(stale, "stale_revision")
	b.denied(stale, "stale_revision")
}

func expiredNeverOpens(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	c.ExpiresAt = b.engine.now().Add(-time.Second)
	b.mustCommand(c, "expired")
	c.ExpiresAt = b.engine.now().Add(time.Minute)
	b.mustCommand(c, "expired") // the same id again
	b.denied(c, "expired")
}

// lateNeverOpens is a panel that is slow: it checks when it acts, not when it hears.
func lateNeverOpens(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	b.fault("slow", "1500ms")
	c.ExpiresAt = b.engine.now().Add(time.Second)
	r := b.command(c)
	b.fault("none", "")
	if r.Result != "expired" {
		b.t.Errorf("a command that waited beyond expires_at has the result %s", r.Result)
	}
	b.mustHaveOpened(c.CommandID, 0)
}

func namesTheBoot(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	before := c.BootID
	c.BootID = newID("boot")
	b.mustCommand(c, "stale_boot")
	c = fresh(c)
	c.BootID = ""
	b.mustCommand(c, "stale_boot")
	b.powerCycle()
	c = b.opens(g)
	if c.BootID == before {
		b.t.Fatalf("the boot id is the same after a power cycle")
	}
	late := fresh(c)
	late.BootID = before
	b.mustCommand(late, "stale_boot")
	b.denied(late, "stale_boot")
	b.mustCommand(c, "opened")
}

func twiceOpensOnce(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	first := b.mustCommand(c, "opened")
	again := b.mustCommand(c, "opened")
	if !again.At.Equal(first.At) || again.Slot != first.Slot {
		b.t.Errorf("the repetition must get the first result %+v, but gets %+v", first, again)
	}
	b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
}

func atOnceOpensOnce(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	var wait sync.WaitGroup
	for range 12 {
		token, _ := b.message("command", c, nil)
		wait.Go(func() {
			if code, said, err := b.deliver(http.MethodPost, "/commands", token); err != nil || code != http.StatusOK {
				b.t.Errorf("one of many at once: %d %s %v", code, said, err)
			}
		})
	}
	wait.Wait()
	b.mustHaveOpened(c.CommandID, 1)
	b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
}

func firstResultStays(b *bench) {
	g, _ := b.held()
	over := b.closed(g, 4)
	b.mustHold(over, 4)
	c := b.opens(over)
	b.mustCommand(c, "outside_window")
	g.Revision = 5
	b.mustHold(g, 5)
	b.mustCommand(c, "outside_window")
	c.GrantRevision = 5
	b.mustCommand(c, "outside_window")
	b.mustCommand(b.opens(g), "opened")
}

func onceOverPowerCycle(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	refused := fresh(c)
	refused.GrantRevision = 1
	b.mustCommand(refused, "stale_revision")
	first := b.mustCommand(c, "opened")
	b.powerCycle()
	again := b.command(c)
	c.BootID, c.PanelCode = b.status().BootID, b.look().Number
	current := b.command(c)
	if again.Result != "opened" || current.Result != "opened" || !again.At.Equal(first.At) {
		b.t.Errorf("a command id from before a power cycle must get its first result %+v, but gets %+v and %+v", first, again, current)
	}
	refused.BootID, refused.GrantRevision = c.BootID, g.Revision
	b.mustCommand(refused, "stale_revision")
	b.mustHaveOpened(c.CommandID, 1)
	b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
}

func lostAcknowledgement(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	token, _ := b.message("command", c, nil)
	b.fault("lose_ack", "")
	if code, said, err := b.deliver(http.MethodPost, "/commands", token); err == nil {
		b.t.Fatalf("control interface: lose_ack must break the connection, but the answer is %d %s", code, said)
	}
	b.fault("none", "")
	b.mustCommand(c, "opened")
	b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
}

// throughPowerCycle turns the panel off while a command is on its way. It has opened,
// knows it and reports it, or the command has not arrived and does not open later.
func throughPowerCycle(b *bench) {
	g, _ := b.held()
	for n := range 4 {
		c := b.opens(g)
		token, _ := b.message("command", c, nil)
		arrived := make(chan struct{})
		go func() {
			defer close(arrived)
			_, _, _ = b.deliver(http.MethodPost, "/commands", token) // the answer may be lost
		}()
		time.Sleep(time.Duration(n) * 2 * time.Millisecond)
		b.powerCycle()
		<-arrived
		switch r := b.command(c); r.Result {
		case "opened":
			b.mustHaveOpened(c.CommandID, 1)
			b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.CommandID == c.CommandID })
		case "stale_boot":
			b.mustHaveOpened(c.CommandID, 0)
		default:
			b.t.Errorf("the result of a command that came before or after the power cycle is %s", r.Result)
		}
	}
}

func olderIsStale(b *bench) {
	g, _ := b.held()
	before := g
	g.Revision = 8
	b.mustHold(g, 8)
	b.mustCommand(b.opens(before), "stale_revision")
	b.mustCommand(b.opens(g), "opened")
}

// The engine decided on facts that have not reached the panel yet, and signed it.
func newerIsBelieved(b *bench) {
	g, _ := b.held()
	over := b.closed(g, 4)
	b.mustHold(over, 4)
	g.Revision = 5
	b.mustCommand(b.opens(g), "opened")
	unknown, _ := b.grant()
	b.mustCommand(b.opens(unknown), "opened")
}

func insideTheWindow(b *bench) {
	g, _ := b.grant()
	from, to := b.engine.now().Add(time.Hour), b.engine.now().Add(2*time.Hour)
	g.StartsAt, g.EndsAt = &from, &to
	b.mustHold(g, 3)
	b.cutOff(func() {
		b.mustCommand(b.opens(g), "outside_window")
		b.skew(90 * time.Minute)
		b.mustCommand(b.opens(g), "opened")
		b.skew(2*time.Hour + time.Minute)
		b.mustCommand(b.opens(g), "outside_window")
	})
}

func entranceOfTheGrant(b *bench) {
	g, _ := b.grant()
	g.EntranceIDs = []string{frontDoor}
	b.mustHold(g, 3)
	for _, elsewhere := range []string{garage, "ent_of_another_panel", ""} {
		c := b.opens(g)
		c.EntranceID = elsewhere
		b.mustCommand(c, "not_shared")
		b.denied(c, "not_shared")
	}
	b.mustCommand(b.opens(g), "opened")
}

func otherOperations(b *bench) {
	g, _ := b.held()
	for _, op := range []string{map[string]string{DoorKind: "open_slot", SmartBoxKind: "unlock"}[b.engine.kind], "something_new", ""} {
		c := b.opens(g)
		c.Op, c.EntranceID, c.Slot = op, frontDoor, 1
		token, _ := b.message("command", c, nil)
		if _, _, err := b.deliver(http.MethodPost, "/commands", token); err != nil {
			b.t.Errorf("op %q: %v", op, err)
		}
		b.mustHaveOpened(c.CommandID, 0)
	}
}

func commandWithoutID(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	c.CommandID = ""
	token, _ := b.message("command", c, nil)
	b.refused("a command without command_id", http.MethodPost, "/commands", token, "malformed")
}
