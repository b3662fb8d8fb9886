package store_test

import (
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/store"
)

// T0, T2: what the engine slept through is recorded with the deadline as its time,
// when it was recorded, and how late that was; what is on time says nothing of it.
func TestT2EventsSayHowLateTheyAre(t *testing.T) {
	w := open(t)
	k := w.keyed()
	for late, want := range map[time.Duration]any{20 * time.Second: nil, 3*time.Hour + 5*time.Minute: "3h5m0s"} {
		end := noon.Add(time.Hour)
		wish := k.wants(noon, end)
		wish.Exclusive = false
		r := w.reserve(wish)
		r.Fire(access.Deadline{What: access.ActionEnd, At: end}, end.Add(late))
		_, err := w.RecordReservation(t.Context(), r, end.Add(late))
		w.ok(err)
		ended, _, err := w.Events(t.Context(), k.accountID, store.EventFilter{ItemID: r.ID, Type: access.EventReservationEnded}, store.Page{})
		w.ok(err)
		if len(ended) != 1 || !ended[0].At.Equal(end) || !ended[0].RecordedAt.Equal(end.Add(late)) || ended[0].Detail["late"] != want {
			t.Errorf("%s late: %+v", late, ended)
		}
	}
}
