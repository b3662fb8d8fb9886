package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// acceptedWithPhone is an invitation of the site that the guest has accepted, with a phone.
func (w *world) acceptedWithPhone(s site) (inv access.Invitation, q activities.UnlockRequest, sessionID string) {
	w.t.Helper()
	inv = w.invite(s, ana, noon.Add(10*24*time.Hour))
	inv.Confirm(inv.Revision)
	w.ok(inv.Accept(noon))
	_, err := w.RecordInvitation(w.t.Context(), inv, noon)
	w.ok(err)
	inv.Confirm(inv.Revision)
	_, session := w.signIn(ana.Email, noon)
	_, err = w.PutDevice(w.t.Context(), store.Device{SessionID: session.ID, PersonID: session.PersonID, PublicKey: []byte(`{"kty":"OKP"}`), Thumbprint: "phone"}, noon)
	w.ok(err)
	return inv, activities.UnlockRequest{AccountID: s.accountID, InvitationID: inv.ID}, session.ID
}

func (w *world) lastUsed(invitationID string) time.Time {
	w.t.Helper()
	var at *time.Time
	w.ok(w.db.QueryRow(w.t.Context(), `SELECT last_used_at FROM invitations WHERE id = $1`, invitationID).Scan(&at))
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}

func (w *world) passReport(s site, seq int64, grantID, passID string, at, now time.Time) {
	w.t.Helper()
	_, err := w.IntakeEvents(w.t.Context(), s.panel.ID, store.PanelReport{BootID: "boot", Events: []store.PanelEvent{
		{Seq: seq, At: at, Type: "opened", EntranceID: s.entrance.ID, GrantID: grantID, PassID: passID, Via: "pass"},
	}}, now)
	w.ok(err)
}

// P9, P6, I7, I10: the use of a pass counts from when it happened, once, and never
// beyond the life of the pass; who has muted unlocks is not told.
func TestP9UseOfAPassIsReportedLate(t *testing.T) {
	w := open(t)
	s := w.site()
	inv, q, session := w.acceptedWithPhone(s)
	p, err := w.IssuePass(t.Context(), q, session, noon)
	w.ok(err)
	nine, eleven := noon.Add(21*time.Hour), noon.Add(23*time.Hour)
	for range 2 { // the panel sends it again, because the answer was lost
		w.passReport(s, 1, inv.ID, p.ID, nine, eleven)
	}
	if got := w.lastUsed(inv.ID); !got.Equal(nine) {
		t.Errorf("used at %s, want %s", got, nine)
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'entrance.opened' AND item_id = $1 AND at = $2 AND recorded_at = $3`, inv.ID, nine, eleven); n != 1 {
		t.Errorf("%d openings are in the log", n)
	}
	told := func() int {
		return w.number(`SELECT count(*) FROM messages WHERE template = 'entrance_unlocked' AND item_id = $1`, inv.ID)
	}
	if n := told(); n != 1 {
		t.Errorf("the inviter was told %d times", n)
	}
	if n := w.number(`SELECT count(*) FROM wakeups WHERE workflow_id = $1`, "invitation/"+inv.ID); n == 0 {
		t.Error("nobody looks at the verification anew")
	}

	// A clock that runs ahead, and a pass that nobody gave: recorded, but no use.
	w.passReport(s, 2, inv.ID, p.ID, noon.Add(30*24*time.Hour), noon.Add(40*24*time.Hour))
	if got := w.lastUsed(inv.ID); !got.Equal(p.ExpiresAt) {
		t.Errorf("a clock that is wrong moved the use to %s", got)
	}
	w.passReport(s, 3, inv.ID, "pass_unknown", noon.Add(45*24*time.Hour), noon.Add(46*24*time.Hour))
	if got := w.lastUsed(inv.ID); !got.Equal(p.ExpiresAt) {
		t.Errorf("a pass that nobody gave moved the use to %s", got)
	}

	_, err = w.UpdateMember(t.Context(), s.accountID, s.member.ID, 0, func(m *directory.Member) error { m.Preferences.Unlocks = directory.NotifyMuted; return nil }, noon)
	w.ok(err)
	before := told()
	w.passReport(s, 4, inv.ID, p.ID, nine, eleven)
	if told() != before {
		t.Error("an inviter who has muted unlocks was told")
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'entrance.opened'`); n != 4 {
		t.Errorf("%d openings are in the log, want 4", n)
	}
}

