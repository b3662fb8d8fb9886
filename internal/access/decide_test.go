package access_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

var lobby = access.Entrance{ID: "ent_1", PropertyID: "prop_1", Shareable: true}

// accepted are the facts of an accepted invitation at a property that asks for
// nothing more.
func accepted(t testing.TB) access.Facts {
	t.Helper()
	i := sent()
	if err := i.Accept(noon); err != nil {
		t.Fatal(err)
	}
	return access.Facts{Invitation: *i, Policy: access.DefaultPolicy(), Zone: time.UTC}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	verified := func(f *access.Facts) { f.Policy.Verification = access.VerificationOnSite; f.Use.VerifiedAt = noon }
	cases := []struct {
		name     string
		change   func(*access.Facts, *access.Entrance)
		after    time.Duration
		code     access.Code
		rule     string
		fromZero bool
	}{
		{"I7: shared and open", func(*access.Facts, *access.Entrance) {}, 0, "", "I7", true},
		{"I1: not made yet", func(f *access.Facts, _ *access.Entrance) { f.Invitation.State = access.InvitationCreating }, 0, access.CodeNotActive, "I1", true},
		{"I4: not answered yet", func(f *access.Facts, _ *access.Entrance) { f.Invitation = *sent() }, 0, access.CodeNotActive, "I4", true},
		{"I13: revoked", func(f *access.Facts, _ *access.Entrance) { _ = f.Invitation.Revoke(noon, "", "") }, 0, access.CodeNotActive, "I13", true},
		{"I1: not begun", func(f *access.Facts, _ *access.Entrance) { f.Invitation.Window.Start = noon.Add(hour) }, 0, access.CodeOutsideWindow, "I1", false},
		{"I1: first instant", func(f *access.Facts, _ *access.Entrance) { f.Invitation.Window.Start = noon.Add(hour) }, hour, "", "I7", true},
		{"I1: last instant is out", func(f *access.Facts, _ *access.Entrance) { f.Invitation.Window.End = noon.Add(hour) }, hour, access.CodeOutsideWindow, "I1", true},
		{"I1: just before the end", func(f *access.Facts, _ *access.Entrance) { f.Invitation.Window.End = noon.Add(hour) }, hour - 1, "", "I7", true},
		{"I1: another entrance", func(_ *access.Facts, e *access.Entrance) { e.ID = "ent_2" }, 0, access.CodeNotShared, "I1", true},
		{"I12: no longer shareable", func(_ *access.Facts, e *access.Entrance) { e.Shareable = false }, 0, access.CodeNotShared, "I12", true},
		{"I12: sharing off", func(f *access.Facts, _ *access.Entrance) { f.Policy.SharingEnabled = false }, 0, access.CodeNotShared, "I12", true},
		{"I17: locked down", func(f *access.Facts, _ *access.Entrance) { f.Policy.LockedSince = noon }, 0, access.CodeLockedDown, "I17", true},
		{"I17: what is over stays over", func(f *access.Facts, _ *access.Entrance) {
			f.Policy.LockedSince = noon
			_ = f.Invitation.Revoke(noon, "", "")
		}, 0, access.CodeNotActive, "I13", true},
		{"I12: outside the schedule", func(_ *access.Facts, e *access.Entrance) {
			e.Schedules = []access.Schedule{{Days: []access.Weekday{"wed"}, From: "08:00", To: "09:00"}}
		}, 0, access.CodeOutsideSchedule, "I12", false},
		{"I9: never verified", func(f *access.Facts, _ *access.Entrance) { f.Policy.Verification = access.VerificationOnSite }, 0, access.CodeVerificationRequired, "I9", true},
		{"I9: verified", func(f *access.Facts, _ *access.Entrance) { verified(f) }, hour, "", "I7", true},
		{"I10: lapsed", func(f *access.Facts, _ *access.Entrance) { verified(f) }, 5 * 24 * hour, access.CodeVerificationRequired, "I10", true},
		{"I10: just before the lapse", func(f *access.Facts, _ *access.Entrance) { verified(f) }, 5*24*hour - 1, "", "I7", true},
		{"I10: a use restarts the period", func(f *access.Facts, _ *access.Entrance) {
			verified(f)
			f.Use.LastUsedAt = noon.Add(3 * 24 * hour)
		}, 7 * 24 * hour, "", "I7", true},
		{"I10: 0 is never", func(f *access.Facts, _ *access.Entrance) { verified(f); f.Policy.ReverifyAfter = 0 }, 1000 * 24 * hour, "", "I7", true},
		{"I10: the manager asks again", func(f *access.Facts, _ *access.Entrance) {
			verified(f)
			_ = f.Invitation.RequireVerification(noon.Add(hour), "")
		}, hour, access.CodeVerificationRequired, "I10", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, e := accepted(t), lobby
			c.change(&f, &e)
			got := access.Decide(f, e, noon.Add(c.after))
			if got.Allowed != (c.code == "") || got.Code != c.code || got.Rule != c.rule || got.From.IsZero() != c.fromZero || got.Detail == "" {
				t.Errorf("got %+v, want code %q by %s", got, c.code, c.rule)
			}
		})
	}
}

