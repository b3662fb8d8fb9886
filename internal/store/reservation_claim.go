package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// NewReservation is what a host asks for: who may have which key, and when (K1, K2).
type NewReservation struct {
	AccountID      string
	KeyID          string
	HostID         string // empty: a manager of the key's property
	Visitor        directory.Person
	Window         access.Window // wall-clock ends are read in the property's zone
	ReturnReminder bool
	RequireID      bool
	AccessNotes    string
	Code           string // empty: a random one
	Exclusive      bool   // K14; one-time reservations only
}

// Channel is how a message reaches a person.
type Channel string

// The channels of messages (K3).
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
)

// ClaimReservation checks the request against the directory and claims id,
// visitor, code, link, window and idempotency key in one transaction (E2, K3, K14).
// What it returns is not a reservation yet: its workflow makes it one, and
// [Store.ReleaseReservation] gives it up. claim may be nil. It fails with a
// [*WindowTaken] where the key is somebody else's at that time.
func (s *Store) ClaimReservation(ctx context.Context, n NewReservation, claim *IdempotencyClaim, now time.Time) (access.Reservation, error) {
	now = instant(now)
	if claim != nil && claim.ResourceID != "" { // an earlier run with this key got as far as here
		known, found, err := s.claimedReservation(ctx, n.AccountID, claim.ResourceID)
		if err != nil || found {
			return known, err
		}
	}
	for try := 1; ; try++ {
		code, err := n.Code, error(nil)
		if code == "" {
			if code, err = newBookingCode(); err != nil {
				return access.Reservation{}, err
			}
		}
		r, err := s.claimReservation(ctx, n, code, claim, now)
		switch {
		case violates(err, "reservations_codes") && n.Code != "":
			return r, errCodeTaken
		case violates(err, "reservations_codes") && try < codeTries:
			continue
		default:
			return r, s.windowInTheWay(ctx, err, &r, r.Plan.Window)
		}
	}
}

func (s *Store) claimReservation(ctx context.Context, n NewReservation, code string, claim *IdempotencyClaim, now time.Time) (r access.Reservation, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		property, err := propertyOfKey(ctx, tx, n.AccountID, n.KeyID)
		if err != nil {
			return err
		}
		zone, err := time.LoadLocation(property.TimeZone)
		if err != nil {
			return err
		}
		plan, err := access.PlanReservation(n.Window, zone, property.Policy, now)
		if err != nil {
			return err
		}
		hostID, err := hostFor(ctx, tx, n.AccountID, n.HostID, property.ID)
		if err != nil {
			return err
		}
		visitorID, err := s.ensureVisitor(ctx, tx, n.AccountID, n.Visitor, now)
		if err != nil {
			return err
		}
		r = access.Reservation{
			ID: newID("res"), AccountID: n.AccountID, PropertyID: property.ID, KeyID: n.KeyID, HostID: hostID, VisitorID: visitorID,
			Kind: plan.Kind(), State: access.ReservationCreating, Exclusive: n.Exclusive && plan.Kind() == access.OneTime,
			ReturnReminder: n.ReturnReminder, Plan: plan, Document: access.IDDocument{Required: n.RequireID},
			CreatedAt: now, Ledger: access.Ledger{UpdatedAt: now},
		}
		if err := s.insertReservation(ctx, tx, &r, n, code); err != nil {
			return err
		}
		if err := claimWindow(ctx, tx, &r, plan.Window, time.Time{}); err != nil {
			return err
		}
		return setClaimResource(ctx, tx, claim, r.ID)
	})
	return r, err
}

func (s *Store) claimedReservation(ctx context.Context, accountID, id string) (r access.Reservation, found bool, err error) {
	var facts []byte
	err = s.pool.QueryRow(ctx, `SELECT facts FROM reservations WHERE id = $1 AND account_id = $2`, id, accountID).Scan(&facts)
	if isNoRows(err) {
		return r, false, nil
	}
	if err == nil {
		err = json.Unmarshal(facts, &r)
	}
	return r, err == nil, err
}

// propertyOfKey reads the property of a key, which is not deleted before the
// reservation is there.
func propertyOfKey(ctx context.Context, tx pgx.Tx, accountID, keyID string) (directory.Property, error) {
	var propertyID string
	err := tx.QueryRow(ctx, `SELECT property_id FROM keys WHERE account_id = $1 AND id = $2 FOR KEY SHARE`, accountID, keyID).Scan(&propertyID)
	if isNoRows(err) {
		return directory.Property{}, directory.NotFound("key", keyID)
	}
	if err != nil {
		return directory.Property{}, err
	}
	return propertyIn(ctx, tx, accountID, propertyID)
}

