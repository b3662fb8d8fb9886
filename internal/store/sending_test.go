package store_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// events lists the types and codes of an item's events of messages, oldest first.
func (w *world) messageEvents(accountID, itemID string) (all []string) {
	w.t.Helper()
	events, _, err := w.Events(w.t.Context(), accountID, store.EventFilter{ItemID: itemID}, store.Page{Limit: 200})
	w.ok(err)
	for _, e := range slices.Backward(events) {
		switch e.Type {
		case access.EventMessageSent, access.EventMessageFailed, access.EventMessageBounced:
			all = append(all, string(e.Type)+" "+string(e.Code))
		default:
		}
	}
	return all
}

// sent is the one message that an invitation owes, given to a vendor and taken.
func (w *world) sent() (s site, inv access.Invitation, messageID string) {
	w.t.Helper()
	s = w.site()
	inv = w.invite(s, ana, noon.Add(time.Hour))
	due, _, err := w.DueMessages(w.t.Context(), 10, noon)
	w.ok(err)
	if len(due) != 1 {
		w.t.Fatalf("due: %+v", due)
	}
	claimed, err := w.ClaimMessage(w.t.Context(), due[0].ID, noon.Add(time.Minute), noon)
	if w.ok(err); !claimed {
		w.t.Fatal("not claimed")
	}
	w.ok(w.MessageSent(w.t.Context(), due[0].ID, noon))
	return s, inv, due[0].ID
}

// A message that comes back is on its item once, however often the vendor says so,
// and goes once by the channel that stands in.
func TestBounce(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s, inv, id := w.sent()
	bySMS := func(access.Template, string) string { return string(notify.ChannelSMS) }
	var group sync.WaitGroup
	for range 4 { // SendGrid repeats a batch that it got no answer for
		group.Go(func() {
			if err := w.MessageBounced(ctx, id, "bounced", bySMS, noon.Add(time.Minute)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.ok(w.MessageTaken(ctx, id, noon.Add(time.Minute))) // delivered, says a late report
	w.ok(w.MessageBounced(ctx, "msg_of_nobody", "bounced", bySMS, noon))
	if got := w.messageEvents(s.accountID, inv.ID); !slices.Equal(got, []string{"message.sent ", "message.bounced bounced"}) {
		t.Errorf("the item shows %q", got)
	}
	due, _, err := w.DueMessages(ctx, 10, noon.Add(time.Minute))
	w.ok(err)
	if len(due) != 1 || due[0].Channel != "sms" || !slices.Equal(due[0].Tried, []string{"email"}) || !due[0].Replaces {
		t.Fatalf("due: %+v", due)
	}
	w.ok(w.MessageWithoutWay(ctx, due[0], notify.CodeNoAddress, noon.Add(time.Minute))) // the guest has no number
	if got := w.messageEvents(s.accountID, inv.ID); len(got) != 2 {
		t.Errorf("the item shows %q: what has no way says nothing more", got)
	}
	if n := w.number(`SELECT count(*) FROM messages WHERE state IN ('queued', 'sending')`); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}

// A message that no vendor was given cannot come back.
func TestBounceOfAnUnsentMessage(t *testing.T) {
	w := open(t)
	s := w.site()
	inv := w.invite(s, ana, noon.Add(time.Hour))
	due, _, err := w.DueMessages(t.Context(), 10, noon)
	w.ok(err)
	none := func(access.Template, string) string { return "" }
	w.ok(w.MessageBounced(t.Context(), due[0].ID, "bounced", none, noon))
	w.ok(w.MessageTaken(t.Context(), due[0].ID, noon))
	if got := w.messageEvents(s.accountID, inv.ID); len(got) != 0 {
		t.Errorf("the item shows %q", got)
	}
}

// A claim is one worker's, until it has run out.
func TestClaimMessage(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.invite(w.site(), ana, noon.Add(time.Hour))
	due, _, err := w.DueMessages(ctx, 10, noon)
	w.ok(err)
	claim := func(now time.Time) bool {
		claimed, err := w.ClaimMessage(ctx, due[0].ID, now.Add(30*time.Second), now)
		w.ok(err)
		return claimed
	}
	if !claim(noon) || claim(noon.Add(29*time.Second)) {
		t.Fatal("the first claim holds for its time")
	}
	none, next, err := w.DueMessages(ctx, 10, noon.Add(29*time.Second))
	w.ok(err)
	if len(none) != 0 || !next.Equal(noon.Add(30*time.Second)) {
		t.Errorf("due %d, next at %v", len(none), next)
	}
	again, _, err := w.DueMessages(ctx, 10, noon.Add(30*time.Second))
	w.ok(err)
	if len(again) != 1 || !again[0].CutOff || !again[0].TriedAt.Equal(noon) || !claim(noon.Add(30*time.Second)) {
		t.Errorf("afterwards: %+v", again)
	}
	w.ok(w.MessageSent(ctx, due[0].ID, noon))
	if claim(noon.Add(time.Hour)) {
		t.Error("a message that was sent was claimed")
	}
}

// I7: the inviter is told of an unlock as they chose.
func TestUnlockChannels(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	inv := w.invite(s, ana, noon.Add(time.Hour))
	w.finishMessages(noon)
	for n, c := range []struct {
		chosen directory.Notification
		want   string
	}{{directory.NotifyPush, "push"}, {directory.NotifySMS, "sms"}, {directory.NotifyEmail, "email"}, {"", "email"}, {directory.NotifyMuted, ""}} {
		_, err := w.UpdateMember(ctx, s.accountID, s.member.ID, 0, func(m *directory.Member) error { m.Preferences.Unlocks = c.chosen; return nil }, noon)
		w.ok(err)
		command := "cmd_" + string(rune('a'+n))
		_, err = w.db.Exec(ctx, `INSERT INTO commands (id, account_id, panel_id, item_id, entrance_id, grant_revision, boot_id, via, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, 1, 'b', 'unlock', $6, $6)`, command, s.accountID, s.panel.ID, inv.ID, s.entrance.ID, noon)
		w.ok(err)
		_, err = w.RecordUnlock(ctx, activities.UnlockRequest{}, activities.Command{ID: command, PanelID: s.panel.ID}, activities.Outcome{Result: activities.ResultOpened}, noon, noon)
		w.ok(err)
		due, _, err := w.DueMessages(ctx, 10, noon)
		w.ok(err)
		if got := len(due); got > 1 || got == 1 && due[0].Channel != c.want || (got == 0) != (c.want == "") {
			t.Errorf("who chose %q is told by %+v", c.chosen, due)
		}
		w.finishMessages(noon)
	}
}
