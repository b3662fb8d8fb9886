package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// KeyStory is the story of reservations of a key in a SmartBox: Hugo, the host,
// gives it to Vera for a while and to Max, who cleans, until further notice. It is
// played as [Story] is, and every step can be repeated.
type KeyStory struct {
	Story                     // Engine, PutUp, Tell, Run, HostMail; Stay is how long Vera may have the key
	Cooldown    time.Duration // resend_cooldown
	VisitorMail string
	CleanerCall string // Max's number

	// What the steps leave for those after them.
	Box, Key, Reservation, Ongoing string
	BoxPanel                       *Client
	Code, Token                    string
	Returned                       bool
}

// Steps is the whole story in order.
func (s *KeyStory) Steps() []Step {
	return []Step{
		{"a SmartBox with a key", s.stock},
		{"Hugo reserves the key for Vera, from tomorrow", s.reserve},
		{"Vera gets code and URL", s.instructions},
		{"the box has confirmed", func(ctx context.Context) error { return s.boxConfirmed(ctx, s.Reservation) }},
		{"it is too early to pick up", s.tooEarly},
		{"Hugo moves the time to now", s.moveToNow},
		{"Vera types the code and takes the key", s.pickUp},
		{"she is reminded on the last day", s.reminded},
		{"the end passes", s.endPasses},
		{"the key is late", s.late},
		{"she brings it back, after the end", s.bringBack},
		{"the instructions are sent again", s.resend},
		{"Hugo revokes", s.revoke},
		{"Max has the key until further notice", s.ongoing},
		{"he opens the box from his phone", s.remotePickup},
		{"and brings it back", s.remoteDropOff},
		{"Hugo revokes that, too", s.revokeOngoing},
	}
}

func (s *KeyStory) stock(ctx context.Context) error {
	property, err := s.post(ctx, s.Engine, "/v1/properties", "key property", map[string]any{
		"name": "Casa Tejo", "time_zone": "Europe/Lisbon",
		"policy": map[string]any{"resend_cooldown": s.Cooldown.String(), "late_key_after": "1s", "return_reminder_at": "00:00"},
	})
	if err != nil {
		return err
	}
	s.Property = property.Text("id")
	if _, err := s.post(ctx, s.Engine, "/v1/members", "host", map[string]any{
		"name": "Hugo Reis", "email": s.HostMail, "role": "host", "property_ids": []string{s.Property},
	}); err != nil {
		return err
	}
	box, err := s.post(ctx, s.Engine, "/v1/panels", "box", map[string]any{"property_id": s.Property, "name": "Kiosk box", "kind": "smartbox", "slots": 4})
	if err != nil {
		return err
	}
	s.Box = box.Text("id")
	key, err := s.post(ctx, s.Engine, "/v1/keys", "key", map[string]any{
		"property_id": s.Property, "name": "Flat 3", "panel_id": s.Box, "slot": 1, "notes": "Blue tag.",
	})
	if err != nil {
		return err
	}
	s.Key = key.Text("id")
	if s.BoxPanel, err = s.PutUp(ctx, "Kiosk", box.Text("enrolment_code")); err != nil {
		return err
	}
	s.tell("Casa Tejo in Lisbon has a SmartBox of four slots at the kiosk. The key of Flat 3 is in slot 1.")
	return nil
}

// tomorrow is 15:00 of tomorrow on the property's clocks, as a host types it.
func tomorrow(days int, clock string) string {
	zone, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		zone = time.UTC // the engine will say what is wrong with its zones
	}
	return time.Now().In(zone).AddDate(0, 0, days).Format("2006-01-02T") + clock
}

func (s *KeyStory) reserve(ctx context.Context) error {
	reservation, err := s.post(ctx, s.Engine, "/v1/reservations", "reserve", map[string]any{
		"key_id": s.Key, "kind": "one_time", "visitor": map[string]any{"name": "Vera Lopes", "email": s.VisitorMail, "locale": "en"},
		"starts_at": tomorrow(1, "15:00"), "ends_at": tomorrow(3, "11:00"), "return_reminder": true, "access_notes": "Ring at the kiosk if the screen is dark.",
	})
	if err != nil {
		return err
	}
	s.Reservation = reservation.Text("id")
	if state := reservation.Text("state"); state != "scheduled" {
		return fmt.Errorf("the new reservation is %q", state)
	}
	s.tell("Reservation %s: from %s to %s.", s.Reservation, reservation.Text("starts_at_local"), reservation.Text("ends_at_local"))
	return nil
}

