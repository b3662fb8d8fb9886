package store_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// enrol lets the panel that has a code of its own enrol.
func (w *world) enrol(p directory.Panel, at time.Time) {
	w.t.Helper()
	w.ok(w.SetEnrolmentCode(w.t.Context(), p.AccountID, p.ID, []byte(p.ID), at.Add(time.Hour), at))
	_, err := w.EnrolPanel(w.t.Context(), []byte(p.ID), []byte("key of "+p.ID), nil, "http://127.0.0.1:1", at)
	w.ok(err)
}

// settle confirms everything that a panel is to hold.
func (w *world) settle(p directory.Panel, at time.Time) {
	w.t.Helper()
	policies, err := w.PendingPolicies(w.t.Context(), p.ID)
	w.ok(err)
	for _, d := range policies {
		w.ok(w.ConfirmPolicy(w.t.Context(), p.ID, d, d.Version, at))
	}
	grants, err := w.PendingGrants(w.t.Context(), p.ID, 100)
	w.ok(err)
	for _, g := range grants {
		w.ok(w.ConfirmGrant(w.t.Context(), p.ID, g.Grant, g.Grant.Revision, at))
	}
}

// document is the one policy document that a panel should hold.
func (w *world) document(p directory.Panel) access.PanelPolicy {
	w.t.Helper()
	list, err := w.PanelPolicies(w.t.Context(), p.ID)
	w.ok(err)
	if len(list) != 1 {
		w.t.Fatalf("%d documents, want one", len(list))
	}
	return list[0]
}

func (w *world) policy(p directory.Property, change func(*access.Policy)) {
	w.t.Helper()
	_, err := w.UpdateProperty(w.t.Context(), p.AccountID, p.ID, 0, func(p *directory.Property) error { change(&p.Policy); return nil }, noon)
	w.ok(err)
}

func (w *world) lockDown(p directory.Property, on bool) {
	w.t.Helper()
	_, err := w.LockDown(w.t.Context(), p.AccountID, p.ID, on, noon)
	w.ok(err)
}

func (w *world) changeEntrance(e directory.Entrance, change func(*directory.Entrance)) {
	w.t.Helper()
	_, err := w.UpdateEntrance(w.t.Context(), e.AccountID, e.ID, 0, func(e *directory.Entrance) error { change(e); return nil }, noon)
	w.ok(err)
}

var workdays = []access.Schedule{{Days: []access.Weekday{"mon", "tue"}, From: "08:00", To: "20:00"}}

// P2: whatever changes what an entrance's panel has to enforce makes a newer
// document; what does not, makes none.
func TestP2DocumentsFollowWhatTheySay(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	w.clearWakeups()
	last := w.document(s.panel)
	if !last.OpenToGuests || last.TimeZone != "Europe/Lisbon" || last.EntranceID != s.entrance.ID {
		t.Fatalf("the first document is %+v", last)
	}
	for _, c := range []struct {
		name   string
		change func()
		newer  bool
		want   func(access.PanelPolicy) bool
	}{
		{"sharing off", func() { w.policy(s.property, func(p *access.Policy) { p.SharingEnabled = false }) }, true, func(p access.PanelPolicy) bool { return !p.OpenToGuests }},
		{"sharing on", func() { w.policy(s.property, func(p *access.Policy) { p.SharingEnabled = true }) }, true, func(p access.PanelPolicy) bool { return p.OpenToGuests }},
		{"a cap", func() { w.policy(s.property, func(p *access.Policy) { p.MaxGuestsPerInviter = 3 }) }, false, func(p access.PanelPolicy) bool { return p.OpenToGuests }},
		{"schedules", func() { w.changeEntrance(s.entrance, func(e *directory.Entrance) { e.Schedules = workdays }) }, true,
			func(p access.PanelPolicy) bool { return len(p.Schedules) == 1 && p.Schedules[0].To == "20:00" }},
		{"a name", func() { w.changeEntrance(s.entrance, func(e *directory.Entrance) { e.Name = "Gate" }) }, false, func(p access.PanelPolicy) bool { return len(p.Schedules) == 1 }},
		{"not shareable", func() { w.changeEntrance(s.entrance, func(e *directory.Entrance) { e.Shareable = false }) }, true, func(p access.PanelPolicy) bool { return !p.OpenToGuests }},
		{"locked down", func() { w.lockDown(s.property, true) }, true, func(p access.PanelPolicy) bool { return p.LockedDown }},
		{"another zone", func() {
			_, err := w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error { p.TimeZone = "Asia/Tokyo"; return nil }, noon)
			w.ok(err)
		}, true, func(p access.PanelPolicy) bool { return p.TimeZone == "Asia/Tokyo" }},
	} {
		w.clearWakeups()
		c.change()
		now := w.document(s.panel)
		if newer := now.Version > last.Version; newer != c.newer || !c.want(now) {
			t.Errorf("%s: the document is now %+v after %+v", c.name, now, last)
		}
		if woken := w.number(`SELECT count(*) FROM wakeups WHERE workflow_id = $1`, "panel/"+s.panel.ID); (woken > 0) != c.newer {
			t.Errorf("%s: the panel was woken %d times", c.name, woken)
		}
		last = now
	}
	w.ok(w.DeleteEntrance(t.Context(), s.accountID, s.entrance.ID, noon))
	if list, err := w.PanelPolicies(t.Context(), s.panel.ID); err != nil || len(list) != 0 {
		t.Errorf("a deleted entrance keeps %+v, %v", list, err)
	}
}

