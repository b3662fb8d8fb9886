package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// signIn signs a person in by the code that is sent to them.
func (s *Story) signIn(ctx context.Context, address string) (*Client, error) {
	before, err := s.Messages(ctx, address, "sign_in_code")
	if err != nil {
		return nil, err
	}
	answer, err := s.Engine.As("").Post(ctx, "/v1/sign-in/code", "", map[string]any{"email": address})
	if err = errors.Join(err, expect(answer, "the sign-in code", http.StatusAccepted)); err != nil {
		return nil, err
	}
	for sent := len(before) + 1; ; sent++ {
		m, err := s.arrives(ctx, address, "sign_in_code", sent)
		if err != nil {
			return nil, err
		}
		signedIn, err := s.Engine.As("").Post(ctx, "/v1/sign-in", "", map[string]any{
			"attempt": answer.Body.Text("attempt"), "code": sixDigits.FindString(m.Text("text")),
		})
		if err == nil && signedIn.Code() == "invalid_code" && sent < len(before)+3 && s.anotherCode(ctx, address, sent+1) {
			continue // a crash had held back an earlier code, which arrived before the one that is good now
		}
		if err = errors.Join(err, expect(signedIn, "the sign-in", http.StatusOK)); err != nil {
			if signedIn.Code() == "invalid_code" { // or it took the answer to this very code
				err = errors.Join(ErrAway, err)
			}
			return nil, err
		}
		return s.Engine.As(signedIn.Body.Text("token")), nil
	}
}

// anotherCode waits a moment for one more message with a code.
func (s *Story) anotherCode(ctx context.Context, address string, count int) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := s.arrives(ctx, address, "sign_in_code", count)
	return err == nil
}

func (s *Story) wrongAccount(ctx context.Context) error {
	stranger, err := s.signIn(ctx, "bob@example.net")
	if err != nil {
		return err
	}
	answer, err := stranger.Post(ctx, "/v1/me/invitations/"+s.Invitation+"/accept", "", nil)
	if err := refused(answer, err, "Bob accepting", "email_mismatch"); err != nil {
		return err
	}
	s.tell("Bob has the link too, but his account has another address: %s", answer.Body.Text("detail"))
	return nil
}

func (s *Story) accept(ctx context.Context) (err error) {
	if s.guest == nil {
		if s.guest, err = s.signIn(ctx, s.GuestMail); err != nil {
			return err
		}
	}
	answer, err := s.post(ctx, s.guest, "/v1/me/invitations/"+s.Invitation+"/accept", "accept", nil)
	if err != nil {
		return err
	}
	if state := answer.Text("state"); state != "accepted" {
		return fmt.Errorf("after accepting it is %q", state)
	}
	if _, err := s.arrives(ctx, s.HostMail, "invitation_accepted", 1); err != nil {
		return err
	}
	s.tell("Ana signs in with the address that was invited and accepts. Rosa is told.")
	return nil
}

// entrance is the lobby as Ana's guest keys show it.
func (s *Story) entrance(ctx context.Context) (Object, error) {
	answer, err := s.guest.Get(ctx, "/v1/me/guest-keys")
	if err = errors.Join(err, expect(answer, "the guest keys", http.StatusOK)); err != nil {
		return nil, err
	}
	for _, place := range answer.Body.List("items") {
		for _, invitation := range place.List("invitations") {
			for _, entrance := range invitation.List("entrances") {
				if entrance.Text("entrance_id") == s.Lobby {
					return entrance, nil
				}
			}
		}
	}
	return nil, nil
}

func (s *Story) confirmed(ctx context.Context) error {
	err := until(ctx, "the panel's confirmation", func() (bool, error) {
		entrance, err := s.entrance(ctx)
		return entrance.Text("sync") == "confirmed", err
	})
	if err != nil {
		return err
	}
	s.tell("The lobby panel has confirmed Ana's access. Her guest keys show the lobby and how to find it.")
	return nil
}

func (s *Story) unverified(ctx context.Context) error {
	answer, err := s.press(ctx, "unlock unverified")
	if err := refused(answer, err, "unlocking unverified", "verification_required"); err != nil {
		return err
	}
	s.tell("Ana taps the lock: %s", answer.Body.Text("detail"))
	return s.hasOpened(ctx)
}

func (s *Story) path(what string) string { return "/v1/me/guest-keys/" + s.Invitation + "/" + what }

// token asks for a tap token.
func (s *Story) token(ctx context.Context) (string, error) {
	answer, err := s.guest.Post(ctx, s.path("verification"), "", nil)
	if err = errors.Join(err, expect(answer, "a tap token", http.StatusCreated)); err != nil {
		return "", err
	}
	return answer.Body.Text("tap_token"), nil
}

func hold(ctx context.Context, panel *Client, token, entrance string) (string, error) {
	answer, err := panel.Post(ctx, "/sim/tap", "", map[string]any{"tap_token": token, "entrance_id": entrance})
	if err = errors.Join(err, expect(answer, "holding the phone to the panel", http.StatusOK)); err != nil {
		return "", err
	}
	return answer.Body.Text("result"), nil
}