func (s *KeyStory) instructions(ctx context.Context) error {
	m, err := s.arrives(ctx, s.VisitorMail, "access_instructions", 1)
	if err != nil {
		return err
	}
	reservation, err := s.reservation(ctx, s.Reservation)
	if err != nil {
		return err
	}
	s.Code = reservation.Text("code")
	booking, err := url.Parse(reservation.Text("url"))
	if err != nil {
		return err
	}
	s.Token = booking.Path[strings.LastIndex(booking.Path, "/")+1:]
	if text := m.Text("text"); !strings.Contains(text, s.Code) || !strings.Contains(text, s.Token) {
		return errors.New("the instructions have no code or no URL in them")
	}
	s.tell("Vera reads: %q. The code has %d digits.", m.Text("subject"), len(s.Code))
	return nil
}

func (s *KeyStory) reservation(ctx context.Context, id string) (Object, error) {
	answer, err := s.Engine.Get(ctx, "/v1/reservations/"+id)
	if err != nil {
		return nil, err
	}
	return answer.Body, expect(answer, "the reservation", http.StatusOK)
}

func (s *KeyStory) boxConfirmed(ctx context.Context, id string) error {
	return until(ctx, "the box's confirmation", func() (bool, error) {
		reservation, err := s.reservation(ctx, id)
		return reservation.Text("sync") == "confirmed", err
	})
}

// typed types a code at the box.
func (s *KeyStory) typed(ctx context.Context, code, op string) (Object, error) {
	answer, err := s.BoxPanel.Post(ctx, "/sim/code", "", map[string]any{"code": code, "op": op})
	if err != nil {
		return nil, err
	}
	return answer.Body, expect(answer, "typing the code", http.StatusOK)
}

// refusedAtBox types a code that must not open anything.
func (s *KeyStory) refusedAtBox(ctx context.Context, code, reason string) (Object, error) {
	answer, err := s.typed(ctx, code, "pickup")
	if err == nil && (answer.Text("result") != "refused" || answer.Text("reason") != reason) {
		err = fmt.Errorf("the box answered %v, want the refusal %s", answer, reason)
	}
	return answer, err
}

func (s *KeyStory) tooEarly(ctx context.Context) error {
	answer, err := s.refusedAtBox(ctx, s.Code, "not_yet")
	if err != nil {
		return err
	}
	if answer.Text("from") == "" {
		return errors.New("the box does not say from when")
	}
	remote, err := s.Engine.Post(ctx, "/v1/visits/"+s.Token+"/pickup", "", map[string]any{"panel_code": "000000"})
	if err := refused(remote, err, "a pickup before the start", "outside_window"); err != nil {
		return err
	}
	if remote.Body.Text("from") == "" {
		return errors.New("the engine does not say from when")
	}
	s.tell("At the box the code is refused: from %s.", answer.Text("from"))
	return nil
}

