package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// The results of a verification attempt, as on the wire.
const (
	VerificationPending       = "pending"
	VerificationVerified      = "verified"
	VerificationWrongEntrance = "wrong_entrance"
	VerificationExpired       = "expired"
	verificationVoided        = "voided" // replaced by a newer token, or by a change of the invitation
)

// VerificationAttempt is a tap token and what became of it (I9).
type VerificationAttempt struct {
	ID        string
	Result    string
	ExpiresAt time.Time
	DecidedAt time.Time
}

// StartVerification makes a tap token for the guest: 60 seconds, single use, the
// only live one per guest and property (I9). It is refused where a tap could not
// succeed: nothing to open now, or no verification needed. q.EntranceID may be
// empty. The token itself is nowhere but in the answer.
func (s *Store) StartVerification(ctx context.Context, q activities.UnlockRequest, now time.Time) (token string, expires time.Time, err error) {
	now = instant(now)
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", expires, err
	}
	token = "tap_" + base64.RawURLEncoding.EncodeToString(secret)
	expires = now.Add(access.TapTokenTTL)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		f, entrances, err := s.tappable(ctx, tx, q, now)
		if err != nil {
			return err
		}
		inv := &f.Invitation
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE verifications v SET result = 'voided', decided_at = $2 FROM invitations i
			WHERE i.id = $1 AND v.guest_index = i.guest_index AND v.property_id = i.property_id AND v.result = 'pending'`, inv.ID, now)
		hash := sha256.Sum256([]byte(token))
		batch.Queue(`INSERT INTO verifications (id, account_id, invitation_id, property_id, guest_index, token_hash, created_at, expires_at)
			SELECT $1, account_id, id, property_id, guest_index, $3, $4, $5 FROM invitations WHERE id = $2`,
			newID("ver"), inv.ID, hash[:], now, expires)
		queueEvent(batch, directory.Event{
			ID: newID("evt"), AccountID: inv.AccountID, Type: access.EventVerificationStarted, At: now, RecordedAt: now, PropertyID: inv.PropertyID,
			ItemID: inv.ID, EntranceID: entrances, ActorID: inv.GuestID, Rule: "I9", DedupKey: newID("ver"),
		})
		return tx.SendBatch(ctx, batch).Close()
	})
	return token, expires, err
}

// tappable finds the invitation and refuses a token that could open nothing.
func (s *Store) tappable(ctx context.Context, tx pgx.Tx, q activities.UnlockRequest, now time.Time) (access.Facts, string, error) {
	f, err := s.factsFor(ctx, tx, q)
	if err != nil {
		return f, "", err
	}
	if f.Policy.Verification != access.VerificationOnSite {
		return f, "", &access.Refusal{Code: access.CodeVerificationUnused, Detail: "This property asks for no verification. Unlock the entrance directly."}
	}
	entrances := f.Invitation.Entrances
	if q.EntranceID != "" {
		entrances = []string{q.EntranceID}
	}
	first := access.Decision{Code: access.CodeNotShared, Rule: "I1", Detail: "No entrance is shared by this invitation."}
	for n, id := range entrances {
		q.EntranceID = id
		d, err := s.door(ctx, tx, q)
		if err != nil {
			return f, "", err
		}
		decision := access.DecideWithoutVerification(d.facts, d.entrance, now)
		if decision.Allowed {
			if len(entrances) == 1 {
				return f, id, nil
			}
			return f, "", nil
		}
		if n == 0 {
			first = decision
		}
	}
	return f, "", &DecisionError{Decision: first}
}

// factsFor is facts for a caller who may only see some invitations (E8).
func (s *Store) factsFor(ctx context.Context, tx pgx.Tx, q activities.UnlockRequest) (access.Facts, error) {
	var id string
	err := tx.QueryRow(ctx, `SELECT id FROM invitations WHERE id = $1 AND ($2 = '' OR account_id = $2) AND ($3::bytea IS NULL OR guest_index = $3) AND state <> 'creating'`,
		q.InvitationID, q.AccountID, q.GuestIndex).Scan(&id)
	if isNoRows(err) {
		return access.Facts{}, directory.NotFound("invitation", q.InvitationID)
	}
	if err != nil {
		return access.Facts{}, err
	}
	return s.facts(ctx, tx, id)
}

// LatestVerification is the newest attempt of an invitation, or none.
func (s *Store) LatestVerification(ctx context.Context, q activities.UnlockRequest, now time.Time) (attempt VerificationAttempt, found bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := s.factsFor(ctx, tx, q); err != nil {
			return err
		}
		var decided *time.Time
		err := tx.QueryRow(ctx, `SELECT id, result, expires_at, decided_at FROM verifications WHERE invitation_id = $1 ORDER BY created_at DESC LIMIT 1`, q.InvitationID).
			Scan(&attempt.ID, &attempt.Result, &attempt.ExpiresAt, &decided)
		if isNoRows(err) {
			return nil
		}
		found = err == nil
		attempt.DecidedAt = orZero(decided)
		return err
	})
	attempt.ExpiresAt = attempt.ExpiresAt.UTC()
	if attempt.Result == verificationVoided || attempt.Result == VerificationPending && !now.Before(attempt.ExpiresAt) {
		attempt.Result = VerificationExpired // T0
	}
	return attempt, found, err
}

// Tap is a phone held to a panel, as the panel reports it.
type Tap struct {
	PanelID    string
	TapID      string // the panel's own id for this tap: a repetition gets the same answer
	Token      string
	EntranceID string
	BootID     string
}

// TapDecision is the engine's answer to a tap. Command is set only with
// [VerificationVerified].
type TapDecision struct {
	Result  string
	Command *activities.Command
}

// DecideTap decides what a tap does, in one transaction on committed facts (I9).
// A token is good for one tap, whatever comes of it.
func (s *Store) DecideTap(ctx context.Context, tap Tap, now time.Time) (TapDecision, error) {
	now = instant(now)
	decision := TapDecision{Result: VerificationExpired}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		decision = TapDecision{Result: VerificationExpired}
		hash := sha256.Sum256([]byte(tap.Token))
		var id, invitationID, accountID, result string
		var tapID, commandID *string
		var expires time.Time
		err := tx.QueryRow(ctx, `SELECT v.id, v.invitation_id, v.account_id, v.result, v.tap_id, v.command_id, v.expires_at
			FROM verifications v JOIN panels n ON n.id = $2 AND n.account_id = v.account_id
			WHERE v.token_hash = $1 FOR UPDATE OF v`, hash[:], tap.PanelID).
			Scan(&id, &invitationID, &accountID, &result, &tapID, &commandID, &expires)
		switch {
		case isNoRows(err):
			return nil
		case err != nil:
			return err
		case result != VerificationPending:
			return s.tapAgain(ctx, tx, tap, result, deref(tapID), deref(commandID), &decision)
		case !now.Before(expires):
			return nil
		}
		d, err := s.door(ctx, tx, activities.UnlockRequest{AccountID: accountID, InvitationID: invitationID, EntranceID: tap.EntranceID})
		if err != nil {
			return err
		}
		if d.panelID != tap.PanelID {
			return directory.NotFound("entrance", tap.EntranceID)
		}
		decision, err = s.spendToken(ctx, tx, id, tap, d, now)
		return err
	})
	return decision, err
}

// tapAgain answers a tap whose first answer was lost on the way.
func (s *Store) tapAgain(ctx context.Context, tx pgx.Tx, tap Tap, result, tapID, commandID string, decision *TapDecision) error {
	if tapID != tap.TapID || result == verificationVoided {
		return nil
	}
	decision.Result = result
	if commandID == "" {
		return nil
	}
	again, known, err := s.commandAgain(ctx, tx, commandID)
	if err == nil && known && again.Outcome == nil {
		decision.Command = &again.Command
	}
	return err
}

func (s *Store) spendToken(ctx context.Context, tx pgx.Tx, attemptID string, tap Tap, d *door, now time.Time) (TapDecision, error) {
	inv := &d.facts.Invitation
	event := directory.Event{
		ID: newID("evt"), AccountID: inv.AccountID, At: now, RecordedAt: now, PropertyID: inv.PropertyID, ItemID: inv.ID,
		EntranceID: tap.EntranceID, PanelID: tap.PanelID, ActorID: inv.GuestID, Rule: "I9",
	}
	batch := &pgx.Batch{}
	spend := func(result, commandID string) {
		batch.Queue(`UPDATE verifications SET result = $2, entrance_id = $3, tap_id = $4, command_id = nullif($5, ''), decided_at = $6 WHERE id = $1`,
			attemptID, result, tap.EntranceID, tap.TapID, commandID, now)
	}
	decision := TapDecision{}
	allowed := access.DecideWithoutVerification(d.facts, d.entrance, now)
	switch {
	case allowed.Allowed:
		command := d.command(tap.EntranceID, now.Add(activities.CommandTTL))
		command.BootID = tap.BootID
		decision = TapDecision{Result: VerificationVerified, Command: &command}
		event.Type, event.DedupKey = access.EventVerificationSucceeded, attemptID+"/verified"
		spend(VerificationVerified, command.ID)
		batch.Queue(`UPDATE invitations SET verified_at = $2 WHERE id = $1`, inv.ID, now)
		queueEvent(batch, event)
		queueWake(batch, invitationWorkflow+inv.ID, now)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return decision, err
		}
		return decision, insertCommand(ctx, tx, d, command, "tap", activities.UnlockRequest{}, now)
	case allowed.Code == access.CodeNotShared && !slices.Contains(inv.Entrances, tap.EntranceID):
		decision.Result = VerificationWrongEntrance
		event.Type, event.Code, event.DedupKey = access.EventVerificationWrongEntrance, allowed.Code, attemptID+"/wrong_entrance"
		spend(VerificationWrongEntrance, "")
	default: // the access changed since the token was made: it is good for nothing any more
		decision.Result = VerificationExpired
		event.Type, event.Code, event.Rule, event.DedupKey = access.EventEntranceDenied, allowed.Code, allowed.Rule, attemptID+"/denied"
		spend(verificationVoided, "")
	}
	queueEvent(batch, event)
	return decision, tx.SendBatch(ctx, batch).Close()
}

// DecisionError is a rule's no to something other than an unlock, with its reason.
type DecisionError struct{ Decision access.Decision }

func (e *DecisionError) Error() string { return string(e.Decision.Code) + ": " + e.Decision.Detail }
