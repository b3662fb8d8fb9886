package access_test

import (
	"reflect"
	"testing"
	"time"

	"latchkey/internal/access"
)

// I5, K11: the periods of a changed policy hold for unanswered invitations; what that
// makes overdue expires with the change and not before it; nobody is told.
func TestI5Retime(t *testing.T) {
	t.Parallel()
	changed := noon.Add(3 * day)
	for name, c := range map[string]struct {
		ttl  time.Duration
		end  time.Time
		want time.Time
	}{
		"I5: longer":                        {20 * day, time.Time{}, noon.Add(20 * day)},
		"I5: shorter, still ahead":          {5 * day, time.Time{}, noon.Add(5 * day)},
		"I5: shorter, passed long ago":      {day, time.Time{}, changed},
		"I5: longer than the window itself": {20 * day, noon.Add(10 * day), noon.Add(10 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := sent()
			i.Window.End = c.end
			late := changed.Add(time.Minute)
			if err := i.Retime(late, changed, c.ttl, time.Hour); err != nil {
				t.Fatal(err)
			}
			if !i.ExpiresAt.Equal(c.want) || i.TTL != c.ttl || len(i.Pending) != 0 || i.Revision != 2 {
				t.Errorf("expires at %s, want %s; revision %d, %d changes to tell", i.ExpiresAt, c.want, i.Revision, len(i.Pending))
			}
			i.Confirm(i.Revision)
			next := i.Next(late)
			if expired := !c.want.After(late); expired != (next.What == access.ActionExpire) || expired && !next.At.Equal(changed) {
				t.Errorf("next is %+v", next)
			}
			if err := i.Retime(late, changed, c.ttl, time.Hour); i.Revision != 2 || c.want.After(late) && err != nil {
				t.Errorf("the same again made revision %d, %v", i.Revision, err)
			}
		})
	}
}