func (s *KeyStory) moveToNow(ctx context.Context) error {
	if s.Ends.IsZero() {
		s.Ends = time.Now().Add(s.Stay).Truncate(time.Second)
	}
	answer, err := s.Engine.Do(ctx, http.MethodPatch, "/v1/reservations/"+s.Reservation, "", map[string]any{
		"starts_at": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), "ends_at": s.Ends.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	if err := expect(answer, "the edit", http.StatusOK); err != nil {
		return err
	}
	if _, err := s.arrives(ctx, s.VisitorMail, "access_changed", 1); err != nil {
		return err
	}
	s.tell("The time is now, until %s. Vera is told.", s.Ends.Format("15:04:05"))
	return s.boxConfirmed(ctx, s.Reservation)
}

// slots is the box's slots.
func (s *KeyStory) slots(ctx context.Context) ([]Object, error) {
	answer, err := s.BoxPanel.Get(ctx, "/sim")
	return answer.Body.List("slots"), err
}

// inBox is the slot that the key is in; 0: none.
func (s *KeyStory) inBox(ctx context.Context) (int, error) {
	slots, err := s.slots(ctx)
	for _, slot := range slots {
		if slot.Text("key_id") == s.Key {
			n, _ := slot["slot"].(float64) // as JSON has it
			return int(n), err
		}
	}
	return 0, err
}

// byHand takes the key out of an open slot, or puts it in.
func (s *KeyStory) byHand(ctx context.Context, slot int, key any) error {
	answer, err := s.BoxPanel.Post(ctx, "/sim/keys", "", map[string]any{"slot": slot, "key_id": key})
	if err != nil {
		return err
	}
	return expect(answer, "the key by hand", http.StatusOK)
}

// take opens the slot, if the key is still in it, and takes the key out.
func (s *KeyStory) take(ctx context.Context, open func(context.Context) error) error {
	slot, err := s.inBox(ctx)
	if err != nil || slot == 0 {
		return err
	}
	if err := open(ctx); err != nil {
		return err
	}
	return s.byHand(ctx, slot, nil)
}

// custody waits until a reservation sees its key where it should be.
func (s *KeyStory) custody(ctx context.Context, id, state string) error {
	return until(ctx, "custody "+state, func() (bool, error) {
		reservation, err := s.reservation(ctx, id)
		return reservation.Text("custody", "state") == state, err
	})
}

func (s *KeyStory) pickUp(ctx context.Context) error {
	if err := s.take(ctx, func(ctx context.Context) error {
		answer, err := s.typed(ctx, s.Code, "pickup")
		if err == nil && answer.Text("result") != "opened" {
			err = fmt.Errorf("the box answered %v to the code in its time", answer)
		}
		return err
	}); err != nil {
		return err
	}
	if err := s.custody(ctx, s.Reservation, "with_visitor"); err != nil {
		return err
	}
	s.tell("Slot 1 opens, she takes the key. The engine knows that she has it.")
	return nil
}

func (s *KeyStory) reminded(ctx context.Context) error {
	m, err := s.arrives(ctx, s.VisitorMail, "return_key_reminder", 1)
	if err != nil {
		return err
	}
	s.tell("It is the last day: %q", m.Text("subject"))
	return nil
}

func (s *KeyStory) endPasses(ctx context.Context) error {
	if err := until(ctx, "the end", func() (bool, error) {
		reservation, err := s.reservation(ctx, s.Reservation)
		return reservation.Text("state") == "ended", err
	}); err != nil {
		return err
	}
	if time.Now().Before(s.Ends) {
		return errors.New("it ended before its time")
	}
	if _, err := s.refusedAtBox(ctx, s.Code, "reservation_ended"); err != nil {
		return err
	}
	remote, err := s.Engine.Post(ctx, "/v1/visits/"+s.Token+"/pickup", "", map[string]any{"panel_code": "000000"})
	if err := refused(remote, err, "a pickup after the end", "reservation_ended"); err != nil {
		return err
	}
	s.tell("The end passes. From now on nobody can pick up with this code: %s", remote.Body.Text("detail"))
	return nil
}

func (s *KeyStory) late(ctx context.Context) error {
	for reader, template := range map[string]string{s.VisitorMail: "key_late", s.HostMail: "key_late_host"} {
		if _, err := s.arrives(ctx, reader, template, 1); err != nil {
			return err
		}
	}
	s.tell("The key is still out. Vera and Hugo are told.")
	return nil
}

// put opens a free slot, unless the key is back already, and puts the key in.
func (s *KeyStory) put(ctx context.Context, open func(context.Context) (slot int, err error)) error {
	back, err := s.inBox(ctx)
	if err != nil || back != 0 {
		return err
	}
	slot, err := open(ctx)
	if err != nil {
		return err
	}
	return s.byHand(ctx, slot, s.Key)
}

func (s *KeyStory) bringBack(ctx context.Context) error {
	if err := s.put(ctx, func(ctx context.Context) (int, error) {
		answer, err := s.typed(ctx, s.Code, "dropoff")
		if err == nil && answer.Text("result") != "opened" {
			err = fmt.Errorf("a drop-off after the end was answered with %v", answer)
		}
		slot, _ := answer["slot"].(float64)
		return int(slot), err
	}); err != nil {
		return err
	}
	if err := s.custody(ctx, s.Reservation, "in_box"); err != nil {
		return err
	}
	s.tell("The code still returns: a free slot opens, the key is back.")
	return nil
}

// resend asks three times: allowed by now, refused within the cooldown, and queued
// for the end of it.
func (s *KeyStory) resend(ctx context.Context) error {
	path := "/v1/reservations/" + s.Reservation + "/resend"
	if _, err := s.post(ctx, s.Engine, path, "resend", nil); err != nil {
		return err
	}
	answer, err := s.Engine.Post(ctx, path, "", nil)
	if err := refused(answer, err, "sending again at once", "resend_cooldown"); err != nil {
		return err
	}
	allowed, err := time.Parse(time.RFC3339, answer.Body.Text("next_allowed_at"))
	if err != nil {
		return fmt.Errorf("next_allowed_at: %w", err)
	}
	if _, err := s.post(ctx, s.Engine, path+"?when=allowed", "resend queued", nil); err != nil {
		return err
	}
	m, err := s.arrives(ctx, s.VisitorMail, "access_instructions", 3)
	if err != nil {
		return err
	}
	if sent, err := time.Parse(time.RFC3339, m.Text("at")); err != nil || sent.Before(allowed) {
		return fmt.Errorf("the queued message left at %s, before %s: %w", m.Text("at"), allowed, err)
	}
	s.tell("Sent again; once more is refused until %s; a queued one leaves exactly then.", allowed.Format("15:04:05"))
	return nil
}

func (s *KeyStory) revoke(ctx context.Context) error {
	if _, err := s.post(ctx, s.Engine, "/v1/reservations/"+s.Reservation+"/revoke", "revoke", map[string]any{"reason": "Thank you for staying."}); err != nil {
		return err
	}
	if err := s.boxConfirmed(ctx, s.Reservation); err != nil {
		return err
	}
	if _, err := s.refusedAtBox(ctx, s.Code, "reservation_revoked"); err != nil {
		return err
	}
	answer, err := s.typed(ctx, s.Code, "dropoff")
	if err == nil && answer.Text("result") != "opened" {
		err = fmt.Errorf("a drop-off after the revocation was answered with %v", answer)
	}
	if err != nil {
		return err
	}
	s.tell("Picking up is dead at the box; returning is not.")
	return nil
}

func (s *KeyStory) ongoing(ctx context.Context) error {
	reservation, err := s.post(ctx, s.Engine, "/v1/reservations", "ongoing", map[string]any{
		"key_id": s.Key, "kind": "ongoing", "visitor": map[string]any{"name": "Max Braun", "mobile": s.CleanerCall, "locale": "ja"},
	})
	if err != nil {
		return err
	}
	s.Ongoing = reservation.Text("id")
	if state := reservation.Text("state"); state != "active" {
		return fmt.Errorf("an ongoing reservation from now on is %q", state)
	}
	m, err := s.arrives(ctx, s.CleanerCall, "access_instructions", 1)
	if err != nil {
		return err
	}
	if m.Text("channel") != "sms" || !strings.Contains(m.Text("text"), reservation.Text("code")) {
		return fmt.Errorf("the cleaner got %v", m)
	}
	s.tell("Max, who cleans, gets his code by SMS, in Japanese.")
	return s.boxConfirmed(ctx, s.Ongoing)
}

// number is what the box shows (P10).
func (s *KeyStory) number(ctx context.Context) (string, error) {
	answer, err := s.BoxPanel.Get(ctx, "/sim")
	return answer.Body.Text("number"), err
}

func (s *KeyStory) remotePickup(ctx context.Context) error {
	if err := s.take(ctx, func(ctx context.Context) error {
		wrong, err := s.Engine.Post(ctx, "/v1/reservations/"+s.Ongoing+"/pickup", "", map[string]any{"panel_code": "000000"})
		if err := refused(wrong, err, "a pickup by who is not there", "wrong_panel_code"); err != nil {
			return err
		}
		return s.remote(ctx, "pickup", nil)
	}); err != nil {
		return err
	}
	if err := s.custody(ctx, s.Ongoing, "with_visitor"); err != nil {
		return err
	}
	s.tell("With the number that the box shows, and with no other, the slot opens from his phone.")
	return nil
}

// remote opens a slot through the engine with the number on the box.
func (s *KeyStory) remote(ctx context.Context, op string, slot *int) error {
	number, err := s.number(ctx)
	if err != nil {
		return err
	}
	answer, err := s.Engine.Post(ctx, "/v1/reservations/"+s.Ongoing+"/"+op, "", map[string]any{"panel_code": number})
	if err != nil {
		return err
	}
	if slot != nil {
		n, _ := answer.Body["slot"].(float64)
		*slot = int(n)
	}
	return expect(answer, "the remote "+op, http.StatusOK)
}

func (s *KeyStory) remoteDropOff(ctx context.Context) error {
	if err := s.put(ctx, func(ctx context.Context) (slot int, err error) {
		err = s.remote(ctx, "dropoff", &slot)
		return slot, err
	}); err != nil {
		return err
	}
	return s.custody(ctx, s.Ongoing, "in_box")
}

func (s *KeyStory) revokeOngoing(ctx context.Context) error {
	reservation, err := s.post(ctx, s.Engine, "/v1/reservations/"+s.Ongoing+"/revoke", "revoke ongoing", nil)
	if err != nil {
		return err
	}
	if err := s.boxConfirmed(ctx, s.Ongoing); err != nil {
		return err
	}
	code := reservation.Text("code")
	if _, err := s.refusedAtBox(ctx, code, "reservation_revoked"); err != nil {
		return err
	}
	s.tell("Max's code picks nothing up any more.")
	return nil
}
