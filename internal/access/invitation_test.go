package access_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/access"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// sent is an invitation that has just been sent, with the default periods.
func sent() *access.Invitation {
	policy := access.DefaultPolicy()
	i := &access.Invitation{
		ID: "inv_1", AccountID: "acc_1", PropertyID: "prop_1", InviterID: "mem_1", GuestID: "per_1",
		State: access.InvitationCreating, Entrances: []string{"ent_1"}, TTL: policy.InvitationTTL, Cooldown: policy.ResendCooldown,
	}
	i.Send(noon)
	i.Confirm(i.Revision)
	return i
}

func code(err error) access.Code {
	var refusal *access.Refusal
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

// I4: both answers are idempotent; the other one afterwards is a clear conflict.
func TestI4AcceptAndDecline(t *testing.T) {
	t.Parallel()
	i := sent()
	for range 2 {
		if err := i.Accept(noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if i.Revision != 2 || len(i.Pending) != 1 {
		t.Errorf("accepting twice made revision %d with %d changes", i.Revision, len(i.Pending))
	}
	if got := code(i.Decline(noon.Add(time.Hour))); got != access.CodeAlreadyAccepted {
		t.Errorf("declining after accepting: %q", got)
	}
	i = sent()
	for range 2 {
		if err := i.Decline(noon); err != nil {
			t.Fatal(err)
		}
	}
	if got := code(i.Accept(noon)); got != access.CodeAlreadyDeclined {
		t.Errorf("accepting after declining: %q", got)
	}
}

// I5, T0: an unanswered invitation is expired from the very instant, whether or
// not a timer has fired, and what fires late bears the deadline's time.
func TestI5Expiry(t *testing.T) {
	t.Parallel()
	i := sent()
	end := noon.Add(14 * 24 * time.Hour)
	if got := i.StateAt(end.Add(-time.Nanosecond)); got != access.InvitationInvited {
		t.Errorf("just before: %s", got)
	}
	if got := i.StateAt(end); got != access.InvitationExpired {
		t.Errorf("at the end: %s", got)
	}
	if got := code(i.Accept(end)); got != access.CodeInvitationExpired {
		t.Errorf("accepting then: %q", got)
	}
	late := end.Add(48 * time.Hour)
	next := i.Next(late)
	i.Fire(next, late)
	if i.State != access.InvitationExpired || !i.Pending[0].At.Equal(end) {
		t.Errorf("fired late: %s at %s, want the deadline %s", i.State, i.Pending[0].At, end)
	}
}

// I5: an invitation cannot outlive its own window unanswered.
func TestI5ExpiryIsNotAfterTheWindow(t *testing.T) {
	t.Parallel()
	i := sent()
	end := noon.Add(2 * time.Hour)
	if err := i.Edit(noon, access.Edit{Window: &access.Window{End: end}}, ""); err != nil {
		t.Fatal(err)
	}
	if !i.ExpiresAt.Equal(end) || i.StateAt(end) != access.InvitationExpired {
		t.Errorf("expires at %s, want %s", i.ExpiresAt, end)
	}
}

// I5, K11: a resend obeys the cooldown and restarts the period; one can be queued
// and leaves exactly then, once.
func TestK11Resend(t *testing.T) {
	t.Parallel()
	i := sent()
	err := i.Resend(noon.Add(59*time.Minute), false, "")
	var refusal *access.Refusal
	if !errors.As(err, &refusal) || refusal.Code != access.CodeResendCooldown || !refusal.NextAllowedAt.Equal(noon.Add(time.Hour)) {
		t.Fatalf("within the hour: %v", err)
	}
	for range 2 {
		if err := i.Resend(noon.Add(59*time.Minute), true, ""); err != nil {
			t.Fatal(err)
		}
	}
	i.Confirm(i.Revision)
	next := i.Next(noon.Add(59 * time.Minute))
	if next.What != access.ActionWait || !next.At.Equal(noon.Add(time.Hour)) {
		t.Fatalf("with one queued: %+v", next)
	}
	allowed := noon.Add(time.Hour)
	next = i.Next(allowed)
	i.Fire(next, allowed)
	if next.What != access.ActionResend || len(i.Pending) != 1 || !i.ResendAt.IsZero() || !i.SentAt.Equal(allowed) {
		t.Errorf("at its time: %+v, state %+v", next, i)
	}
	if !i.ExpiresAt.Equal(allowed.Add(14 * 24 * time.Hour)) {
		t.Errorf("the period was not restarted: %s", i.ExpiresAt)
	}
	if err := i.Resend(allowed.Add(time.Hour), false, ""); err != nil {
		t.Errorf("an hour after the resend: %v", err)
	}
}

// T2: a resend that the engine slept through does not revive what has expired.
func TestK11QueuedResendDoesNotReviveAnExpiredInvitation(t *testing.T) {
	t.Parallel()
	i := sent()
	if err := i.Resend(noon.Add(time.Minute), true, ""); err != nil {
		t.Fatal(err)
	}
	i.Confirm(i.Revision)
	if next := i.Next(noon.Add(20 * 24 * time.Hour)); next.What != access.ActionExpire {
		t.Errorf("after twenty days asleep: %+v", next)
	}
}

// I5: a corrected address makes a new guest and a new period; an accepted
// invitation has no mistyped address.
func TestI5CorrectedAddress(t *testing.T) {
	t.Parallel()
	i := sent()
	later := noon.Add(time.Minute)
	if err := i.Edit(later, access.Edit{GuestID: "per_2"}, "mem_1"); err != nil {
		t.Fatal(err)
	}
	if i.GuestID != "per_2" || !i.SentAt.Equal(later) || i.Pending[len(i.Pending)-1].Type != access.EventInvitationSent {
		t.Errorf("corrected: %+v", i)
	}
	if err := i.Accept(later); err != nil {
		t.Fatal(err)
	}
	if got := code(i.Edit(later, access.Edit{GuestID: "per_3"}, "")); got != access.CodeAlreadyAccepted {
		t.Errorf("correcting an accepted invitation: %q", got)
	}
}

// I13: revoking is idempotent, and refused with how it ended otherwise.
func TestI13Revoke(t *testing.T) {
	t.Parallel()
	i := sent()
	for range 2 {
		if err := i.Revoke(noon, "mem_1", "note_1"); err != nil {
			t.Fatal(err)
		}
	}
	if i.State != access.InvitationRevoked || i.Revision != 2 {
		t.Errorf("revoked: %+v", i)
	}
	i.Confirm(2)
	if next := i.Next(noon); next.What != access.ActionClose {
		t.Errorf("next: %+v", next)
	}
	i = sent()
	if err := i.Decline(noon); err != nil {
		t.Fatal(err)
	}
	if got := code(i.Revoke(noon, "", "")); got != access.CodeAlreadyDeclined {
		t.Errorf("revoking what was declined: %q", got)
	}
}

// P3: only an accepted invitation grants anything, and its end is a tombstone.
func TestP3Grant(t *testing.T) {
	t.Parallel()
	i := sent()
	i.Window = access.Window{Start: noon, End: noon.Add(time.Hour)}
	if g := i.GrantFor([]string{"ent_1"}); !g.Tombstone {
		t.Errorf("before the answer: %+v", g)
	}
	if err := i.Accept(noon); err != nil {
		t.Fatal(err)
	}
	g := i.GrantFor([]string{"ent_1", "ent_9"})
	if g.Tombstone || !reflect.DeepEqual(g.Entrances, []string{"ent_1"}) || !g.End.Equal(i.Window.End) || g.Revision != i.Revision {
		t.Errorf("accepted: %+v", g)
	}
	if g := i.GrantFor([]string{"ent_9"}); !g.Tombstone || g.Entrances != nil {
		t.Errorf("another panel: %+v", g)
	}
}

// TestInvitationProperties plays random lives and checks what must hold at every
// step: states only move forward, revisions only grow, at most one link leaves per
// cooldown, nothing waits for a deadline in the past, and the whole state survives
// being written down.
func TestInvitationProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := sent()
		i.Window.End = noon.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * 12 * time.Hour)
		if i.Window.End.Equal(noon) {
			i.Window.End = time.Time{}
		}
		now, sentAt := noon, []time.Time{noon}
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for range steps {
			now = now.Add(time.Duration(rapid.IntRange(0, 3*24*60).Draw(t, "minutes")) * time.Minute)
			before := *i
			wasFinal := i.StateAt(now).Final()
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				_ = i.Accept(now)
			case 1:
				_ = i.Decline(now)
			case 2:
				_ = i.Revoke(now, "mem_1", "")
			case 3:
				_ = i.Resend(now, false, "")
			case 4:
				_ = i.Resend(now, true, "")
			case 5:
				_ = i.RequireVerification(now, "mem_1")
			case 6:
				for next := i.Next(now); next.What != access.ActionWait && next.What != access.ActionClose; next = i.Next(now) {
					if next.What == access.ActionRecord {
						i.Confirm(i.Revision)
						continue
					}
					i.Fire(next, now)
				}
			}
			if wasFinal && i.State != before.State && i.State != before.StateAt(now) {
				t.Fatalf("%s (%s by then) became %s", before.State, before.StateAt(now), i.State)
			}
			if i.Revision < before.Revision {
				t.Fatalf("the revision went back from %d to %d", before.Revision, i.Revision)
			}
			if i.SentAt.After(sentAt[len(sentAt)-1]) {
				if gap := i.SentAt.Sub(sentAt[len(sentAt)-1]); gap < i.Cooldown {
					t.Fatalf("sent twice within %s", gap)
				}
				sentAt = append(sentAt, i.SentAt)
			}
			if next := i.Next(now); next.What == access.ActionWait && !next.At.IsZero() && !next.At.After(now) {
				t.Fatalf("waits for the past: %+v at %s", next, now)
			}
			written, err := json.Marshal(i)
			if err != nil {
				t.Fatal(err)
			}
			var read access.Invitation
			if err := json.Unmarshal(written, &read); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*i, read) {
				t.Fatalf("written and read back:\n%+v\n%+v", *i, read)
			}
		}
	})
}
