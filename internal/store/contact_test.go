package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

func at(hour, minute int) time.Time { return time.Date(2026, 12, 1, hour, minute, 0, 0, time.UTC) }

// accepted is an invitation of the site that its guest has accepted, until 20:00.
func (w *world) accepted(s site) access.Invitation {
	w.t.Helper()
	inv := w.invite(s, ana, at(20, 0))
	inv.Confirm(inv.Revision)
	w.ok(inv.Accept(noon))
	w.recordInvitation(&inv, noon)
	return inv
}

// recordInvitation does as the workflow does.
func (w *world) recordInvitation(inv *access.Invitation, now time.Time) {
	w.t.Helper()
	_, err := w.RecordInvitation(w.t.Context(), *inv, now)
	w.ok(err)
	inv.Confirm(inv.Revision)
}

func unlockOf(inv access.Invitation, s site) activities.UnlockRequest {
	return activities.UnlockRequest{AccountID: s.accountID, InvitationID: inv.ID, EntranceID: s.entrance.ID}
}

// syncOf is what an invitation's first entrance says of its panel.
func (w *world) syncOf(s site, id string, now time.Time) string {
	w.t.Helper()
	inv, err := w.Invitation(w.t.Context(), s.accountID, id, now)
	w.ok(err)
	return string(inv.Entrances[0].Sync.State) + ": " + inv.Entrances[0].Sync.Detail
}

func (w *world) wantSync(step, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: the item says\n\t%s\nwant\n\t%s", step, got, want)
	}
}

// P5: an invitation says in the property's own time what its panel has yet to
// confirm, since when and why; a door that is cut off admits nobody by itself.
func TestP5InvitationSaysHowItsPanelStands(t *testing.T) {
	w := open(t)
	s := w.site()
	inv := w.accepted(s)
	w.wantSync("before enrolment", w.syncOf(s, inv.ID, noon), "pending: Gate has not enrolled yet.")
	w.enrol(s.panel, at(12, 1))
	w.wantSync("enrolled", w.syncOf(s, inv.ID, at(12, 1)), "pending: Gate is being told since 12:00; access and opening times not confirmed.")
	w.settle(s.panel, at(12, 2))
	w.wantSync("told", w.syncOf(s, inv.ID, at(12, 2)), "confirmed: ")

	w.changeEntrance(s.entrance, func(e *directory.Entrance) { e.Schedules = workdays })
	w.ok(w.FailGrants(t.Context(), s.panel.ID, "no answer", at(12, 3)))
	w.wantSync("opening times", w.syncOf(s, inv.ID, at(12, 3)), "failing: Gate has not answered since 12:00; opening times not confirmed; it admits nobody by itself.")
	w.lockDown(s.property, true)
	w.wantSync("lock-down", w.syncOf(s, inv.ID, at(12, 3)), "pending: Gate is being told since 12:00; lock-down not confirmed; it admits nobody by itself.")
	w.lockDown(s.property, false)
	w.settle(s.panel, at(12, 4))

	w.ok(inv.Revoke(at(12, 5), "", ""))
	w.recordInvitation(&inv, at(12, 5))
	w.ok(w.FailGrants(t.Context(), s.panel.ID, "unreachable", at(12, 6)))
	w.wantSync("revoked", w.syncOf(s, inv.ID, at(12, 6)), "failing: Gate unreachable since 12:05; revocation not confirmed; it admits nobody by itself.")
	w.settle(s.panel, at(12, 7))
	w.wantSync("confirmed", w.syncOf(s, inv.ID, at(12, 7)), "confirmed: ")
}

// P5, P2: a box that is cut off could admit by code until the end that it knows, but no
// longer than its lease; a window that it may have heard of and never confirmed counts.
func TestP5ReservationSaysUntilWhenABoxCouldAdmit(t *testing.T) {
	w := open(t)
	k := w.keyed()
	w.policy(k.property, func(p *access.Policy) { p.OfflineLease = 6 * time.Hour })
	w.enrol(k.box, noon)
	r := w.reserve(k.wants(noon, at(15, 0)))
	w.settle(k.box, noon)
	report := store.PanelReport{BootID: "boot"}
	_, err := w.IntakeEvents(t.Context(), k.box.ID, report, noon) // gives the lease
	w.ok(err)
	sync := func(now time.Time) string {
		got, err := w.ReservationOf(t.Context(), k.accountID, r.ID, now)
		w.ok(err)
		return string(got.Sync.State) + ": " + got.Sync.Detail
	}
	w.wantSync("told", sync(noon), "confirmed: ")

	longer := access.Window{Start: noon, End: at(23, 0)}
	plan, err := access.PlanReservation(longer, time.UTC, access.DefaultPolicy(), noon)
	w.ok(err)
	w.ok(r.Edit(noon, access.ReservationEdit{Plan: &plan}, ""))
	w.record(&r)
	w.wantSync("longer", sync(at(12, 10)), "pending: Gate is being told since 12:00; change not confirmed.")
	w.ok(w.FailGrants(t.Context(), k.box.ID, "no answer", at(12, 10))) // it may have arrived
	w.ok(r.Revoke(at(12, 20), "", ""))
	w.record(&r)
	w.ok(w.FailGrants(t.Context(), k.box.ID, "unreachable", at(12, 20)))
	w.wantSync("revoked", sync(at(12, 20)), "failing: Gate unreachable since 12:00; revocation not confirmed; it could still admit until 18:00 at the latest.")
	w.wantSync("after the lease", sync(at(18, 0)), "failing: Gate unreachable since 12:00; revocation not confirmed; it admits nobody by itself.")
	w.wantSync("the day after", strings.Split(sync(at(23, 0).Add(2*time.Hour)), ";")[0], "failing: Gate unreachable since 1 Dec 12:00")
	w.settle(k.box, at(12, 30))
	w.wantSync("confirmed", sync(at(12, 30)), "confirmed: ")
}

