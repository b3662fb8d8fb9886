package access_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

func TestDecidePass(t *testing.T) {
	t.Parallel()
	hour, day := time.Hour, 24*time.Hour
	onSite := func(f *access.Facts) { f.Policy.Verification = access.VerificationOnSite }
	cases := []struct {
		name   string
		change func(*access.Facts)
		code   access.Code
		rule   string
		until  time.Duration // from noon
	}{
		{"P9: a day at most", func(*access.Facts) {}, "", "P9", day},
		{"P9: not beyond the window", func(f *access.Facts) { f.Invitation.Window.End = noon.Add(hour) }, "", "P9", hour},
		{"P9: not beyond the verification", func(f *access.Facts) {
			onSite(f)
			f.Use.VerifiedAt = noon.Add(3*hour - f.Policy.ReverifyAfter)
		}, "", "P9", 3 * hour},
		{"P9: a verification that never lapses", func(f *access.Facts) {
			onSite(f)
			f.Policy.ReverifyAfter, f.Use.VerifiedAt = 0, noon.Add(-1000*day)
		}, "", "P9", day},
		{"P9: a window that begins within a day", func(f *access.Facts) { f.Invitation.Window.Start = noon.Add(day) }, "", "P9", day},
		{"P9: a window that begins later", func(f *access.Facts) { f.Invitation.Window.Start = noon.Add(day + 1) }, access.CodeOutsideWindow, "P9", 0},
		{"I1: a window that is over", func(f *access.Facts) { f.Invitation.Window.End = noon }, access.CodeOutsideWindow, "I1", 0},
		{"I4: not accepted", func(f *access.Facts) { f.Invitation = *sent() }, access.CodeNotActive, "I4", 0},
		{"I13: revoked", func(f *access.Facts) { _ = f.Invitation.Revoke(noon, "", "") }, access.CodeNotActive, "I13", 0},
		{"I17: locked down", func(f *access.Facts) { f.Policy.LockedSince = noon }, access.CodeLockedDown, "I17", 0},
		{"I12: sharing off", func(f *access.Facts) { f.Policy.SharingEnabled = false }, access.CodeNotShared, "I12", 0},
		{"I9: never verified", onSite, access.CodeVerificationRequired, "I9", 0},
		{"I10: lapsed", func(f *access.Facts) { onSite(f); f.Use.VerifiedAt = noon.Add(-f.Policy.ReverifyAfter) }, access.CodeVerificationRequired, "I10", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := accepted(t)
			c.change(&f)
			d, until := access.DecidePass(f, noon)
			if d.Allowed != (c.code == "") || d.Code != c.code || d.Rule != c.rule || d.Detail == "" {
				t.Errorf("got %+v, want code %q by %s", d, c.code, c.rule)
			}
			if d.Allowed && !until.Equal(noon.Add(c.until)) || !d.Allowed && !until.IsZero() {
				t.Errorf("good until %s", until)
			}
		})
	}
}

// P9: at every instant at which a pass is good and the window has begun, the guest
// could have opened the door through the engine as well.
func TestAPassGivesNoMoreThanTheEngine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hours := func(name string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Hour
		}
		i := sent()
		_ = i.Accept(noon)
		i.Window = access.Window{Start: noon.Add(hours("start", -50, 50))}
		if rapid.Bool().Draw(t, "ends") {
			i.Window.End = i.Window.Start.Add(hours("length", 1, 100))
		}
		f := access.Facts{Invitation: *i, Policy: access.DefaultPolicy(), Zone: time.UTC}
		f.Policy.Verification = rapid.SampledFrom([]access.Verification{access.VerificationNone, access.VerificationOnSite}).Draw(t, "verification")
		f.Policy.ReverifyAfter = hours("reverify", 0, 60)
		f.Use = access.Use{VerifiedAt: noon.Add(hours("verified", -80, 0)), LastUsedAt: noon.Add(hours("used", -80, 0))}
		f.Invitation.RequiredAt = noon.Add(hours("required", -80, 0))

		d, until := access.DecidePass(f, noon)
		if !d.Allowed {
			return
		}
		if !until.After(noon) || until.After(noon.Add(access.PassTTL)) {
			t.Fatalf("good until %s", until)
		}
		at := noon.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(noon))-1).Draw(t, "at")))
		if online := access.Decide(f, lobby, at); !online.Allowed && f.Invitation.Window.Contains(at) {
			t.Fatalf("the pass is good at %s, the engine says %+v", at, online)
		}
	})
}

// I10, P9: a demand to verify reaches panels, and voids what was given before it only.
func TestPassesSince(t *testing.T) {
	t.Parallel()
	f := accepted(t)
	i := &f.Invitation
	asked := noon.Add(1500 * time.Millisecond)
	if err := i.RequireVerification(asked, ""); err != nil {
		t.Fatal(err)
	}
	g := i.GrantFor(i.Entrances)
	if !g.PassesSince.Equal(asked) {
		t.Errorf("the grant voids passes before %s", g.PassesSince)
	}
	if before := i.PassIssuedAt(noon.Add(time.Second)); before.After(asked.Add(time.Second)) {
		t.Errorf("issued at %s", before)
	}
	if after := i.PassIssuedAt(asked.Add(time.Millisecond)); after.Before(g.PassesSince) {
		t.Errorf("a pass given afterwards bears %s and would be void", after)
	}
	if g := i.GrantFor(nil); !g.PassesSince.IsZero() || !g.Tombstone {
		t.Errorf("a tombstone is %+v", g)
	}
}