// P2: a document is confirmed by its version; a panel that is wiped is told again.
func TestP2DocumentsAreConfirmedByVersion(t *testing.T) {
	w := open(t)
	s := w.site()
	if pending, err := w.PendingPolicies(t.Context(), s.panel.ID); err != nil || len(pending) != 0 {
		t.Errorf("a panel that has not enrolled is to be told %+v, %v", pending, err)
	}
	w.enrol(s.panel, noon)
	first := w.document(s.panel)
	w.changeEntrance(s.entrance, func(e *directory.Entrance) { e.Schedules = workdays })
	w.ok(w.ConfirmPolicy(t.Context(), s.panel.ID, first, first.Version, noon)) // it came while the change was made
	second, err := w.PendingPolicies(t.Context(), s.panel.ID)
	w.ok(err)
	if len(second) != 1 || second[0].Version <= first.Version {
		t.Fatalf("pending: %+v", second)
	}
	w.ok(w.ConfirmPolicy(t.Context(), s.panel.ID, second[0], second[0].Version, noon))
	w.ok(w.ConfirmPolicy(t.Context(), s.panel.ID, first, first.Version, noon)) // late
	if pending, err := w.PendingPolicies(t.Context(), s.panel.ID); err != nil || len(pending) != 0 {
		t.Errorf("pending: %+v, %v", pending, err)
	}
	w.ok(w.PanelLostGrants(t.Context(), s.panel.ID, noon))
	if pending, err := w.PendingPolicies(t.Context(), s.panel.ID); err != nil || len(pending) != 1 {
		t.Errorf("pending after a wipe: %+v, %v", pending, err)
	}
	// A database that was set back knows older versions than the panel.
	w.ok(w.ConfirmPolicy(t.Context(), s.panel.ID, second[0], second[0].Version+50, noon))
	if pending, err := w.PendingPolicies(t.Context(), s.panel.ID); err != nil || len(pending) != 1 || pending[0].Version <= second[0].Version+50 {
		t.Errorf("pending after the panel knew better: %+v, %v", pending, err)
	}
}

// I17, P2: a key of a property under lock-down is locked wherever it may have been
// returned, and nothing else in a box elsewhere is.
func TestI17KeysAreLockedAtForeignBoxes(t *testing.T) {
	w := open(t)
	k := w.keyed()
	elsewhere := w.property(k.accountID)
	foreign := w.panel(elsewhere, directory.PanelSmartBox)
	w.enrol(foreign, noon)
	w.lockDown(k.property, true)
	if own := w.document(k.box); !own.LockedDown || len(own.LockedKeys) != 0 {
		t.Errorf("the box of the property holds %+v", own)
	}
	if got := w.document(foreign); got.LockedDown || !slices.Equal(got.LockedKeys, []string{k.key.ID}) || got.EntranceID != foreign.ID {
		t.Errorf("the other box holds %+v", got)
	}
	w.lockDown(k.property, false)
	if got := w.document(foreign); len(got.LockedKeys) != 0 {
		t.Errorf("after the lock-down the other box holds %+v", got)
	}
}

// P2: of two changes at once the later document has both in it.
func TestP2ChangesAtOnceAreBothInTheDocument(t *testing.T) {
	w := open(t)
	s := w.site()
	for n := range 8 {
		var group sync.WaitGroup
		group.Go(func() { w.policy(s.property, func(p *access.Policy) { p.SharingEnabled = n%2 == 0 }) })
		group.Go(func() {
			w.changeEntrance(s.entrance, func(e *directory.Entrance) {
				e.Schedules = nil
				if n%2 == 0 {
					e.Schedules = workdays
				}
			})
		})
		group.Wait()
		if d := w.document(s.panel); d.OpenToGuests != (n%2 == 0) || (len(d.Schedules) > 0) != (n%2 == 0) {
			t.Fatalf("round %d: the document is %+v", n, d)
		}
	}
}

// P4, P2: a command carries the version of the document that its decision knew.
func TestP2CommandsCarryTheVersion(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	inv := w.accepted(s)
	_, err := w.IntakeEvents(t.Context(), s.panel.ID, store.PanelReport{BootID: "boot"}, noon)
	w.ok(err)
	claim, err := w.ClaimUnlock(t.Context(), unlockOf(inv, s), noon)
	w.ok(err)
	if claim.Outcome != nil || claim.Command.PolicyVersion == 0 || claim.Command.PolicyVersion != w.document(s.panel).Version {
		t.Errorf("the claim is %+v", claim)
	}
}