// hostFor is the member who gives the key: the one who was named, or the manager
// of the key's property who has been one the longest.
func hostFor(ctx context.Context, tx pgx.Tx, accountID, memberID, propertyID string) (string, error) {
	if memberID != "" {
		return memberID, memberAt(ctx, tx, accountID, memberID, propertyID, "body.host_id")
	}
	err := tx.QueryRow(ctx, `SELECT id FROM members WHERE account_id = $1 AND $2 = ANY(property_ids) AND role IN ('manager', 'host') AND removed_at IS NULL
		ORDER BY role = 'host', id LIMIT 1 FOR KEY SHARE`, accountID, propertyID).Scan(&memberID)
	if isNoRows(err) {
		return "", directory.Invalid("body.host_id", "The key's property has no manager and no host yet. Name the member who gives the key in host_id.")
	}
	return memberID, err
}

// ensureVisitor finds the account's person with this name, address and number or
// adds one, so that a returning visitor stays one person.
func (s *Store) ensureVisitor(ctx context.Context, tx pgx.Tx, accountID string, visitor directory.Person, now time.Time) (string, error) {
	if visitor.Email != "" {
		return s.ensureGuest(ctx, tx, accountID, visitor, now)
	}
	rows, err := tx.Query(ctx, `SELECT id FROM people WHERE account_id = $1 AND mobile_index = $2 AND email_index IS NULL AND erased_at IS NULL
		ORDER BY id DESC LIMIT 20`, accountID, s.mobileIndexOf(visitor.Mobile))
	if err != nil {
		return "", err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	return s.sameOrNewPerson(ctx, tx, accountID, ids, visitor, now)
}

func (s *Store) insertReservation(ctx context.Context, tx pgx.Tx, r *access.Reservation, n NewReservation, code string) error {
	sealedCode, err := s.keys.Seal("booking-code", []byte(code))
	if err != nil {
		return err
	}
	token, tokenHash, err := s.newVisitToken()
	if err != nil {
		return err
	}
	if n.AccessNotes != "" {
		if r.NotesID, err = s.addNote(ctx, tx, r.AccountID, r.VisitorID, n.AccessNotes, r.CreatedAt); err != nil {
			return err
		}
	}
	facts, err := json.Marshal(r)
	if err != nil {
		return err
	}
	channel := ChannelEmail
	if n.Visitor.Email == "" {
		channel = ChannelSMS
	}
	_, err = tx.Exec(ctx, `INSERT INTO reservations (id, account_id, property_id, key_id, host_id, visitor_id, state, revision, facts, starts_at, ends_at,
			channel, email_index, mobile_index, code, code_index, token, token_hash, created_at, updated_at)
		SELECT $1, $2, $3, $4, $5, p.id, $7, 0, $8, $9, $10, $11, p.email_index, p.mobile_index, $12, $13, $14, $15, $16, $16 FROM people p WHERE p.id = $6`,
		r.ID, r.AccountID, r.PropertyID, r.KeyID, r.HostID, r.VisitorID, r.State, facts, orNull(r.Plan.Window.Start), orNull(r.Plan.Window.End),
		channel, sealedCode, s.bookingCodeIndex(r.AccountID, code), token, tokenHash, r.CreatedAt)
	return err
}

// newVisitToken makes the secret of a booking URL: 256 random bits, encrypted
// because it is shown again, and a keyed hash to find it by.
func (s *Store) newVisitToken() (sealed, hash []byte, err error) {
	secret := make([]byte, 32)
	if _, err = rand.Read(secret); err != nil {
		return nil, nil, err
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	sealed, err = s.keys.Seal("visit-token", []byte(token))
	return sealed, s.keys.Index("visit-token", token), err
}

// ReleaseReservation gives up a claim whose workflow could not be started. A
// reservation that the workflow has recorded stays.
func (s *Store) ReleaseReservation(ctx context.Context, id string) (released bool, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM reservations WHERE id = $1 AND state = 'creating'`, id)
	return tag.RowsAffected() > 0, err
}

// StaleReservations is [Store.StaleClaims] for reservations (E2).
func (s *Store) StaleReservations(ctx context.Context, before time.Time, limit int) ([]access.Reservation, error) {
	rows, err := s.pool.Query(ctx, `SELECT facts FROM reservations WHERE state = 'creating' AND created_at < $1 ORDER BY created_at LIMIT $2`, instant(before), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r access.Reservation, err error) { return r, scanJSON(row, &r) })
}
