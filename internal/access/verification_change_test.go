package access_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

const day = 24 * time.Hour

// asks is the policy after a change at noon from one way of asking for verification
// to another.
func asks(before, after time.Duration) access.Policy {
	p, next := rulesOf(before), rulesOf(after)
	next.Succeed(p, noon)
	return next
}

// rulesOf is a policy with a period; a negative one asks for no verification.
func rulesOf(period time.Duration) access.Policy {
	p := access.DefaultPolicy()
	if period >= 0 {
		p.Verification, p.ReverifyAfter = access.VerificationOnSite, period
	}
	return p
}

// I10: a change of the policy applies to live invitations; the new lapse is the later
// of what it computes and one hour after the change. I11: the warning.
func TestI10PolicyChanges(t *testing.T) {
	t.Parallel()
	const none = -1
	hour := time.Hour
	for name, c := range map[string]struct {
		policy   access.Policy
		verified time.Duration // before noon; zero: never
		change   func(*access.Facts)
		until    time.Duration // after noon; zero: none
		warn     time.Duration
		state    access.VerificationState // at noon
	}{
		"I10: switched on, never verified":          {asks(none, 5*day), 0, nil, hour, hour / 2, access.VerificationDone},
		"I10: switched on, verified long ago":       {asks(none, 5*day), 50 * day, nil, hour, hour / 2, access.VerificationDone},
		"I10: switched on, verified yesterday":      {asks(none, 5*day), day, nil, 4 * day, 3 * day, access.VerificationDone},
		"I10: shorter, would have lapsed":           {asks(5*day, day), 3 * day, nil, hour, hour / 2, access.VerificationDone},
		"I10, I11: shorter, inside the last day":    {asks(5*day, 4*day), 3*day + 12*hour, nil, 12 * hour, 0, access.VerificationDone},
		"I10: shorter, lapses within the hour":      {asks(5*day, day), day - hour/2, nil, hour, hour / 2, access.VerificationDone},
		"I10: longer":                               {asks(5*day, 10*day), 2 * day, nil, 8 * day, 7 * day, access.VerificationDone},
		"I10: never any more":                       {asks(5*day, 0), 2 * day, nil, 0, 0, access.VerificationDone},
		"I10: longer, but lapsed before":            {asks(5*day, 30*day), 6 * day, nil, -day, 0, access.VerificationMissing},
		"I10: never any more, but lapsed before":    {asks(5*day, 0), 6 * day, nil, -day, 0, access.VerificationMissing},
		"I9: longer, but never verified":            {asks(5*day, 30*day), 0, nil, 0, 0, access.VerificationMissing},
		"I10: switched off":                         {asks(5*day, none), 6 * day, nil, 0, 0, access.VerificationNotNeeded},
		"I9: switched on, then accepted":            {asks(none, 5*day), 0, func(f *access.Facts) { f.Invitation.AcceptedAt = noon }, 0, 0, access.VerificationMissing},
		"I10: switched on, then required by hand":   {asks(none, 5*day), day, func(f *access.Facts) { f.Invitation.RequiredAt = noon.Add(1) }, 0, 0, access.VerificationMissing},
		"I10: required by hand, then longer":        {asks(5*day, 9*day), day, func(f *access.Facts) { f.Invitation.RequiredAt = noon.Add(-hour) }, 0, 0, access.VerificationMissing},
		"I10: lapsed, changed, and verified since":  {asks(5*day, 10*day), 6 * day, func(f *access.Facts) { f.Use.VerifiedAt = noon.Add(hour) }, 10*day + hour, 9*day + hour, access.VerificationDone},
		"I10: used in the hour after it":            {asks(5*day, day), 3 * day, func(f *access.Facts) { f.Use.LastUsedAt = noon.Add(hour / 2) }, day + hour/2, hour/2 + 12*hour, access.VerificationDone},
		"I10: accepted before instants were kept":   {asks(none, 5*day), 0, func(f *access.Facts) { f.Invitation.AcceptedAt = time.Time{} }, hour, hour / 2, access.VerificationDone},
		"I9: nothing has changed, and not answered": {asks(none, 5*day), 0, func(f *access.Facts) { f.Invitation.State = access.InvitationInvited }, 0, 0, access.VerificationMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := accepted(t)
			f.Invitation.AcceptedAt, f.Policy = noon.Add(-100*day), c.policy
			if c.verified != 0 {
				f.Use.VerifiedAt = noon.Add(-c.verified)
			}
			if c.change != nil {
				c.change(&f)
			}
			got := access.VerificationAt(f, noon)
			want := access.VerificationStatus{State: c.state}
			if c.until != 0 {
				want.ValidUntil = noon.Add(c.until)
			}
			if c.warn != 0 {
				want.WarnAt = noon.Add(c.warn)
			}
			if got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if c.state != access.VerificationDone || c.until == 0 {
				return
			}
			if last := access.VerificationAt(f, want.ValidUntil.Add(-1)); last.State != access.VerificationDone {
				t.Errorf("just before the lapse: %+v", last)
			}
			if lapsed := access.VerificationAt(f, want.ValidUntil); lapsed.State != access.VerificationMissing || !lapsed.ValidUntil.Equal(want.ValidUntil) {
				t.Errorf("at the lapse: %+v", lapsed)
			}
		})
	}
}

