package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// A wake-up that came while another was delivered is not lost: only the one that
// was seen is cleared (E1).
func TestWakeupsAreClearedUpToWhatWasSeen(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.code("ana@example.com", "192.0.2.1", noon)
	due, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	if len(due) != 1 || due[0].WorkflowID != "outbox/messages" {
		t.Fatalf("due: %+v, want the outbox", due)
	}
	if early, err := w.DueWakeups(ctx, 10, noon.Add(-time.Second)); err != nil || len(early) != 0 {
		t.Errorf("before its time: %+v, %v", early, err)
	}
	w.code("ben@example.com", "192.0.2.1", noon) // a newer reason
	w.ok(w.ClearWakeup(ctx, due[0].WorkflowID, due[0].Serial))
	again, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	if len(again) != 1 || again[0].Serial <= due[0].Serial {
		t.Fatalf("after a newer reason: %+v", again)
	}
	w.ok(w.ClearWakeup(ctx, again[0].WorkflowID, again[0].Serial))
	if left, err := w.DueWakeups(ctx, 10, noon); err != nil || len(left) != 0 {
		t.Errorf("after both: %+v, %v", left, err)
	}
}

// A transaction that began before the look and commits after it must not lose its
// wake-up, although its serial is the smaller one (E1).
func TestWakeupThatCommitsAfterTheLookIsKept(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	slow, err := w.db.Begin(ctx)
	w.ok(err)
	_, err = slow.Exec(ctx, `INSERT INTO wakeups (workflow_id, due_at) VALUES ('outbox/messages', $1)`, noon)
	w.ok(err)
	w.code("ana@example.com", "192.0.2.1", noon)
	seen, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	if len(seen) != 1 {
		t.Fatalf("due: %+v, want the one that has committed", seen)
	}
	w.ok(slow.Commit(ctx)) // after the workflow was woken and looked
	w.ok(w.ClearWakeup(ctx, seen[0].WorkflowID, seen[0].Serial))
	due, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	if len(due) != 1 {
		t.Fatalf("due: %+v, want the one that committed later", due)
	}
	w.ok(w.ClearWakeup(ctx, due[0].WorkflowID, due[0].Serial))
	if left, err := w.DueWakeups(ctx, 10, noon); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
}

// Two processes look at the same wake-ups: what one of them clears, the other has
// seen too, and nothing that came later goes with it.
func TestTwoDispatchersLoseNothing(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.code("ana@example.com", "192.0.2.1", noon)
	first, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	w.code("ben@example.com", "192.0.2.1", noon)
	second, err := w.DueWakeups(ctx, 10, noon)
	w.ok(err)
	w.code("eve@example.com", "192.0.2.1", noon)
	for _, seen := range [][]activities.Wakeup{second, first} {
		w.ok(w.ClearWakeup(ctx, seen[0].WorkflowID, seen[0].Serial))
	}
	if left := w.number(`SELECT count(*) FROM wakeups`); left != 1 {
		t.Errorf("%d wake-ups are left, want the one that neither has seen", left)
	}
}

