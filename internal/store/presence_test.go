package store_test

import (
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/store"
)

// intake is a batch of a panel; each event's seq is given.
func (w *world) intake(s site, report store.PanelReport, now time.Time) store.Intake {
	w.t.Helper()
	if report.BootID == "" {
		report.BootID = "boot"
	}
	answer, err := w.IntakeEvents(w.t.Context(), s.panel.ID, report, now)
	w.ok(err)
	return answer
}

func (w *world) events(t access.EventType) int {
	w.t.Helper()
	return w.number(`SELECT count(*) FROM events WHERE type = $1`, string(t))
}

func denied(seqs ...int64) (list []store.PanelEvent) {
	for _, seq := range seqs {
		list = append(list, store.PanelEvent{Seq: seq, At: noon, Type: "denied", EntranceID: "ent_1", Code: "expired"})
	}
	return list
}

// P6: what is missing is asked for once; if it comes nothing was lost, and if it does
// not the gap is noted and intake goes on. Repetitions are ignored.
func TestP6MissingEventsAreAskedForOnce(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	for _, c := range []struct {
		name         string
		seqs         []int64
		seq, resend  int64
		gaps, events int
	}{
		{"in order", []int64{1, 2}, 2, 0, 0, 2},
		{"a gap in the middle", []int64{2, 3, 6}, 3, 4, 0, 3},
		{"sent again", []int64{4, 5, 6}, 6, 0, 0, 6},
		{"a gap", []int64{9}, 6, 7, 0, 6},
		{"the panel has not got it", []int64{9}, 9, 0, 1, 7},
		{"again", []int64{9, 10}, 10, 0, 1, 8},
		{"nothing", nil, 10, 0, 1, 8},
		{"another gap", []int64{12}, 10, 11, 1, 8},
	} {
		got := w.intake(s, store.PanelReport{Events: denied(c.seqs...)}, noon)
		if got.Seq != c.seq || got.ResendFrom != c.resend {
			t.Errorf("%s: answered %+v, want up to %d and again from %d", c.name, got, c.seq, c.resend)
		}
		if gaps, events := w.events(access.EventPanelGap), w.events(access.EventEntranceDenied); gaps != c.gaps || events != c.events {
			t.Errorf("%s: %d gaps and %d events, want %d and %d", c.name, gaps, events, c.gaps, c.events)
		}
	}
}

// P6, I10: a door that opened at 09:00, reported at 11:00, was used at 09:00.
func TestP6LateReportsCountFromTheirOwnTime(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, at(8, 0))
	inv := w.accepted(s)
	w.intake(s, store.PanelReport{}, at(8, 0))
	claim, err := w.ClaimUnlock(t.Context(), unlockOf(inv, s), at(12, 30))
	w.ok(err)
	_, err = w.RecordUnlock(t.Context(), unlockOf(inv, s), claim.Command, activities.Outcome{Result: activities.ResultUnknown}, at(12, 30), at(12, 30))
	w.ok(err)
	opened := store.PanelEvent{Seq: 1, At: at(12, 31), Type: "opened", EntranceID: s.entrance.ID, CommandID: claim.Command.ID, GrantID: inv.ID}
	w.intake(s, store.PanelReport{Events: []store.PanelEvent{opened}}, at(14, 30))
	var used, happened, recorded time.Time
	w.ok(w.db.QueryRow(t.Context(), `SELECT last_used_at FROM invitations WHERE id = $1`, inv.ID).Scan(&used))
	w.ok(w.db.QueryRow(t.Context(), `SELECT at, recorded_at FROM events WHERE type = 'entrance.opened'`).Scan(&happened, &recorded))
	if !used.Equal(at(12, 31)) || !happened.Equal(at(12, 31)) || !recorded.Equal(at(14, 30)) {
		t.Errorf("used at %s, opened at %s, recorded at %s", used, happened, recorded)
	}
}

// P6: how far a panel's clock is off is kept; going wrong and getting right again are
// noted once each.
func TestP6ClockSkew(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	crossings := 0
	for n, skew := range []time.Duration{0, 9 * time.Second, 12 * time.Second, time.Minute, -time.Minute, 2 * time.Second, time.Second, -11 * time.Second} {
		now := noon.Add(time.Duration(n) * time.Minute)
		if n == 2 || n == 5 || n == 7 {
			crossings++
		}
		w.intake(s, store.PanelReport{At: now.Add(skew)}, now)
		p, err := w.Panel(t.Context(), s.accountID, s.panel.ID)
		w.ok(err)
		if got := w.events(access.EventPanelClockSkew); got != crossings || !p.SkewKnown || p.ClockSkew != skew {
			t.Errorf("%s off: %d entries, want %d; kept %s", skew, got, crossings, p.ClockSkew)
		}
	}
	// A message that was refused for its time measures as well, unless the panel is heard.
	w.ok(w.MeasureRefused(t.Context(), s.panel.ID, noon.Add(-time.Hour), noon.Add(7*time.Minute)))
	if w.events(access.EventPanelClockSkew) != crossings || w.skew(s) != -11*time.Second {
		t.Errorf("an old message of somebody else is taken for the clock: %s", w.skew(s))
	}
	w.ok(w.MeasureRefused(t.Context(), s.panel.ID, noon.Add(-time.Hour), noon.Add(time.Hour)))
	if got := w.skew(s); got != -2*time.Hour {
		t.Errorf("the clock is kept as %s off", got)
	}
}

func (w *world) skew(s site) time.Duration {
	w.t.Helper()
	p, err := w.Panel(w.t.Context(), s.accountID, s.panel.ID)
	w.ok(err)
	return p.ClockSkew
}

