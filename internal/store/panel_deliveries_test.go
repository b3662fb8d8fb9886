package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// other is a second process on the same database.
func (w *world) other() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), w.dsn, w.keys)
	w.ok(err)
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) deliveries() int { return w.number(`SELECT count(*) FROM panel_deliveries`) }

// P4: what nobody fetches is withdrawn, surely; what was fetched and not answered
// may have been acted on. Nothing of either stays behind.
func TestDeliveriesThatFail(t *testing.T) {
	w := open(t)
	s := w.site()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Deliver(short, s.panel.ID, "msg_1", "unlock"); !errors.Is(err, store.ErrWithdrawn) {
		t.Errorf("nobody polls: %v", err)
	}
	if got, err := w.Poll(t.Context(), s.panel.ID, "poll_1", "boot", 0, time.Now); err != nil || len(got) != 0 {
		t.Errorf("a late poll gets %q (%v)", got, err)
	}

	other := w.other()
	fetched := make(chan []string)
	go func() {
		got, err := other.Poll(t.Context(), s.panel.ID, "poll_2", "boot", time.Minute, time.Now)
		if err != nil {
			t.Error(err)
		}
		fetched <- got
	}()
	delivering, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.Deliver(delivering, s.panel.ID, "msg_2", "unlock")
		done <- err
	}()
	if got := <-fetched; len(got) != 1 || got[0] != "unlock" {
		t.Fatalf("the poll gets %q", got)
	}
	stop() // the answer does not come in time
	if err := <-done; !errors.Is(err, store.ErrNoAnswer) {
		t.Errorf("no answer: %v", err)
	}
	w.ok(other.TakeAnswers(t.Context(), s.panel.ID, map[string]string{"msg_2": "too late"}))
	if n := w.deliveries(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// E8: a panel answers for its own messages only.
func TestAnswersOfAnotherPanelAreDropped(t *testing.T) {
	w := open(t)
	s := w.site()
	stranger := w.panel(s.property, directory.PanelDoor)
	answer := make(chan string, 1)
	go func() {
		said, err := w.Deliver(t.Context(), s.panel.ID, "msg_1", "unlock")
		if err != nil {
			t.Error(err)
		}
		answer <- said
	}()
	got, err := w.Poll(t.Context(), s.panel.ID, "poll_1", "boot", time.Minute, time.Now)
	if err != nil || len(got) != 1 {
		t.Fatalf("the poll gets %q (%v)", got, err)
	}
	w.ok(w.TakeAnswers(t.Context(), stranger.ID, map[string]string{"msg_1": "opened, says a stranger"}))
	w.ok(w.TakeAnswers(t.Context(), s.panel.ID, map[string]string{"msg_1": "opened"}))
	w.ok(w.TakeAnswers(t.Context(), s.panel.ID, map[string]string{"msg_1": "opened again"}))
	if said := <-answer; said != "opened" {
		t.Errorf("the answer is %q", said)
	}
}

// P4: a panel that hangs up gets nothing, and a newer poll takes over from one whose
// end nobody has noticed.
func TestPollsThatEnd(t *testing.T) {
	w := open(t)
	s := w.site()
	gone, hangUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := w.Poll(gone, s.panel.ID, "poll_1", "boot", time.Minute, time.Now)
		ended <- err
	}()
	hangUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a poll that hung up ended with %v", err)
	}

	older := make(chan []string, 1)
	go func() {
		got, err := w.Poll(t.Context(), s.panel.ID, "poll_2", "boot", time.Minute, time.Now)
		if err != nil {
			t.Error(err)
		}
		older <- got
	}()
	for w.number(`SELECT count(*) FROM panels WHERE poll_id = 'poll_2'`) == 0 {
		time.Sleep(time.Millisecond)
	}
	newer := make(chan []string, 1)
	go func() {
		got, err := w.other().Poll(t.Context(), s.panel.ID, "poll_3", "boot", time.Minute, time.Now)
		if err != nil {
			t.Error(err)
		}
		newer <- got
	}()
	if got := <-older; len(got) != 0 {
		t.Errorf("the older poll gets %q", got)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go func() { _, _ = w.Deliver(short, s.panel.ID, "msg_1", "unlock") }()
	if got := <-newer; len(got) != 1 {
		t.Errorf("the newer poll gets %q", got)
	}
}

// P4: a message is fetched or withdrawn, never both, however many processes are at
// it: what was withdrawn never opens a door.
func TestNothingWithdrawnIsFetched(t *testing.T) {
	w := open(t)
	s := w.site()
	other := w.other()
	polling, stop := context.WithCancel(t.Context())
	var fetched sync.Map
	var panels sync.WaitGroup
	panels.Go(func() {
		for n := 0; polling.Err() == nil; n++ {
			got, err := other.Poll(polling, s.panel.ID, fmt.Sprintf("poll_%d", n), "boot", time.Second, time.Now)
			if err != nil && polling.Err() == nil {
				t.Error(err)
			}
			for _, message := range got {
				fetched.Store(message, true)
			}
		}
	})
	var withdrawn, taken atomic.Int64
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for n := range 25 {
				id := fmt.Sprintf("msg_%d_%d", sender, n)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*time.Millisecond)
				_, err := w.Deliver(ctx, s.panel.ID, id, id)
				cancel()
				switch {
				case errors.Is(err, store.ErrWithdrawn):
					withdrawn.Add(1)
					if _, got := fetched.Load(id); got {
						t.Errorf("%s was withdrawn and fetched", id)
					}
				case errors.Is(err, store.ErrNoAnswer):
					taken.Add(1)
				default:
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	senders.Wait()
	stop()
	panels.Wait()
	fetched.Range(func(id, _ any) bool { taken.Add(-1); return true })
	if left := taken.Load(); left < 0 || withdrawn.Load() == 0 {
		t.Errorf("%d more were fetched than were taken for it; %d were withdrawn", -left, withdrawn.Load())
	}
	if n := w.deliveries(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}
