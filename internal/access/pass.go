package access

import "time"

// PassTTL is the longest that an offline pass is good for (P9). A pass for a window
// that begins within this time can be fetched already; it opens nothing before.
const PassTTL = 24 * time.Hour

// DecidePass says whether the guest of an invitation is given an offline pass, and
// until when at most it is good: a day, the end of the window, or the lapse of the
// verification, whichever is first (P9). What can change in between is for the panel
// to enforce: grant, schedule, lock-down, lease.
func DecidePass(f Facts, now time.Time) (d Decision, until time.Time) {
	inv := &f.Invitation
	if d := decideState(inv, now); !d.Allowed {
		return d, time.Time{}
	}
	switch {
	case f.InviterRemoved:
		return inviterRemoved, time.Time{}
	case f.Policy.LockedDown():
		return lockedDown, time.Time{}
	case !f.Policy.SharingEnabled:
		return Decision{Code: CodeNotShared, Rule: "I12", Detail: "The property's manager shares no entrance at present."}, time.Time{}
	case inv.Window.NotYet(now.Add(PassTTL)):
		return Decision{Code: CodeOutsideWindow, Rule: "P9", From: inv.Window.Start.Add(-PassTTL),
			Detail: "A pass can be fetched from a day before the access begins."}, time.Time{}
	}
	v := VerificationAt(f, now)
	if v.State == VerificationMissing {
		return verificationMissing(f), time.Time{}
	}
	until = earliest(now.Add(PassTTL), inv.Window.End)
	if v.State == VerificationDone {
		until = earliest(until, v.ValidUntil)
	}
	return Decision{Allowed: true, Rule: "P9", Detail: "The guest may enter while the panel is cut off, as far as the panel's own rules allow."}, until
}

// PassIssuedAt is the whole second that a pass given now bears. Panels refuse passes
// from before the manager asked for verification ([Grant.PassesSince]), so one that
// was given in the same second, but after, bears the next.
func (i *Invitation) PassIssuedAt(now time.Time) time.Time {
	at := now.Truncate(time.Second)
	if at.Before(i.RequiredAt) {
		at = at.Add(time.Second)
	}
	return at
}
