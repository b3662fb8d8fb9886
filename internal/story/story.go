// Package story plays the story of an invitation against a running engine, as its
// people would: an app with an API key, a guest with a phone, a simulated panel at
// the door. It knows nothing but the public API and the panels' control interface.
//
// The demo tells it to a reader; the end-to-end tests play it and kill the engine
// between the steps and inside them. So every step can be repeated: what it asks
// for carries an idempotency key, and what it waits for is a condition.
package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Story is the stage: where the engine is, how a panel is put up, and how long
// the things take that take days in life.
type Story struct {
	Engine *Client
	// PutUp starts a panel with an enrolment code and returns its control interface.
	// Asked again for the same name it returns the same panel.
	PutUp func(ctx context.Context, name, code string) (*Client, error)
	// Tell is called with what happens, for a person who follows; it may be nil.
	Tell func(format string, args ...any)

	Stay      time.Duration // how long the invitation lasts
	Quiet     time.Duration // reverify_after: how long without use until the guest must verify again
	Run       string        // distinguishes idempotency keys of several plays
	GuestMail string
	HostMail  string

	// What the steps leave for those after them.
	Property, Invitation string
	Lobby, Garage        string // entrances
	LobbyPanel           *Client
	GaragePanel          *Client
	Ends                 time.Time
	guest                *Client
	opened               int // how often the lobby must have opened by now
}

// Step is one scene. Play may be called again after an error that is ErrAway.
type Step struct {
	Name string
	Play func(ctx context.Context) error
}

// Steps is the whole story in order.
func (s *Story) Steps() []Step {
	return []Step{
		{"a property with two doors", s.setUp},
		{"Rosa invites Ana to the lobby", s.invite},
		{"Ana gets an email", s.mail},
		{"the wrong account is refused", s.wrongAccount},
		{"Ana signs in and accepts", s.accept},
		{"the panel confirms", s.confirmed},
		{"unlocking is refused until she is verified", s.unverified},
		{"she taps at the garage: wrong entrance", s.wrongEntrance},
		{"she taps at the lobby: it opens", func(ctx context.Context) error { return s.tap(ctx, 1) }},
		{"she unlocks from her phone", s.unlock},
		{"Rosa is told", s.told},
		{"time passes without use", s.lapse},
		{"she taps again", func(ctx context.Context) error { return s.tap(ctx, 3) }},
		{"the window ends", s.end},
	}
}

func (s *Story) tell(format string, args ...any) {
	if s.Tell != nil {
		s.Tell(format, args...)
	}
}

// key is the idempotency key of one request of this play.
func (s *Story) key(what string) string { return s.Run + "/" + strings.ReplaceAll(what, " ", "-") }

// post makes a request that must succeed.
func (s *Story) post(ctx context.Context, c *Client, path, what string, body any) (Object, error) {
	answer, err := c.Post(ctx, path, s.key(what), body)
	if err != nil {
		return nil, err
	}
	return answer.Body, expect(answer, what, http.StatusOK, http.StatusCreated, http.StatusAccepted)
}

// expect says what was answered instead of one of the wanted statuses. An answer
// that says "not now" may be asked for again.
func expect(answer Answer, what string, wanted ...int) error {
	for _, status := range wanted {
		if answer.Status == status {
			return nil
		}
	}
	err := fmt.Errorf("%s: answered %d %s: %s", what, answer.Status, answer.Code(), answer.Body.Text("detail"))
	if answer.Status >= 500 || answer.Code() == "in_progress" {
		return errors.Join(ErrAway, err)
	}
	return err
}

// refused makes a request that must be refused with a code.
func refused(answer Answer, err error, what, code string) error {
	if err != nil {
		return err
	}
	if answer.Code() != code {
		return errors.Join(expect(answer, what, -1), fmt.Errorf("wanted the refusal %s", code))
	}
	return nil
}