func (s *Story) wrongEntrance(ctx context.Context) error {
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	result, err := hold(ctx, s.GaragePanel, token, s.Garage)
	if err != nil {
		return err
	}
	if result != "wrong_entrance" {
		return fmt.Errorf("%w: the garage answered %q", ErrAway, result)
	}
	attempt, err := s.guest.Get(ctx, s.path("verification"))
	if err = errors.Join(err, expect(attempt, "the attempt", http.StatusOK)); err != nil {
		return err
	}
	yours := attempt.Body.List("your_entrances")
	if attempt.Body.Text("state") != "wrong_entrance" || len(yours) != 1 || yours[0].Text("entrance_id") != s.Lobby {
		return fmt.Errorf("the guest is not told where to go: %v", attempt.Body)
	}
	s.tell("At the garage nothing opens; her phone says: go to %s. %s", yours[0].Text("name"), yours[0].Text("directions"))
	if result, err = hold(ctx, s.LobbyPanel, token, s.Lobby); err != nil {
		return err
	}
	if result != "expired" {
		return fmt.Errorf("a spent token was answered with %q", result)
	}
	s.tell("The token is spent: held to the lobby panel now, it does nothing.")
	return s.hasOpened(ctx)
}

// tap verifies at the lobby, which is to be its n-th opening. A try that a crash cut
// off is made again with a new token, unless the door has opened already.
func (s *Story) tap(ctx context.Context, n int) error {
	opened, err := s.openings(ctx)
	if err != nil {
		return err
	}
	if opened < n {
		token, err := s.token(ctx)
		if err != nil {
			return err
		}
		result, err := hold(ctx, s.LobbyPanel, token, s.Lobby)
		if err != nil {
			return err
		}
		if result != "verified" {
			return fmt.Errorf("%w: the tap was answered with %q", ErrAway, result)
		}
	}
	s.opened = n
	s.tell("\"Ready to tap\": she holds her phone to the lobby panel. Verified, and the door opens.")
	return s.hasOpened(ctx)
}

// openings counts how often the lobby has really opened.
func (s *Story) openings(ctx context.Context) (int, error) {
	answer, err := s.LobbyPanel.Get(ctx, "/sim")
	return len(answer.Body.List("opened")), err
}

// hasOpened checks that the lobby opened as often as it should, and the garage never.
func (s *Story) hasOpened(ctx context.Context) error {
	if err := until(ctx, fmt.Sprintf("opening %d of the lobby", s.opened), func() (bool, error) {
		opened, err := s.openings(ctx)
		return opened >= s.opened, err
	}); err != nil {
		return err
	}
	opened, err := s.openings(ctx)
	if err == nil && opened != s.opened {
		err = fmt.Errorf("the lobby opened %d times instead of %d", opened, s.opened)
	}
	garage, garageErr := s.GaragePanel.Get(ctx, "/sim")
	if garageErr == nil && len(garage.Body.List("opened")) > 0 {
		garageErr = errors.New("the garage opened")
	}
	return errors.Join(err, garageErr)
}

// press is Ana pressing the lock on her phone. Repeated after a crash it is the
// same press.
func (s *Story) press(ctx context.Context, what string) (Answer, error) {
	return s.guest.Post(ctx, s.path("unlock"), s.key(what), map[string]any{"entrance_id": s.Lobby})
}

// Unlock presses the lock that opens. It returns the id of the event that records
// the opening.
func (s *Story) Unlock(ctx context.Context) (eventID string, err error) {
	answer, err := s.press(ctx, "unlock")
	if err != nil {
		return "", err
	}
	return answer.Body.Text("event_id"), expect(answer, "the unlock", http.StatusOK)
}

func (s *Story) unlock(ctx context.Context) error {
	begin := time.Now()
	if _, err := s.Unlock(ctx); err != nil {
		return err
	}
	s.tell("She taps the lock on her phone: the door opens after %d ms.", time.Since(begin).Milliseconds())
	s.opened = 2
	return s.hasOpened(ctx)
}

func (s *Story) told(ctx context.Context) error {
	m, err := s.arrives(ctx, s.HostMail, "entrance_unlocked", s.opened)
	if err != nil {
		return err
	}
	s.tell("Rosa's phone: %q", m.Text("subject"))
	return nil
}

func (s *Story) lapse(ctx context.Context) error {
	err := until(ctx, "the lapse of the verification", func() (bool, error) {
		entrance, err := s.entrance(ctx)
		return entrance.Text("reason") == "verification_required", err
	})
	if err != nil {
		return err
	}
	answer, err := s.press(ctx, "unlock lapsed")
	if err := refused(answer, err, "unlocking after a quiet time", "verification_required"); err != nil {
		return err
	}
	if _, err := s.arrives(ctx, s.GuestMail, "verification_required", 1); err != nil {
		return err
	}
	s.tell("After %s without use: %s", s.Quiet, answer.Body.Text("detail"))
	return nil
}

func (s *Story) end(ctx context.Context) error {
	err := until(ctx, "the end of the window", func() (bool, error) {
		answer, err := s.Engine.Get(ctx, "/v1/invitations/"+s.Invitation)
		return answer.Body.Text("state") == "ended", err
	})
	if err != nil {
		return err
	}
	if time.Now().Before(s.Ends) {
		return errors.New("it ended before its time")
	}
	answer, err := s.press(ctx, "unlock ended")
	if err := refused(answer, err, "unlocking after the end", "outside_window"); err != nil {
		return err
	}
	s.tell("The window ends. She taps the lock once more: %s", answer.Body.Text("detail"))
	return s.hasOpened(ctx)
}
