package workflows_test

import (
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/workflows"
)

// I17: leaving ends the invitation at once, and again changes nothing.
func TestI17LeftInvitationCloses(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.update(time.Minute, "early", "leave", workflows.None{}, refused(t, access.CodeNotActive))
	e.mustUpdate(time.Hour, "accept", workflows.None{})
	e.mustUpdate(2*time.Hour, "leave", workflows.None{})
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationEnded, access.EventInvitationSent, access.EventInvitationAccepted, access.EventInvitationLeft)
	last := e.ledger.recorded[len(e.ledger.recorded)-1]
	if last.LeftAt.IsZero() || last.AcceptedAt.IsZero() {
		t.Errorf("left at %s, accepted at %s", last.LeftAt, last.AcceptedAt)
	}
}

// I5: a shorter period that has passed already ends the invitation with the change; a
// longer one moves the timer; nothing but the end is told.
func TestI5RetimedInvitationExpires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ttl  time.Duration
		want time.Duration
	}{
		"I5: passed already": {time.Hour, 48 * time.Hour},
		"I5: shorter":        {72 * time.Hour, 72 * time.Hour},
		"I5: longer":         {30 * 24 * time.Hour, 30 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnvironment(t)
			e.RegisterDelayedCallback(func() {
				sent := e.ledger.changes[0].At
				q := workflows.RetimeRequest{ChangedAt: sent.Add(48 * time.Hour), TTL: c.ttl, Cooldown: time.Minute}
				e.updateNow("retime", "retime", q, func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}, 49*time.Hour)
			e.ExecuteWorkflow(workflows.Invitation, claimed())
			e.expectClosed(access.InvitationExpired, access.EventInvitationSent, access.EventInvitationExpired)
			if took := e.ledger.changes[1].At.Sub(e.ledger.changes[0].At); took != c.want {
				t.Errorf("expired after %s, want %s", took, c.want)
			}
		})
	}
}

// I17: another member takes over; the guest's access goes on, and whatever the new
// inviter is told is told to them.
func TestI17MovedInvitationGoesOn(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.mustUpdate(time.Hour, "accept", workflows.None{})
	e.mustUpdate(2*time.Hour, "move", workflows.MoveRequest{To: "mem_2"})
	e.mustUpdate(3*time.Hour, "move", workflows.MoveRequest{To: "mem_2"})
	e.mustUpdate(4*time.Hour, "revoke", workflows.RevokeRequest{})
	e.ExecuteWorkflow(workflows.Invitation, claimed())
	e.expectClosed(access.InvitationRevoked, access.EventInvitationSent, access.EventInvitationAccepted, access.EventInvitationEdited, access.EventInvitationRevoked)
	last := e.ledger.recorded[len(e.ledger.recorded)-1]
	if last.InviterID != "mem_2" || !e.ledger.changes[2].Silent {
		t.Errorf("inviter %s; %+v", last.InviterID, e.ledger.changes[2])
	}
}

// I17: a reservation follows too.
func TestI17MovedReservationGoesOn(t *testing.T) {
	t.Parallel()
	e := newEnvironment(t)
	e.mustUpdate(time.Hour, "move", workflows.MoveRequest{To: "mem_2"})
	e.mustUpdate(2*time.Hour, "revoke", workflows.RevokeRequest{})
	e.reserve(reserved(t))
	e.expectReservation(access.ReservationRevoked, access.EventReservationCreated, access.EventReservationEdited, access.EventReservationRevoked)
	if last := e.ledger.reservations[len(e.ledger.reservations)-1]; last.HostID != "mem_2" {
		t.Errorf("the host is %s", last.HostID)
	}
}