// P6: tampering is in the log and the managers hear of it; a battery is low once until
// it has been good again.
func TestP6TamperAndBattery(t *testing.T) {
	w := open(t)
	s := w.site()
	w.host(s) // a manager; Rita is a resident
	w.enrol(s.panel, noon)
	w.intake(s, store.PanelReport{Events: []store.PanelEvent{{Seq: 1, At: at(11, 0), Type: "tamper"}}}, noon)
	if w.events(access.EventPanelTamper) != 1 || w.number(`SELECT count(*) FROM messages WHERE template = 'panel_tamper' AND item_id = $1`, s.panel.ID) != 1 {
		t.Error("tampering was not noted, or not told to one manager")
	}
	for n, c := range []struct{ level, low int }{{80, 0}, {15, 0}, {14, 1}, {9, 1}, {18, 1}, {12, 1}, {21, 1}, {14, 2}, {200, 2}} {
		w.intake(s, store.PanelReport{Events: []store.PanelEvent{{Seq: int64(n + 2), At: noon, Type: "battery", Level: c.level}}}, noon)
		p, err := w.Panel(t.Context(), s.accountID, s.panel.ID)
		w.ok(err)
		if got := w.events(access.EventPanelBatteryLow); got != c.low || p.Battery == nil || *p.Battery != min(c.level, 100) {
			t.Errorf("at %d %%: low %d times, want %d; kept %v", c.level, got, c.low, p.Battery)
		}
	}
}

// P8: silence of three minutes is in the log once, from the instant on at which the
// panel became offline, and so is its return.
func TestP8Presence(t *testing.T) {
	w := open(t)
	s := w.site()
	w.ok(w.NoteSilence(t.Context(), noon)) // has not enrolled: nobody expects it
	w.enrol(s.panel, noon)
	w.intake(s, store.PanelReport{}, noon)
	for now, want := range map[time.Time]bool{noon: true, at(12, 2): true, at(12, 3): false} {
		p, err := w.Panel(t.Context(), s.accountID, s.panel.ID)
		w.ok(err)
		if p.Online(now) != want || p.OfflineSince(now).IsZero() != want {
			t.Errorf("at %s: online %t", now, p.Online(now))
		}
	}
	w.ok(w.NoteSilence(t.Context(), at(12, 2)))
	if n := w.events(access.EventPanelOffline); n != 0 {
		t.Errorf("%d entries before it is offline", n)
	}
	for _, now := range []time.Time{at(12, 10), at(12, 11)} {
		w.ok(w.NoteSilence(t.Context(), now))
	}
	var since time.Time
	w.ok(w.db.QueryRow(t.Context(), `SELECT at FROM events WHERE type = 'panel.offline'`).Scan(&since))
	if w.events(access.EventPanelOffline) != 1 || !since.Equal(at(12, 3)) {
		t.Errorf("%d entries, offline since %s", w.events(access.EventPanelOffline), since)
	}
	totals, err := w.CountPanels(t.Context(), at(12, 11))
	w.ok(err)
	if totals.Offline != 1 || totals.Online != 0 || totals.PendingPolicies != 1 {
		t.Errorf("totals %+v", totals)
	}
	w.intake(s, store.PanelReport{}, at(12, 20))
	w.intake(s, store.PanelReport{}, at(12, 21))
	if n := w.events(access.EventPanelOnline); n != 1 {
		t.Errorf("%d entries of its return", n)
	}
}

// P2: what the engine remembers of a panel's lease is never less than what the panel may hold.
func TestP2TheLeaseThatAPanelMayHold(t *testing.T) {
	w := open(t)
	s := w.site()
	w.enrol(s.panel, noon)
	bound := func() time.Time {
		p, err := w.Panel(t.Context(), s.accountID, s.panel.ID)
		w.ok(err)
		return p.LeaseUntil
	}
	first := w.intake(s, store.PanelReport{}, noon)
	if first.LeaseUntil.Before(noon.Add(71*time.Hour)) || first.LeaseUntil.After(noon.Add(72*time.Hour)) || !bound().Equal(first.LeaseUntil) {
		t.Errorf("the lease is %s, kept as %s", first.LeaseUntil, bound())
	}
	w.policy(s.property, func(p *access.Policy) { p.OfflineLease = time.Hour })
	identity, err := w.PanelIdentity(t.Context(), s.panel.ID)
	w.ok(err)
	short, err := w.RenewLease(t.Context(), identity, noon)
	w.ok(err)
	if short.After(at(13, 0)) || !bound().Equal(first.LeaseUntil) {
		t.Errorf("a shorter lease of %s, which may not have arrived, leaves %s", short, bound())
	}
	w.intake(s, store.PanelReport{LeaseUntil: first.LeaseUntil}, noon) // it had not arrived
	if !bound().Equal(first.LeaseUntil) {
		t.Errorf("the panel says it holds %s, kept as %s", first.LeaseUntil, bound())
	}
	second := w.intake(s, store.PanelReport{LeaseUntil: short}, at(12, 30))
	if !bound().Equal(second.LeaseUntil) || bound().After(at(13, 30)) {
		t.Errorf("the panel holds %s and is given %s, kept as %s", short, second.LeaseUntil, bound())
	}
	identity, err = w.PanelIdentity(t.Context(), s.panel.ID)
	w.ok(err)
	next, err := w.RenewLease(t.Context(), identity, at(13, 0))
	w.ok(err)
	if !bound().Equal(next) {
		t.Errorf("given %s, kept as %s", next, bound())
	}
}
