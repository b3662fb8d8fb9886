package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// NewInvitation is what an app asks for: who invites whom to which entrances of
// which property, and when (I1). The inviter is named by id, or by name and
// address and then made a member if new.
type NewInvitation struct {
	AccountID   string
	PropertyID  string
	InviterID   string
	Inviter     directory.Person
	Guest       directory.Person
	EntranceIDs []string
	Window      access.Window
}

// Codes of refusals that only the directory can give.
const (
	CodeSharingDisabled      = "sharing_disabled"
	CodeEntranceNotShareable = "entrance_not_shareable"
	CodeGuestLimitReached    = "guest_limit_reached"
)

// ClaimInvitation checks the request against the directory and claims id, guest,
// link and idempotency key in one transaction (E2). What it returns is not an
// invitation yet: its workflow makes it one, and [Store.ReleaseInvitation] gives it
// up. claim may be nil.
func (s *Store) ClaimInvitation(ctx context.Context, n NewInvitation, claim *IdempotencyClaim, now time.Time) (access.Invitation, error) {
	now = instant(now)
	var inv access.Invitation
	if claim != nil && claim.ResourceID != "" { // an earlier run with this key got as far as here
		known, found, err := s.claimedInvitation(ctx, n.AccountID, claim.ResourceID)
		if err != nil || found {
			return known, err
		}
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		property, err := s.propertyForInvitation(ctx, tx, n)
		if err != nil {
			return err
		}
		inviterID := n.InviterID
		if inviterID == "" {
			inviterID, err = s.EnsureMember(ctx, tx, n.AccountID, n.Inviter.Name, n.Inviter.Email, n.PropertyID, now)
		} else {
			err = memberAt(ctx, tx, n.AccountID, inviterID, n.PropertyID, "body.inviter_id")
		}
		if err != nil {
			return err
		}
		guestID, err := s.ensureGuest(ctx, tx, n.AccountID, n.Guest, now)
		if err != nil {
			return err
		}
		inv = access.Invitation{
			ID: newID("inv"), AccountID: n.AccountID, PropertyID: n.PropertyID,
			InviterID: inviterID, GuestID: guestID, State: access.InvitationCreating,
			Window: n.Window, Entrances: n.EntranceIDs,
			TTL: property.Policy.InvitationTTL, Cooldown: property.Policy.ResendCooldown,
			CreatedAt: now, Ledger: access.Ledger{UpdatedAt: now},
		}
		guestIndex, err := s.emailIndexOf(n.Guest.Email)
		if err != nil {
			return err
		}
		if err := withinGuestLimit(ctx, tx, &inv, guestIndex, property.Policy.MaxGuestsPerInviter, now); err != nil {
			return err
		}
		if err := s.insertInvitation(ctx, tx, &inv); err != nil {
			return err
		}
		return setClaimResource(ctx, tx, claim, inv.ID)
	})
	return inv, err
}

func (s *Store) claimedInvitation(ctx context.Context, accountID, id string) (inv access.Invitation, found bool, err error) {
	var facts []byte
	err = s.pool.QueryRow(ctx, `SELECT facts FROM invitations WHERE id = $1 AND account_id = $2`, id, accountID).Scan(&facts)
	if isNoRows(err) {
		return inv, false, nil
	}
	if err == nil {
		err = json.Unmarshal(facts, &inv)
	}
	return inv, err == nil, err
}

// propertyForInvitation checks that the property shares all chosen entrances (I1, I12).
func (s *Store) propertyForInvitation(ctx context.Context, tx pgx.Tx, n NewInvitation) (directory.Property, error) {
	property, err := propertyIn(ctx, tx, n.AccountID, n.PropertyID)
	if err != nil {
		return property, err
	}
	if !property.Policy.SharingEnabled {
		return property, &directory.Error{Code: CodeSharingDisabled, Detail: "Sharing is switched off for this property. Its manager can switch it on."}
	}
	return property, entrancesShareable(ctx, tx, n.AccountID, n.PropertyID, n.EntranceIDs)
}

func entrancesShareable(ctx context.Context, tx pgx.Tx, accountID, propertyID string, ids []string) error {
	rows, err := tx.Query(ctx, `SELECT id, shareable FROM entrances WHERE account_id = $1 AND property_id = $2 AND id = ANY($3)
		FOR KEY SHARE`, accountID, propertyID, ids) // none of them is deleted before the invitation is there
	if err != nil {
		return err
	}
	shareable := map[string]bool{}
	var id string
	var ok bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &ok}, func() error { shareable[id] = ok; return nil }); err != nil {
		return err
	}
	for _, id := range ids {
		ok, known := shareable[id]
		if !known {
			e := directory.NotFound("entrance", id)
			e.Fields = []directory.Field{{Location: "body.entrance_ids", Message: e.Detail}}
			return e
		}
		if !ok {
			const say = "The manager has not made this entrance shareable. Choose another, or ask the manager."
			return &directory.Error{Code: CodeEntranceNotShareable, Detail: say,
				Fields: []directory.Field{{Location: "body.entrance_ids", Message: id + ": not shareable"}}}
		}
	}
	return nil
}