// until asks again and again until the condition holds or ctx ends.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *Story) setUp(ctx context.Context) error {
	property, err := s.post(ctx, s.Engine, "/v1/properties", "property", map[string]any{
		"name": "Harbour House", "time_zone": "Europe/Lisbon",
		"policy": map[string]any{"verification": "on_site", "reverify_after": s.Quiet.String(), "resend_cooldown": "2s"},
	})
	if err != nil {
		return err
	}
	s.Property = property.Text("id")
	if s.Lobby, s.LobbyPanel, err = s.door(ctx, "Lobby", "The glass door on the quay side, panel at shoulder height on the right."); err != nil {
		return err
	}
	if s.Garage, s.GaragePanel, err = s.door(ctx, "Garage", "Down the ramp."); err != nil {
		return err
	}
	s.tell("Harbour House in Lisbon has two doors, each with a panel that has enrolled with its own key.")
	s.tell("Guests verify on site; after %s without use they verify again (5 days in real life).", s.Quiet)
	return nil
}

func (s *Story) door(ctx context.Context, name, directions string) (entrance string, panel *Client, err error) {
	made, err := s.post(ctx, s.Engine, "/v1/panels", "panel "+name, map[string]any{"property_id": s.Property, "name": name + " panel", "kind": "door"})
	if err != nil {
		return "", nil, err
	}
	door, err := s.post(ctx, s.Engine, "/v1/entrances", "entrance "+name, map[string]any{
		"property_id": s.Property, "panel_id": made.Text("id"), "name": name, "directions": directions, "shareable": true,
	})
	if err != nil {
		return "", nil, err
	}
	panel, err = s.PutUp(ctx, name, made.Text("enrolment_code"))
	return door.Text("id"), panel, err
}

func (s *Story) invite(ctx context.Context) error {
	if s.Ends.IsZero() {
		s.Ends = time.Now().Add(s.Stay).Truncate(time.Second)
	}
	invitation, err := s.post(ctx, s.Engine, "/v1/invitations", "invite", map[string]any{
		"property_id":  s.Property,
		"inviter":      map[string]any{"name": "Rosa Marques", "email": s.HostMail},
		"guest":        map[string]any{"name": "Ana Lind", "email": s.GuestMail, "locale": "en"},
		"entrance_ids": []string{s.Lobby},
		"ends_at":      s.Ends.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	s.Invitation = invitation.Text("id")
	if state := invitation.Text("state"); state != "invited" {
		return fmt.Errorf("the new invitation is %q", state)
	}
	s.tell("Rosa invites Ana to the lobby until %s. The invitation is %s.", s.Ends.Format("15:04:05"), s.Invitation)
	return nil
}

// Messages lists what was sent to an address with a template, newest first.
func (s *Story) Messages(ctx context.Context, to, template string) ([]Object, error) {
	answer, err := s.Engine.Get(ctx, "/dev/outbox")
	if err != nil {
		return nil, err
	}
	if err := expect(answer, "the outbox", http.StatusOK); err != nil {
		return nil, err
	}
	var found []Object
	for _, m := range answer.Body.List("items") {
		if strings.EqualFold(m.Text("to"), to) && m.Text("template") == template {
			found = append(found, m)
		}
	}
	return found, nil
}

// arrives waits for a message.
func (s *Story) arrives(ctx context.Context, to, template string, count int) (newest Object, err error) {
	err = until(ctx, fmt.Sprintf("message %d of %s", count, template), func() (bool, error) {
		found, err := s.Messages(ctx, to, template)
		if len(found) >= count && err == nil {
			newest = found[0]
			return true, nil
		}
		return false, err
	})
	return newest, err
}

func (s *Story) mail(ctx context.Context) error {
	m, err := s.arrives(ctx, s.GuestMail, "invitation", 1)
	if err != nil {
		return err
	}
	if !strings.Contains(m.Text("text"), "/i/") || m.Text("subject") != "You have been invited as an auto-verified guest" {
		return fmt.Errorf("the invitation says %q without a link", m.Text("subject"))
	}
	s.tell("Ana reads: %q", m.Text("subject"))
	return nil
}