// E8: a panel's report touches only what it was told of.
func TestP9ReportOfAStrangersPass(t *testing.T) {
	w := open(t)
	s := w.site()
	inv, q, session := w.acceptedWithPhone(s)
	p, err := w.IssuePass(t.Context(), q, session, noon)
	w.ok(err)
	stranger := site{accountID: w.account("Stranger")}
	stranger.property = w.property(stranger.accountID)
	stranger.panel, err = w.CreatePanel(t.Context(), directory.Panel{AccountID: stranger.accountID, PropertyID: stranger.property.ID, Name: "Gate", Kind: directory.PanelDoor, Driver: "native"},
		[]byte("other hash"), noon.Add(time.Hour), noon)
	w.ok(err)
	stranger.entrance = w.entrance(stranger.panel)
	w.passReport(stranger, 1, inv.ID, p.ID, noon.Add(time.Hour), noon.Add(2*time.Hour))
	if got := w.lastUsed(inv.ID); !got.IsZero() {
		t.Errorf("another account's panel used the invitation at %s", got)
	}
	if n := w.number(`SELECT count(*) FROM messages WHERE template = 'entrance_unlocked'`); n != 0 {
		t.Errorf("%d inviters were told", n)
	}
}

// P5, P9: until when a door that is cut off could admit is shown while the end of the
// access is not confirmed; a phone that asks often fills no table.
func TestP9PassesOfACutOffDoor(t *testing.T) {
	w := open(t)
	s := w.site()
	inv, q, session := w.acceptedWithPhone(s)
	for n := range 100 {
		_, err := w.IssuePass(t.Context(), q, session, noon.Add(time.Duration(n)*500*time.Millisecond))
		w.ok(err)
	}
	if n := w.number(`SELECT count(*) FROM passes`); n != 1 {
		t.Errorf("a phone that asks often has %d passes", n)
	}
	later, err := w.IssuePass(t.Context(), q, session, noon.Add(2*time.Hour))
	w.ok(err)
	if want := noon.Add(26 * time.Hour); !later.ExpiresAt.Equal(want) {
		t.Errorf("the pass is good until %s, want %s", later.ExpiresAt, want)
	}
	w.enrol(s.panel, noon)
	w.settle(s.panel, noon)
	_, err = w.IntakeEvents(t.Context(), s.panel.ID, store.PanelReport{BootID: "boot"}, noon) // gives the lease
	w.ok(err)
	w.ok(inv.Revoke(noon.Add(3*time.Hour), "", ""))
	w.recordInvitation(&inv, noon.Add(3*time.Hour))
	w.ok(w.FailGrants(t.Context(), s.panel.ID, "unreachable", noon.Add(3*time.Hour)))
	if said := w.syncOf(s, inv.ID, noon.Add(3*time.Hour)); !strings.Contains(said, "could still admit until") {
		t.Errorf("of a door that may hold a pass it is said: %s", said)
	}
	w.ok(w.SweepExpired(t.Context(), noon.Add(60*24*time.Hour)))
	if n := w.number(`SELECT count(*) FROM passes`); n != 0 {
		t.Errorf("%d passes are kept for ever", n)
	}
}

// I10, P9: a demand to verify again reaches the panels although it changes neither
// window nor entrances, before what only adds.
func TestADemandToVerifyReachesPanels(t *testing.T) {
	w := open(t)
	s := w.site()
	inv, q, session := w.acceptedWithPhone(s)
	w.ok(inv.RequireVerification(noon.Add(time.Hour), ""))
	_, err := w.RecordInvitation(t.Context(), inv, noon.Add(time.Hour))
	w.ok(err)
	var document []byte
	var narrowing bool
	w.ok(w.db.QueryRow(t.Context(), `SELECT desired, narrowing FROM grants WHERE grant_id = $1`, inv.ID).Scan(&document, &narrowing))
	var g access.Grant
	w.ok(json.Unmarshal(document, &g))
	if !g.PassesSince.Equal(noon.Add(time.Hour)) || g.Revision != inv.Revision || !narrowing {
		t.Errorf("the panel is to hold %+v, narrowing %t", g, narrowing)
	}
	p, err := w.IssuePass(t.Context(), q, session, noon.Add(2*time.Hour))
	w.ok(err)
	if p.IssuedAt.Before(g.PassesSince) {
		t.Error("a pass that was given after the demand is void")
	}
	var denied *store.DecisionError
	_, err = w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.Verification = access.VerificationOnSite
		return nil
	}, noon.Add(3*time.Hour))
	w.ok(err)
	if _, err := w.IssuePass(t.Context(), q, session, noon.Add(5*time.Hour)); !errors.As(err, &denied) || denied.Decision.Code != access.CodeVerificationRequired {
		t.Errorf("an unverified guest is told %v", err)
	}
}