// Many changes at once that concern the same panels do not get into each other's
// way (P3).
func TestManyAcceptAtOnce(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	entrances := []string{s.entrance.ID}
	for range 5 {
		entrances = append(entrances, w.entrance(w.panel(s.property, directory.PanelDoor)).ID)
	}
	var group sync.WaitGroup
	for n := range 32 {
		inv, err := w.ClaimInvitation(ctx, store.NewInvitation{
			AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, EntranceIDs: entrances, Window: access.Window{Start: noon},
			Guest: directory.Person{Name: "Ana", Email: fmt.Sprintf("ana%d@example.com", n), Locale: "en"},
		}, nil, noon)
		w.ok(err)
		inv.Send(noon)
		w.ok(inv.Accept(noon))
		group.Go(func() {
			if _, err := w.RecordInvitation(ctx, inv, noon); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if due, err := w.DueWakeups(ctx, 100, noon); err != nil || len(due) != 7 {
		t.Errorf("%d workflows have work, %v, want six panels and the outbox", len(due), err)
	}
}

func (w *world) clearWakeups() {
	w.t.Helper()
	due, err := w.DueWakeups(w.t.Context(), 100, noon)
	w.ok(err)
	for _, wakeup := range due {
		w.ok(w.ClearWakeup(w.t.Context(), wakeup.WorkflowID, wakeup.Serial))
	}
}

func TestListenerHearsOfCommits(t *testing.T) {
	w := open(t)
	ctx, stop := context.WithCancel(t.Context())
	heard, ended := make(chan string, 1000), make(chan error, 1)
	go func() { ended <- w.ListenWakeups(ctx, func(id string) { heard <- id }) }()

	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for listening := false; !listening; {
		select {
		case <-probe.C:
			_, err := w.db.Exec(ctx, `SELECT pg_notify('latchkey_wakeups', 'probe')`)
			w.ok(err)
		case <-heard:
			listening = true
		case err := <-ended:
			t.Fatalf("the listener ended: %v", err)
		}
	}
	w.code("ana@example.com", "192.0.2.1", noon)
	for id := ""; id != "outbox/messages"; {
		id = <-heard
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the listener ended with %v, want that it was cancelled", err)
	}
}

func TestOutboxKeepsAMessageOnceNewestFirst(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	for n, address := range []string{"ana@example.com", "ben@example.com"} {
		w.code(address, "192.0.2.1", noon.Add(time.Duration(n)*time.Minute))
	}
	due, _, err := w.DueMessages(ctx, 10, noon.Add(time.Hour))
	w.ok(err)
	sent := notify.Message{
		To: "reader@example.com", Channel: notify.ChannelEmail, Template: access.TemplateSignInCode, Locale: "ja",
		Subject: "コード", Text: "123456", HTML: "<p>123456</p>", Links: []string{"https://latchkey.example/i/x"},
	}
	for n, m := range due {
		sent.ID, sent.At = m.ID, noon.Add(time.Duration(n)*time.Minute)
		w.ok(w.Keep(ctx, sent))
		changed := sent
		changed.Subject = "sent again"
		w.ok(w.Keep(ctx, changed))
	}
	kept, err := w.OutboxMessages(ctx, 10)
	w.ok(err)
	if len(kept) != 2 || kept[0].ID != due[1].ID || kept[1].ID != due[0].ID {
		t.Fatalf("kept %+v, want the two, newest first", kept)
	}
	if m := kept[0]; m.To != sent.To || m.Subject != sent.Subject || m.HTML != sent.HTML || m.Links[0] != sent.Links[0] || m.Locale != "ja" || !m.At.Equal(sent.At) {
		t.Errorf("kept %+v", m)
	}
	if one, err := w.OutboxMessages(ctx, 1); err != nil || len(one) != 1 || one[0].ID != kept[0].ID {
		t.Errorf("the newest alone: %+v, %v", one, err)
	}
	if err := w.Keep(ctx, notify.Message{ID: "msg_unknown"}); err == nil {
		t.Error("a message that nobody queued was kept")
	}
}

// Everybody who starts an engine on the same database gets the same key, or
// panels would not know it again (P1).
func TestEngineKeyIsMadeOnce(t *testing.T) {
	w := open(t)
	found := make(chan string, 4)
	for range cap(found) {
		go func() {
			k, err := w.EngineKey(t.Context(), noon)
			if err != nil {
				t.Error(err)
			}
			found <- k.ID + string(k.Private)
		}()
	}
	first := <-found
	for range cap(found) - 1 {
		if next := <-found; next != first {
			t.Error("two engine keys")
		}
	}
}

// A panel's address set by a manager stays; taken away, the panel announces its
// own again (P1).
func TestPanelAddressAndTrust(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	enrol := func(address string) {
		t.Helper()
		_, err := w.EnrolPanel(ctx, []byte("hash"), []byte("public key"), nil, address, noon)
		w.ok(err)
	}
	enrol("http://announced:1")
	set := func(address string) directory.Panel {
		t.Helper()
		p, err := w.UpdatePanel(ctx, s.accountID, s.panel.ID, 0, func(p *directory.Panel) error { p.Address = address; return nil }, noon)
		w.ok(err)
		return p
	}
	w.clearWakeups()
	set("http://fixed:1")
	if due, err := w.DueWakeups(ctx, 10, noon); err != nil || len(due) != 1 || due[0].WorkflowID != "panel/"+s.panel.ID {
		t.Errorf("wake-ups after a new address: %+v, %v, want the panel's", due, err)
	}
	enrol("http://announced:2")
	if p, err := w.Panel(ctx, s.accountID, s.panel.ID); err != nil || p.Address != "http://fixed:1" {
		t.Errorf("address %s, %v, want the one that was set", p.Address, err)
	}
	set("")
	enrol("http://announced:3")
	if p, err := w.Panel(ctx, s.accountID, s.panel.ID); err != nil || p.Address != "http://announced:3" {
		t.Errorf("address %s, %v, want the announced one", p.Address, err)
	}
	disowned, err := w.DisownPanel(ctx, s.accountID, s.panel.ID, noon)
	w.ok(err)
	if disowned.DisownedAt.IsZero() {
		t.Error("not disowned")
	}
	_, err = w.PanelIdentity(ctx, s.panel.ID)
	w.refused(err, directory.CodeNotFound)
	if _, err := w.EnrolPanel(ctx, []byte("hash"), []byte("public key"), nil, "", noon); err == nil {
		t.Error("a disowned panel enrolled with its old code")
	}
	w.ok(w.SetEnrolmentCode(ctx, s.accountID, s.panel.ID, []byte("new hash"), noon.Add(time.Hour), noon))
	if _, err := w.EnrolPanel(ctx, []byte("new hash"), []byte("another key"), nil, "", noon); err != nil {
		t.Errorf("enrolment with the new code: %v", err)
	}
}