// memberAt refuses a member who has no role at a property. One who has is not removed
// before the item is there.
func memberAt(ctx context.Context, tx pgx.Tx, accountID, memberID, propertyID, field string) error {
	var properties []string
	err := tx.QueryRow(ctx, `SELECT property_ids FROM members WHERE account_id = $1 AND id = $2 AND removed_at IS NULL FOR KEY SHARE`, accountID, memberID).Scan(&properties)
	if isNoRows(err) {
		return directory.NotFound("member", memberID)
	}
	if err == nil && !slices.Contains(properties, propertyID) {
		return directory.Invalid(field, "This member has no role at the property. Add the property to the member first.")
	}
	return err
}

// ensureGuest finds the account's person with this name and address or adds one,
// so that a returning guest stays one person. A member's person is not the guest's:
// what becomes of the member is no change of the invitation.
func (s *Store) ensureGuest(ctx context.Context, tx pgx.Tx, accountID string, guest directory.Person, now time.Time) (string, error) {
	index, err := s.emailIndexOf(guest.Email)
	if err != nil {
		return "", directory.Invalid("body.guest.email", "Give the guest's email address, such as ana@example.com.")
	}
	rows, err := tx.Query(ctx, `SELECT id FROM people WHERE account_id = $1 AND email_index = $2 AND erased_at IS NULL
		AND NOT EXISTS (SELECT 1 FROM members m WHERE m.person_id = people.id) ORDER BY id DESC LIMIT 20`, accountID, index)
	if err != nil {
		return "", err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	return s.sameOrNewPerson(ctx, tx, accountID, ids, guest, now)
}

// sameOrNewPerson is the first of the known people who is the same in all that is
// known of them, or a new one.
func (s *Store) sameOrNewPerson(ctx context.Context, tx pgx.Tx, accountID string, ids []string, p directory.Person, now time.Time) (string, error) {
	for _, id := range ids {
		known, err := s.person(ctx, tx, id)
		if err != nil {
			return "", err
		}
		if known.Name == p.Name && known.Locale == p.Locale && known.Email == p.Email && known.Mobile == p.Mobile {
			return id, nil
		}
	}
	p.CreatedAt = now
	return s.insertPerson(ctx, tx, accountID, p)
}

func (s *Store) insertInvitation(ctx context.Context, tx pgx.Tx, inv *access.Invitation) error {
	_, sealed, hash, err := s.newInvitationToken() // the guest gets it by message; nobody else does
	if err != nil {
		return err
	}
	facts, err := json.Marshal(inv)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO invitations (id, account_id, property_id, inviter_id, guest_id, state, revision, facts, ends_at,
			guest_index, inviter_index, token_hash, token, created_at, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, 0, $7, $8,
			(SELECT email_index FROM people WHERE id = $5), (SELECT email_index FROM members WHERE id = $4), $9, $10, $11, $11`,
		inv.ID, inv.AccountID, inv.PropertyID, inv.InviterID, inv.GuestID, inv.State, facts, orNull(inv.Window.End),
		hash, sealed, inv.CreatedAt)
	return err
}

// ReleaseInvitation gives up a claim whose workflow could not be started. An
// invitation that the workflow has recorded stays.
func (s *Store) ReleaseInvitation(ctx context.Context, invitationID string) (released bool, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM invitations WHERE id = $1 AND state = 'creating'`, invitationID)
	return tag.RowsAffected() > 0, err
}

// StaleClaims lists claims made before an instant that no workflow has recorded:
// a process died between the two. The sweeper starts their workflows (E2).
func (s *Store) StaleClaims(ctx context.Context, before time.Time, limit int) ([]access.Invitation, error) {
	rows, err := s.pool.Query(ctx, `SELECT facts FROM invitations WHERE state = 'creating' AND created_at < $1 ORDER BY created_at LIMIT $2`, instant(before), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (inv access.Invitation, err error) {
		var facts []byte
		if err = row.Scan(&facts); err == nil {
			err = json.Unmarshal(facts, &inv)
		}
		return inv, err
	})
}

// AddNote keeps a person's own words, such as the reason of a revocation,
// encrypted under the key of the person they are about (E7).
func (s *Store) AddNote(ctx context.Context, accountID, personID, text string, now time.Time) (noteID string, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		noteID, err = s.addNote(ctx, tx, accountID, personID, text, now)
		return err
	})
	return noteID, err
}

func (s *Store) addNote(ctx context.Context, tx pgx.Tx, accountID, personID, text string, now time.Time) (noteID string, err error) {
	sealed, err := s.sealFor(ctx, tx, personID, "note", text)
	if err != nil {
		return "", err
	}
	noteID = newID("note")
	_, err = tx.Exec(ctx, `INSERT INTO notes (id, account_id, person_id, body, created_at) VALUES ($1, $2, $3, $4, $5)`,
		noteID, accountID, personID, sealed, instant(now))
	return noteID, err
}