// Whatever the facts: a door opens only for an accepted invitation that names it,
// inside its window; and verification only ever takes access away.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := sent()
		hours := func(name string) time.Time {
			h := rapid.IntRange(-50, 50).Draw(t, name)
			if h == -50 {
				return time.Time{}
			}
			return noon.Add(time.Duration(h) * time.Hour)
		}
		i.State = rapid.SampledFrom([]access.InvitationState{access.InvitationInvited, access.InvitationAccepted, access.InvitationRevoked,
			access.InvitationDeclined, access.InvitationExpired, access.InvitationEnded}).Draw(t, "state")
		i.Window = access.Window{Start: hours("start"), End: hours("end")}
		i.RequiredAt = hours("required")
		f := access.Facts{Invitation: *i, Policy: access.DefaultPolicy(), Zone: time.UTC, Use: access.Use{VerifiedAt: hours("verified"), LastUsedAt: hours("used")}}
		f.Policy.Verification = rapid.SampledFrom([]access.Verification{access.VerificationNone, access.VerificationOnSite}).Draw(t, "verification")
		f.Policy.ReverifyAfter = time.Duration(rapid.IntRange(0, 30).Draw(t, "reverify")) * time.Hour
		e := lobby
		e.ID = rapid.SampledFrom([]string{"ent_1", "ent_2"}).Draw(t, "entrance")
		e.Shareable = rapid.Bool().Draw(t, "shareable")
		now := noon.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "now")) * time.Hour)

		got, unverified := access.Decide(f, e, now), access.DecideWithoutVerification(f, e, now)
		if got.Allowed && (i.State != access.InvitationAccepted || e.ID != "ent_1" || !e.Shareable || !i.Window.Contains(now) || !unverified.Allowed) {
			t.Fatalf("allowed at %s: %+v %+v", now, f, e)
		}
		if !got.Allowed && (got.Code == "" || got.Rule == "") {
			t.Fatalf("a refusal without a reason: %+v", got)
		}
		if unverified.Allowed && f.Policy.Verification == access.VerificationNone && !got.Allowed {
			t.Fatalf("refused for %s where nothing is asked", got.Rule)
		}
		if !got.From.IsZero() && !got.From.After(now) {
			t.Fatalf("told to come back at %s, which has passed", got.From)
		}
	})
}

// E5: each operation is decided by the rule that decides it for real: a tap does
// without verification, a drop-off without a window.
func TestDecideByOperation(t *testing.T) {
	t.Parallel()
	f := accepted(t)
	f.Policy.Verification = access.VerificationOnSite
	if d := access.DecideAtEntrance(access.OpUnlock, f, lobby, noon); d.Rule != "I9" {
		t.Errorf("an unlock comes to %+v", d)
	}
	if d := access.DecideAtEntrance(access.OpTap, f, lobby, noon); !d.Allowed {
		t.Errorf("a tap comes to %+v", d)
	}
	k := access.KeyFacts{Reservation: access.Reservation{State: access.ReservationRevoked}}
	if d := access.DecideAboutKey(access.OpPickup, k, noon); d.Rule != "K10" {
		t.Errorf("a pickup comes to %+v", d)
	}
	if d := access.DecideAboutKey(access.OpDropOff, k, noon); !d.Allowed || d.Rule != "K8" {
		t.Errorf("a drop-off comes to %+v", d)
	}
}

// I2, I4, I5, I7, I10, I13: who is told what.
func TestNotices(t *testing.T) {
	t.Parallel()
	want := map[access.EventType]access.Party{
		access.EventInvitationSent: access.PartyGuest, access.EventInvitationRevoked: access.PartyGuest, access.EventVerificationLapsed: access.PartyGuest,
		access.EventInvitationAccepted: access.PartyInviter, access.EventInvitationDeclined: access.PartyInviter,
		access.EventInvitationExpired: access.PartyInviter, access.EventEntranceOpened: access.PartyInviter,
	}
	for event, party := range want {
		if got := access.Notices(event); len(got) != 1 || got[0].To != party {
			t.Errorf("%s tells %v, want the %s", event, got, party)
		}
	}
	if got := access.Notices(access.EventInvitationEnded); got != nil {
		t.Errorf("the end of a window tells %v", got)
	}
}
