package e2e

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"latchkey/internal/story"
)

// newKeyStory sets the story of a key on the stage.
func (s *stage) newKeyStory(stay, cooldown time.Duration) *story.KeyStory {
	k := &story.KeyStory{Story: *s.newStory(stay, time.Minute), Cooldown: cooldown, VisitorMail: "vera.lopes@example.com", CleanerCall: "+351912345678"}
	k.HostMail = "hugo.reis@example.com"
	return k
}

// TestKeyStory plays the story of a key in a SmartBox once (K1 to K13, P3, P10) and
// then looks at what is left of it.
func TestKeyStory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	play := s.newKeyStory(8*time.Second, 3*time.Second)
	s.playSteps(play.Steps())
	s.checkKeyStory(play)
	s.checkNothingOfKeys(play)
}

// TestKeyStorySurvivesKill plays it while the engine is killed inside every step and
// between each two (E1): the box obeys each code and command once, the chain of
// custody is whole, everyone is told once.
func TestKeyStorySurvivesKill(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// A workflow task that dies with the process is given out again after ten seconds:
	// the cooldown must be longer than a resend with that in the middle.
	play := s.newKeyStory(40*time.Second, 40*time.Second)
	for _, step := range play.Steps() {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		moment := time.Duration(math.Pow(300, random.Float64()) * float64(time.Millisecond))
		s.killInside(ctx, step, func(ctx context.Context, asked <-chan struct{}) {
			select {
			case <-asked:
			case <-ctx.Done():
			}
			select {
			case <-time.After(moment):
			case <-ctx.Done():
			}
		})
		if err := playThrough(ctx, step); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
		cancel()
	}
	s.checkKeyStory(play)
}

// checkKeyStory compares log, chain of custody and messages with what happened.
func (s *stage) checkKeyStory(play *story.KeyStory) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	happened := func(item, kind string) (events []story.Object) {
		answer := must(play.Engine.Get(ctx, "/v1/events?limit=200&item_id="+item))(s.t)
		for _, e := range answer.Body.List("items") {
			if e.Text("type") == kind {
				events = append(events, e)
			}
		}
		return events
	}
	for _, want := range []struct {
		item, kind string
		count      int
	}{
		{play.Reservation, "reservation.created", 1}, {play.Reservation, "reservation.ended", 1}, {play.Reservation, "reservation.revoked", 1},
		{play.Reservation, "reservation.instructions_resent", 2}, {play.Reservation, "reminder.return_key_sent", 1},
		{play.Reservation, "key.picked_up", 1}, {play.Reservation, "key.returned", 1}, {play.Reservation, "key.late", 1},
		{play.Ongoing, "reservation.created", 1}, {play.Ongoing, "reservation.revoked", 1},
		{play.Ongoing, "key.picked_up", 1}, {play.Ongoing, "key.returned", 1},
	} {
		if err := await(ctx, func() bool { return len(happened(want.item, want.kind)) >= want.count }); err != nil {
			s.t.Errorf("%s does not come into the log", want.kind)
		}
		if got := len(happened(want.item, want.kind)); got != want.count {
			s.t.Errorf("%s is in the log %d times, want %d", want.kind, got, want.count)
		}
	}
	for _, e := range happened(play.Reservation, "reservation.ended") {
		if !instantOf(e).Equal(play.Ends) {
			s.t.Errorf("T0: it ended at %s, not at %s", e.Text("at"), play.Ends)
		}
	}
	chain := must(play.Engine.Get(ctx, "/v1/keys/"+play.Key+"/custody"))(s.t).Body.List("items")
	var states []string
	for _, link := range slices.Backward(chain) {
		states = append(states, link.Text("state")+" "+link.Text("reservation_id"))
	}
	if want := []string{"in_box ", "out " + play.Reservation, "in_box ", "out " + play.Ongoing, "in_box "}; !slices.Equal(states, want) {
		s.t.Errorf("K12: the chain of custody is %q, want %q", states, want)
	}
	for key, want := range map[[2]string]int{
		{play.VisitorMail, "access_instructions"}: 3, {play.VisitorMail, "access_revoked"}: 1, {play.VisitorMail, "return_key_reminder"}: 1,
		{play.VisitorMail, "key_late"}: 1, {play.HostMail, "key_late_host"}: 1,
		{play.CleanerCall, "access_instructions"}: 1, {play.CleanerCall, "access_revoked"}: 1,
	} {
		if err := await(ctx, func() bool {
			found, err := play.Messages(ctx, key[0], key[1])
			return err == nil && len(found) >= want
		}); err != nil {
			s.t.Errorf("%s does not get %s", key[0], key[1])
		}
		if found := must(play.Messages(ctx, key[0], key[1]))(s.t); len(found) != want {
			s.t.Errorf("%s got %s %d times, want %d", key[0], key[1], len(found), want)
		}
	}
}

// checkNothingOfKeys searches Temporal's tables, the engine's own and its log for
// names, codes and the secrets of booking URLs (E7, K3).
func (s *stage) checkNothingOfKeys(play *story.KeyStory) {
	s.t.Helper()
	ongoing := must(play.Engine.Get(s.t.Context(), "/v1/reservations/"+play.Ongoing))(s.t).Body
	secrets := []string{
		"Vera Lopes", "Hugo Reis", "Max Braun", play.VisitorMail, play.HostMail, play.CleanerCall, play.Code, play.Token, ongoing.Text("code"),
		"Ring at the kiosk", "Thank you for staying",
	}
	text := must(os.ReadFile(s.engine.log))(s.t)
	search(s.t, "the log", text, secrets)
	cluster := s.cluster()
	for _, database := range []string{"temporal", "temporal_visibility", "latchkey"} {
		search(s.t, "database "+database, dump(s.t, cluster.AdminDSN(database)), secrets)
	}
}