// K11: a queued resend leaves when the new cooldown allows.
func TestK11RetimeMovesAQueuedResend(t *testing.T) {
	t.Parallel()
	i := sent()
	if err := i.Resend(noon.Add(time.Minute), true, ""); err != nil {
		t.Fatal(err)
	}
	if err := i.Retime(noon.Add(2*time.Minute), noon, i.TTL, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	if !i.ResendAt.Equal(noon.Add(10*time.Minute)) || !i.ResendAllowedAt().Equal(i.ResendAt) || !i.ExpiresAt.Equal(noon.Add(i.TTL)) {
		t.Errorf("resend at %s, allowed at %s, expires at %s", i.ResendAt, i.ResendAllowedAt(), i.ExpiresAt)
	}
	if err := i.Accept(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := code(i.Retime(noon.Add(time.Hour), noon, day, time.Hour)); got != access.CodeAlreadyAccepted {
		t.Errorf("an answered one: %q", got)
	}
}

// I17: a guest can leave; it is final, idempotent and the inviter is told.
func TestI17Leave(t *testing.T) {
	t.Parallel()
	f := accepted(t)
	i := &f.Invitation
	i.Confirm(i.Revision)
	for range 2 {
		if err := i.Leave(noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if i.State != access.InvitationEnded || len(i.Pending) != 1 || i.Pending[0].Type != access.EventInvitationLeft || i.Pending[0].ActorID != i.GuestID {
		t.Errorf("left as %s with %+v", i.State, i.Pending)
	}
	if to := access.Notices(access.EventInvitationLeft); len(to) != 1 || to[0].To != access.PartyInviter {
		t.Errorf("told: %+v", to)
	}
	if d := access.Decide(f, lobby, noon.Add(time.Hour)); d.Allowed || d.Rule != "I17" || d.Detail != "The guest has given up this access." {
		t.Errorf("afterwards: %+v", d)
	}
	if g := i.GrantFor([]string{"ent_1"}); !g.Tombstone {
		t.Errorf("panels still hold %+v", g)
	}
	if got := code(i.Revoke(noon.Add(time.Hour), "", "")); got != access.CodeInvitationEnded {
		t.Errorf("revoking what was left: %q", got)
	}
	if got := code(sent().Leave(noon)); got != access.CodeNotActive {
		t.Errorf("leaving what was not accepted: %q", got)
	}
	over := accepted(t).Invitation
	over.Window.End = noon.Add(time.Hour)
	if got := code(over.Leave(noon.Add(time.Hour))); got != access.CodeInvitationEnded {
		t.Errorf("leaving what is over: %q", got)
	}
}

// I17: who gave the access is a member no more: refused, unless another has taken over.
func TestI17InviterRemoved(t *testing.T) {
	t.Parallel()
	f := accepted(t)
	f.InviterRemoved = true
	if d := access.Decide(f, lobby, noon); d.Allowed || d.Rule != "I17" || d.Code != access.CodeNotActive {
		t.Errorf("removed: %+v", d)
	}
	f.InviterRemoved = false
	i := &f.Invitation
	i.Confirm(i.Revision)
	before := i.Revision
	for range 2 {
		if err := i.Move(noon, "mem_2", ""); err != nil {
			t.Fatal(err)
		}
	}
	if i.InviterID != "mem_2" || i.Revision != before+1 || !i.Pending[0].Silent {
		t.Errorf("moved to %s in revision %d: %+v", i.InviterID, i.Revision, i.Pending)
	}
	if d := access.Decide(f, lobby, noon); !d.Allowed {
		t.Errorf("moved: %+v", d)
	}
	r := access.Reservation{HostID: "mem_1", State: access.ReservationEnded}
	for range 2 {
		if err := r.Move(noon, "mem_2", ""); err != nil {
			t.Fatal(err)
		}
	}
	if r.HostID != "mem_2" || r.Revision != 1 || !r.Pending[0].Silent {
		t.Errorf("reservation: %+v", r)
	}
}

// I17: a lock-down refuses visitors, wherever their key is; drop-off stays.
func TestI17LockDownOfKeys(t *testing.T) {
	t.Parallel()
	f := access.KeyFacts{LockedDown: true, Custody: access.Custody{State: access.CustodyInBox},
		Reservation: access.Reservation{State: access.ReservationScheduled, Plan: access.Plan{Window: access.Window{Start: noon}}}}
	if d := access.DecidePickup(f, noon); d.Allowed || d.Code != access.CodeLockedDown || d.Rule != "I17" {
		t.Errorf("pickup: %+v", d)
	}
	if d := access.DecideDropOff(f); !d.Allowed {
		t.Errorf("drop-off: %+v", d)
	}
}

// I14: an edit says what it changed; one that changes nothing tells nobody, and a new
// guest is told by the invitation itself.
func TestI14EditSaysWhatChanged(t *testing.T) {
	t.Parallel()
	end := noon.Add(day)
	for name, c := range map[string]struct {
		edit access.Edit
		want []access.Difference
	}{
		"entrances": {access.Edit{Entrances: []string{"ent_2"}}, []access.Difference{
			{What: access.EntranceAdded, EntranceID: "ent_2"}, {What: access.EntranceRemoved, EntranceID: "ent_1"}}},
		"window":      {access.Edit{Window: &access.Window{End: end}}, []access.Difference{{What: access.WindowMoved, End: end}}},
		"the same":    {access.Edit{Entrances: []string{"ent_1"}, Window: &access.Window{}}, nil},
		"a new guest": {access.Edit{GuestID: "per_2", Window: &access.Window{End: end}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := sent()
			if err := i.Edit(noon.Add(time.Hour), c.edit, ""); err != nil {
				t.Fatal(err)
			}
			got := i.Pending[0]
			if got.Type != access.EventInvitationEdited || got.Silent != (c.want == nil) || !reflect.DeepEqual(got.Differences, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	late := sent()
	if got := code(late.Edit(noon.Add(2), access.Edit{GuestID: "per_2", Until: noon.Add(1)}, "")); got != access.CodeRequestTooLate || late.Revision != 1 {
		t.Errorf("a correction whose place under the cap has gone: %q", got)
	}
}

// I12: exactly what changed for each; what concerns nobody's access is nothing.
func TestI12Differences(t *testing.T) {
	t.Parallel()
	waiting := access.Facts{Invitation: *sent()}
	guest := accepted(t)
	guest.Invitation.AcceptedAt, guest.Use.VerifiedAt = noon.Add(-day), noon.Add(-day)
	at := noon
	for name, c := range map[string]struct {
		facts  access.Facts
		change func(*access.Policy)
		want   []access.Difference
	}{
		"I12: sharing off":            {guest, func(p *access.Policy) { p.SharingEnabled = false }, []access.Difference{{What: access.SharingOff}}},
		"I12: not accepted yet":       {waiting, func(p *access.Policy) { p.SharingEnabled = false }, []access.Difference{{What: access.SharingOff}}},
		"I17: locked down":            {waiting, func(p *access.Policy) { p.LockedSince = at }, []access.Difference{{What: access.LockDownOn}}},
		"I12: verification, accepted": {guest, func(p *access.Policy) { p.Verification = access.VerificationOnSite }, []access.Difference{{What: access.VerificationOn, Period: 5 * day, Until: at.Add(4 * day)}}},
		"I12: verification, waiting":  {waiting, func(p *access.Policy) { p.Verification = access.VerificationOnSite }, nil},
		"I12: a period of no use":     {guest, func(p *access.Policy) { p.ReverifyAfter = day }, nil},
		"I12: nobody's access": {guest, func(p *access.Policy) {
			p.MaxGuestsPerInviter, p.HistoryVisibility, p.InvitationTTL, p.ResendCooldown, p.OfflineLease = 1, access.HistoryOwn, day, day, day
			p.LateKeyAfter, p.ReturnReminderAt = day, "10:00"
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := access.DefaultPolicy()
			f := c.facts
			f.Policy = before
			c.change(&f.Policy)
			locked := f.Policy.LockedSince
			f.Policy.Succeed(before, at)
			f.Policy.LockedSince = locked
			if got := access.PolicyDifferences(f, before, at); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// I12: of an entrance, what guests could not open before and cannot open after is
// no change for them.
func TestI12EntranceDifferences(t *testing.T) {
	t.Parallel()
	mornings := []access.Schedule{{Days: []access.Weekday{"mon"}, From: "08:00", To: "12:00"}}
	closed, open := access.Entrance{ID: "ent_1"}, access.Entrance{ID: "ent_1", Shareable: true}
	closedMornings, openMornings := closed, open
	closedMornings.Schedules, openMornings.Schedules = mornings, mornings
	for name, c := range map[string]struct {
		before, after access.Entrance
		want          []access.DifferenceKind
	}{
		"not shared any more":  {openMornings, closed, []access.DifferenceKind{access.EntranceNotShared}},
		"shared again":         {closed, open, []access.DifferenceKind{access.EntranceShared}},
		"shared, in mornings":  {closed, openMornings, []access.DifferenceKind{access.EntranceShared, access.EntranceTimes}},
		"only in the mornings": {open, openMornings, []access.DifferenceKind{access.EntranceTimes}},
		"always":               {openMornings, open, []access.DifferenceKind{access.EntranceAlways}},
		"not shared anyway":    {closed, closedMornings, nil},
		"the same":             {openMornings, openMornings, nil},
	} {
		var got []access.DifferenceKind
		for _, d := range access.EntranceDifferences(c.before, c.after) {
			got = append(got, d.What)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
