package store_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
)

var key, request = []byte("key"), []byte("request")

const lease = 30 * time.Second

func (w *world) begin(scope string, request []byte, now time.Time) store.Idempotency {
	w.t.Helper()
	k, err := w.BeginIdempotent(w.t.Context(), scope, key, request, lease, now)
	w.ok(err)
	return k
}

// together runs n claims at the same time and counts the answers.
func (w *world) together(n int, now time.Time) map[store.IdempotencyState]int {
	w.t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	count := map[store.IdempotencyState]int{}
	for range n {
		group.Go(func() {
			k, err := w.BeginIdempotent(w.t.Context(), "acc_1", key, request, lease, now)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				w.t.Error(err)
			}
			count[k.State]++
		})
	}
	group.Wait()
	return count
}

// E2: of many equal requests at once exactly one is carried out.
func TestOneOfManyEqualRequestsIsCarriedOut(t *testing.T) {
	w := open(t)
	const many = 16
	for _, now := range []time.Time{noon, noon.Add(lease)} { // at first, and again when the first did not live to answer
		count := w.together(many, now)
		if count[store.IdempotencyFresh] != 1 || count[store.IdempotencyUnderWay] != many-1 {
			t.Errorf("at %s: states %v, want one fresh and all others under way", now, count)
		}
	}
}

func TestRepetitionGetsTheFirstAnswer(t *testing.T) {
	w := open(t)
	if k := w.begin("acc_1", request, noon); k.State != store.IdempotencyFresh {
		t.Fatalf("a new key is %+v", k)
	}
	answer := []byte(`{"name":"Ana"}`)
	w.ok(w.CompleteIdempotent(t.Context(), "acc_1", key, 201, answer))
	k := w.begin("acc_1", request, noon.Add(24*time.Hour-time.Second))
	if k.State != store.IdempotencyDone || k.Status != 201 || !bytes.Equal(k.Response, answer) {
		t.Errorf("repeated: %+v", k)
	}
	if k := w.begin("acc_1", []byte("another"), noon); k.State != store.IdempotencyOtherBody || k.Response != nil {
		t.Errorf("with another body: %+v", k)
	}
	if k := w.begin("acc_2", request, noon); k.State != store.IdempotencyFresh {
		t.Errorf("E8: another account's key is %+v", k)
	}
	if k := w.begin("acc_1", []byte("another"), noon.Add(24*time.Hour+time.Second)); k.State != store.IdempotencyFresh {
		t.Errorf("after a day: %+v", k)
	}
}

func TestReleasedKeyIsFresh(t *testing.T) {
	w := open(t)
	w.begin("acc_1", request, noon)
	w.ok(w.ReleaseIdempotent(t.Context(), "acc_1", key))
	if k := w.begin("acc_1", []byte("another"), noon); k.State != store.IdempotencyFresh {
		t.Errorf("released: %+v", k)
	}
	w.ok(w.CompleteIdempotent(t.Context(), "acc_1", key, 200, nil))
	w.ok(w.ReleaseIdempotent(t.Context(), "acc_1", key))
	if k := w.begin("acc_1", []byte("another"), noon); k.State != store.IdempotencyDone {
		t.Errorf("an answer was released: %+v", k)
	}
}

func TestKeysAreForgottenAfterADay(t *testing.T) {
	w := open(t)
	w.begin("acc_1", request, noon)
	w.ok(w.SweepExpired(t.Context(), noon.Add(24*time.Hour)))
	if left := w.number(`SELECT count(*) FROM idempotency`); left != 1 {
		t.Errorf("%d keys after exactly a day, want 1", left)
	}
	w.ok(w.SweepExpired(t.Context(), noon.Add(24*time.Hour+time.Second)))
	if left := w.number(`SELECT count(*) FROM idempotency`); left != 0 {
		t.Errorf("%d keys after more than a day, want none", left)
	}
}

// E2: a process died after the claim; the repetition goes on with the same
// invitation instead of making another.
func TestRepetitionGoesOnWithWhatWasClaimed(t *testing.T) {
	w := open(t)
	s := w.site()
	n := store.NewInvitation{
		AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, Guest: ana,
		EntranceIDs: []string{s.entrance.ID}, Window: access.Window{Start: noon},
	}
	w.begin(s.accountID, request, noon)
	first, err := w.ClaimInvitation(t.Context(), n, &store.IdempotencyClaim{Scope: s.accountID, Key: key}, noon)
	w.ok(err)

	later := noon.Add(lease)
	k := w.begin(s.accountID, request, later)
	if k.State != store.IdempotencyFresh || k.ResourceID != first.ID {
		t.Fatalf("after the lease: %+v, want fresh with %s", k, first.ID)
	}
	again, err := w.ClaimInvitation(t.Context(), n, &store.IdempotencyClaim{Scope: s.accountID, Key: key, ResourceID: k.ResourceID}, later)
	w.ok(err)
	if again.ID != first.ID || w.number(`SELECT count(*) FROM invitations`) != 1 {
		t.Errorf("claimed %s, then %s", first.ID, again.ID)
	}
}