// I11: a day before, or half the period if that is less; shown among what comes (T3).
func TestI11WarningComesFirst(t *testing.T) {
	t.Parallel()
	for period, lead := range map[time.Duration]time.Duration{5 * day: day, 2 * day: day, day: day / 2, time.Minute: 30 * time.Second} {
		f := accepted(t)
		f.Policy, f.Use.VerifiedAt = rulesOf(period), noon
		coming := access.Coming(f, noon)
		if len(coming) != 2 || coming[0] != (access.Deadline{At: noon.Add(period - lead), What: access.ActionWarn}) || coming[1].What != access.ActionLapse {
			t.Errorf("with a period of %s: %+v", period, coming)
		}
		if later := access.Coming(f, noon.Add(period-lead)); len(later) != 1 || later[0].What != access.ActionLapse {
			t.Errorf("after the warning of %s: %+v", period, later)
		}
	}
}

// I10: whatever a manager does to the policy, and however often, nobody who could
// open the instant before a change is refused for verification within one hour after
// it, and nobody who was missing becomes verified by it.
func TestI10NoLapseByAChangeAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.SampledFrom([]time.Duration{-1, 0, time.Second, 10 * time.Minute, time.Hour, day, 5 * day})
		pause := rapid.SampledFrom([]time.Duration{time.Minute, 7 * time.Minute, 40 * time.Minute, 59 * time.Minute, time.Hour, 2 * time.Hour, day, 6 * day})
		now := noon
		f := access.Facts{Policy: rulesOf(period.Draw(t, "period")), Zone: time.UTC,
			Invitation: access.Invitation{State: access.InvitationAccepted, AcceptedAt: noon}}
		var graceUntil time.Time // before it, verification must not be missing
		missing := false         // it was, and nothing but verifying helps
		look := func(at time.Time) {
			state := access.VerificationAt(f, at).State
			if state == access.VerificationMissing && at.Before(graceUntil) {
				t.Fatalf("refused at %s, though the change allows until %s: %+v", at, graceUntil, f)
			}
			if missing && state == access.VerificationDone {
				t.Fatalf("verified at %s by nothing: %+v", at, f)
			}
			missing = state == access.VerificationMissing
		}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			length := pause.Draw(t, "pause")
			for part := range 4 {
				look(now.Add(length * time.Duration(part) / 4))
			}
			now = now.Add(length)
			look(now.Add(-1))
			switch rapid.SampledFrom([]string{"change", "change", "use", "verify", "demand"}).Draw(t, "what") {
			case "change":
				next := rulesOf(period.Draw(t, "next"))
				next.Succeed(f.Policy, now)
				if next.VerificationChangedAt.Equal(now) && !missing {
					graceUntil = now.Add(time.Hour)
				}
				f.Policy = next
			case "use":
				if !missing {
					f.Use.LastUsedAt = now
				}
			case "verify":
				f.Use.VerifiedAt, f.Use.LastUsedAt, missing = now, now, false
			case "demand":
				f.Invitation.RequiredAt, graceUntil = now, time.Time{}
			}
		}
	})
}

// I12: what a policy remembers of itself survives being stored, a lock-down survives
// an edit (I17), and what is no change of verification is not remembered.
func TestI10PolicyRemembers(t *testing.T) {
	t.Parallel()
	p := rulesOf(5 * day)
	p.LockedSince = noon
	for n := range 40 {
		next := rulesOf(time.Duration(n+1) * time.Hour)
		next.Succeed(p, noon.Add(time.Duration(n)*day))
		p = next
	}
	document, err := json.Marshal(p)
	if err != nil || len(document) > 4000 || !p.LockedDown() {
		t.Fatalf("%d bytes, locked down: %t, %v", len(document), p.LockedDown(), err)
	}
	same := p
	same.ResendCooldown = time.Minute
	same.Succeed(p, noon.Add(100*day))
	if !same.VerificationChangedAt.Equal(p.VerificationChangedAt) || same.VerificationWas != p.VerificationWas {
		t.Error("a change of another thing was remembered as one of verification")
	}
}
