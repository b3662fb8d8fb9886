package store_test

import (
	"slices"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// reports is a box's batch, numbered from first.
func (w *world) reports(box directory.Panel, first int64, events ...store.PanelEvent) {
	w.t.Helper()
	for n := range events {
		events[n].Seq = first + int64(n)
	}
	got, err := w.IntakeEvents(w.t.Context(), box.ID, store.PanelReport{BootID: "boot", Events: events}, noon.Add(24*time.Hour))
	w.ok(err)
	if want := first + int64(len(events)) - 1; got.Seq != want {
		w.t.Fatalf("the box is told that %d is the last that arrived, want %d", got.Seq, want)
	}
}

func moved(kind, keyID string, slot int, grantID string, at time.Time) store.PanelEvent {
	return store.PanelEvent{Type: kind, KeyID: keyID, Slot: slot, GrantID: grantID, At: at}
}

// custody says where a key is: "in_box 2" or "out" and with whom.
func (w *world) custody(k directory.Key) string {
	w.t.Helper()
	c, err := w.Custody(w.t.Context(), k.AccountID, k.ID)
	w.ok(err)
	switch c.State {
	case access.CustodyInBox:
		return "in_box " + c.PanelID + " " + string(rune('0'+c.Slot))
	case access.CustodyOut:
		return "out " + c.HolderID
	default:
		return string(c.State)
	}
}

// K12, K13: the chain of who has the key, from what boxes report: handed over without
// a box between, brought back at another box by somebody else, put into the slot of
// another key.
func TestK12Chain(t *testing.T) {
	w := open(t)
	k := w.keyed()
	bakery := w.panel(k.property, directory.PanelSmartBox)
	other := w.key(k.box, 2)
	first, second := w.reserve(k.wants(noon, noon.Add(time.Hour))), w.reserve(k.wants(noon.Add(2*time.Hour), noon.Add(3*time.Hour)))
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

	w.reports(k.box, 1, moved("key_taken", k.key.ID, 1, first.ID, at(1)))
	if got := w.custody(k.key); got != "out "+first.ID {
		t.Errorf("taken: %s", got)
	}
	w.reports(bakery, 1, moved("key_returned", k.key.ID, 1, second.ID, at(10)))
	if got := w.custody(k.key); got != "in_box "+bakery.ID+" 1" {
		t.Errorf("brought back at another box: %s", got)
	}
	w.reports(bakery, 2, moved("key_taken", k.key.ID, 1, second.ID, at(20)))
	w.reports(k.box, 2, moved("key_returned", k.key.ID, 2, second.ID, at(30))) // the slot that the other key was thought to be in
	if got := w.custody(k.key); got != "in_box "+k.box.ID+" 2" {
		t.Errorf("put into another slot: %s", got)
	}
	if got := w.custody(other); got != "unknown" {
		t.Errorf("the key that cannot be there is %s", got)
	}
	chain, _, err := w.CustodyChain(t.Context(), k.accountID, k.key.ID, store.Page{})
	w.ok(err)
	var states []string
	for _, link := range slices.Backward(chain) {
		states = append(states, string(link.State)+" "+link.HolderID)
	}
	if want := []string{"in_box ", "out " + first.ID, "in_box ", "out " + second.ID, "in_box "}; !slices.Equal(states, want) {
		t.Errorf("the chain is %q, want %q", states, want)
	}
	// Whoever brings it back: it was the first visitor's to return.
	if n := w.number(`SELECT count(*) FROM events WHERE type = 'key.returned' AND item_id = $1`, first.ID); n != 1 {
		t.Errorf("%d returns of the first visitor are in the log", n)
	}
}

// P6: what a box that was cut off reports late has its own time: it is in the chain
// there, and does not undo what came after it. The same report twice is one.
func TestK12LateReports(t *testing.T) {
	w := open(t)
	k := w.keyed()
	bakery := w.panel(k.property, directory.PanelSmartBox)
	r := w.reserve(k.wants(noon, noon.Add(time.Hour)))
	taken := moved("key_taken", k.key.ID, 1, r.ID, noon.Add(time.Minute))
	w.reports(bakery, 1, moved("key_returned", k.key.ID, 3, r.ID, noon.Add(10*time.Minute)))
	w.reports(k.box, 1, taken)
	w.reports(k.box, 1, taken)
	if got := w.custody(k.key); got != "in_box "+bakery.ID+" 3" {
		t.Errorf("after the late report the key is %s", got)
	}
	chain, _, err := w.CustodyChain(t.Context(), k.accountID, k.key.ID, store.Page{})
	w.ok(err)
	if len(chain) != 3 || chain[0].State != access.CustodyInBox || chain[1].State != access.CustodyOut || !chain[1].Since.Equal(noon.Add(time.Minute)) {
		t.Errorf("the chain is %+v", chain)
	}
}

// E8: a box cannot move a key of another account, nor one that nobody knows; the
// report is in the log of its own account.
func TestE8KeysOfOthers(t *testing.T) {
	w := open(t)
	mine, theirs := w.keyed(), w.keyed()
	stranger := w.reserve(theirs.wants(noon, noon.Add(time.Hour)))
	w.reports(mine.box, 1,
		moved("key_taken", theirs.key.ID, 1, stranger.ID, noon.Add(time.Minute)),
		moved("key_returned", "key_unknown", 3, "", noon.Add(2*time.Minute)),
		moved("key_taken", mine.key.ID, 1, stranger.ID, noon.Add(3*time.Minute)))
	if got := w.custody(theirs.key); got != "in_box "+theirs.box.ID+" 1" {
		t.Errorf("the key of another account is %s", got)
	}
	if got := w.custody(mine.key); got != "out " {
		t.Errorf("a key taken by somebody else's reservation is %s", got)
	}
	if n := w.number(`SELECT count(*) FROM events WHERE account_id = $1 AND code = $2`, mine.accountID, store.CodeUnknownKey); n != 2 {
		t.Errorf("%d reports of unknown keys are in the log", n)
	}
	if n := w.number(`SELECT count(*) FROM events WHERE item_id = $1 AND type LIKE 'key.%'`, stranger.ID); n != 0 {
		t.Errorf("%d events of the other account's reservation", n)
	}
}

// K12: a host knows better, with a reason; the slot of another key is refused.
func TestK12Correction(t *testing.T) {
	w := open(t)
	k := w.keyed()
	w.key(k.box, 2)
	r := w.reserve(k.wants(noon, noon.Add(time.Hour)))
	w.reports(k.box, 1, moved("key_taken", k.key.ID, 1, r.ID, noon.Add(time.Minute)))
	ctx, later := t.Context(), noon.Add(48*time.Hour)
	if _, err := w.CorrectCustody(ctx, k.accountID, k.key.ID, access.CustodyReport{State: access.CustodyInBox, PanelID: k.box.ID, Slot: 2}, "Seen there.", "key_admin", later); err == nil {
		t.Error("two keys are in one slot")
	}
	c, err := w.CorrectCustody(ctx, k.accountID, k.key.ID, access.CustodyReport{State: access.CustodyUnknown}, "Vera has lost it.", "key_admin", later)
	if err != nil || c.State != access.CustodyUnknown {
		t.Fatalf("lost: %+v, %v", c, err)
	}
	chain, _, err := w.CustodyChain(ctx, k.accountID, k.key.ID, store.Page{})
	w.ok(err)
	if chain[0].Kind != store.CauseHost || chain[0].Note != "Vera has lost it." || chain[0].ActorID != "key_admin" {
		t.Errorf("the correction is %+v", chain[0])
	}
}