// P3, P5: what takes access away is told first, tombstones before all, and stays urgent
// while a newer desire takes its place.
func TestP5NarrowingsGoFirst(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	guest := func(name string) directory.Person {
		return directory.Person{Name: name, Email: name + "@example.com", Locale: "en"}
	}
	var held []access.Invitation
	for _, name := range []string{"a", "b"} {
		inv := w.invite(s, guest(name), at(20, 0))
		inv.Confirm(inv.Revision)
		w.ok(inv.Accept(noon))
		w.recordInvitation(&inv, noon)
		held = append(held, inv)
	}
	w.settle(s.panel, noon)
	fresh := w.invite(s, guest("c"), at(20, 0))
	fresh.Confirm(fresh.Revision)
	w.ok(fresh.Accept(noon))
	w.recordInvitation(&fresh, noon) // waits longest
	shorter, middle := access.Window{Start: noon, End: at(14, 0)}, access.Window{Start: noon, End: at(16, 0)}
	for _, window := range []access.Window{shorter, middle} { // the second is wider than the first and narrower than what the panel holds
		w.ok(held[0].Edit(noon, access.Edit{Window: &window}, ""))
		w.recordInvitation(&held[0], at(12, 30))
	}
	w.ok(held[1].Revoke(at(12, 40), "", ""))
	w.recordInvitation(&held[1], at(12, 40))
	pending, err := w.PendingGrants(t.Context(), s.panel.ID, 10)
	w.ok(err)
	var got []string
	for _, p := range pending {
		got = append(got, p.Grant.ID)
	}
	if want := []string{held[1].ID, held[0].ID, fresh.ID}; !slices.Equal(got, want) {
		t.Errorf("told in the order %q, want %q", got, want)
	}
}

// P5: asking a dead panel again and again leaves one entry in the log for each grant.
func TestP5FailuresAreLoggedOnce(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	w.accepted(s)
	for n := range 5 {
		w.ok(w.FailGrants(t.Context(), s.panel.ID, []string{"unreachable", "no answer"}[n%2], at(12, n)))
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'grant.failing'`); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

// P5, I14: a panel from which an edit has taken everything is shown until it has
// confirmed that.
func TestP5WithdrawnPanelsAreShown(t *testing.T) {
	w := open(t)
	s := w.site()
	garage := w.panel(s.property, directory.PanelDoor)
	w.enrol(s.panel, noon)
	w.enrol(garage, noon)
	back := w.entrance(garage)
	inv := w.accepted(s)
	for _, entrances := range [][]string{{s.entrance.ID, back.ID}, {s.entrance.ID}} {
		w.settle(garage, noon)
		w.ok(inv.Edit(noon, access.Edit{Entrances: entrances}, ""))
		w.recordInvitation(&inv, at(12, 5))
	}
	w.settle(s.panel, at(12, 5))
	w.ok(w.FailGrants(t.Context(), garage.ID, "unreachable", at(12, 6)))
	withdrawn := func() []store.WithdrawnPanel {
		got, err := w.Invitation(t.Context(), s.accountID, inv.ID, at(12, 6))
		w.ok(err)
		return got.Withdrawn
	}
	got := withdrawn()
	if len(got) != 1 || got[0].ID != garage.ID || got[0].Sync.State != store.SyncFailing {
		t.Fatalf("withdrawn: %+v", got)
	}
	w.wantSync("withdrawn", got[0].Sync.Detail, "Gate unreachable since 12:05; end of access not confirmed; it admits nobody by itself.")
	w.settle(garage, at(12, 7))
	if got := withdrawn(); len(got) != 0 {
		t.Errorf("after it has confirmed: %+v", got)
	}
}
