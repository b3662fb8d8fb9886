package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
	"latchkey/internal/email"
	"latchkey/internal/keyset"
)

// emailIndexOf is the lookup value of an address: the same for every spelling
// that rule I3 takes for the same.
func (s *Store) emailIndexOf(address string) ([]byte, error) {
	normalised, err := email.Normalize(address)
	if err != nil {
		return nil, err
	}
	return s.keys.Index("email", normalised), nil
}

// mobileIndexOf is the lookup value of an international number.
func (s *Store) mobileIndexOf(number string) []byte { return s.keys.Index("mobile", number) }

// insertPerson adds a person with a key of their own. An empty accountID makes an
// identity, which belongs to nobody but the person.
func (s *Store) insertPerson(ctx context.Context, tx pgx.Tx, accountID string, p directory.Person) (id string, err error) {
	id = newID("per")
	wrapped, err := s.keys.NewDataKey(id)
	if err != nil {
		return "", err
	}
	cipher, err := s.keys.PersonCipher(id, wrapped)
	if err != nil {
		return "", err
	}
	var index, mobileIndex []byte
	if p.Email != "" {
		if index, err = s.emailIndexOf(p.Email); err != nil {
			return "", err
		}
	}
	if p.Mobile != "" {
		mobileIndex = s.mobileIndexOf(p.Mobile)
	}
	name, errName := cipher.Seal("name", p.Name)
	address, errAddress := cipher.Seal("email", p.Email)
	mobile, errMobile := cipher.Seal("mobile", p.Mobile)
	if err := errors.Join(errName, errAddress, errMobile); err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO people (id, account_id, data_key, name, email, mobile, locale, email_index, mobile_index, created_at)
		VALUES ($1, nullif($2, ''), $3, $4, $5, $6, $7, $8, $9, $10)`,
		id, accountID, wrapped, name, address, mobile, cmp.Or(p.Locale, defaultLocale), index, mobileIndex, instant(p.CreatedAt))
	return id, err
}

// updatePerson replaces the personal fields of a person.
func (s *Store) updatePerson(ctx context.Context, tx pgx.Tx, p directory.Person) error {
	cipher, err := s.cipherOf(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	index, err := s.emailIndexOf(p.Email)
	if err != nil {
		return err
	}
	name, errName := cipher("name", p.Name)
	address, errAddress := cipher("email", p.Email)
	mobile, errMobile := cipher("mobile", p.Mobile)
	if err := errors.Join(errName, errAddress, errMobile); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE people SET name = $2, email = $3, mobile = $4, locale = $5, email_index = $6 WHERE id = $1`,
		p.ID, name, address, mobile, p.Locale, index)
	return err
}

// Person reads a person for the engine's own use, in whatever account.
func (s *Store) Person(ctx context.Context, id string) (directory.Person, error) {
	return s.person(ctx, s.pool, id)
}

// person reads and decrypts a person. One who was erased has no name and no address.
func (s *Store) person(ctx context.Context, q querier, id string) (directory.Person, error) {
	p := directory.Person{ID: id}
	var wrapped, name, address, mobile []byte
	var accountID *string
	err := q.QueryRow(ctx, `SELECT account_id, data_key, name, email, mobile, locale, created_at FROM people WHERE id = $1`, id).
		Scan(&accountID, &wrapped, &name, &address, &mobile, &p.Locale, &p.CreatedAt)
	if err != nil {
		return p, fmt.Errorf("person %s: %w", id, err)
	}
	p.AccountID, p.CreatedAt = deref(accountID), p.CreatedAt.UTC()
	if wrapped == nil {
		return p, nil
	}
	cipher, err := s.keys.PersonCipher(id, wrapped)
	if err != nil {
		return p, err
	}
	var errName, errAddress, errMobile error
	p.Name, errName = cipher.Unseal("name", name)
	p.Email, errAddress = cipher.Unseal("email", address)
	p.Mobile, errMobile = cipher.Unseal("mobile", mobile)
	return p, errors.Join(errName, errAddress, errMobile)
}

// cipherOf opens a person's key for writing.
func (s *Store) cipherOf(ctx context.Context, q querier, personID string) (seal func(field, plaintext string) ([]byte, error), err error) {
	cipher, err := s.personCipher(ctx, q, personID)
	if err != nil {
		return nil, err
	}
	return cipher.Seal, nil
}

// personCipher opens a person's key; one who was erased has none.
func (s *Store) personCipher(ctx context.Context, q querier, personID string) (*keyset.PersonCipher, error) {
	var wrapped []byte
	if err := q.QueryRow(ctx, `SELECT data_key FROM people WHERE id = $1`, personID).Scan(&wrapped); err != nil {
		return nil, fmt.Errorf("person %s: %w", personID, err)
	}
	if wrapped == nil {
		return nil, fmt.Errorf("person %s has been erased", personID)
	}
	return s.keys.PersonCipher(personID, wrapped)
}

// sealFor encrypts a text under a person's key.
func (s *Store) sealFor(ctx context.Context, q querier, personID, field, plaintext string) ([]byte, error) {
	seal, err := s.cipherOf(ctx, q, personID)
	if err != nil {
		return nil, err
	}
	return seal(field, plaintext)
}

// unsealFor decrypts what sealFor made; after an erasure there is nothing left.
func (s *Store) unsealFor(ctx context.Context, q querier, personID, field string, sealed []byte) (string, error) {
	var wrapped []byte
	if err := q.QueryRow(ctx, `SELECT data_key FROM people WHERE id = $1`, personID).Scan(&wrapped); err != nil {
		return "", fmt.Errorf("person %s: %w", personID, err)
	}
	if wrapped == nil {
		return "", nil
	}
	cipher, err := s.keys.PersonCipher(personID, wrapped)
	if err != nil {
		return "", err
	}
	return cipher.Unseal(field, sealed)
}

// Note reads a person's own words, such as the reason of a revocation.
func (s *Store) Note(ctx context.Context, noteID string) (string, error) {
	var personID string
	var body []byte
	if err := s.pool.QueryRow(ctx, `SELECT person_id, body FROM notes WHERE id = $1`, noteID).Scan(&personID, &body); err != nil {
		return "", fmt.Errorf("note %s: %w", noteID, err)
	}
	return s.unsealFor(ctx, s.pool, personID, "note", body)
}

// Identity reads the signed-in person behind a session.
func (s *Store) Identity(ctx context.Context, personID string) (directory.Person, error) {
	return s.person(ctx, s.pool, personID)
}

// PersonIndex is the lookup value of a signed-in person's address.
func (s *Store) PersonIndex(ctx context.Context, personID string) (index []byte, err error) {
	err = s.pool.QueryRow(ctx, `SELECT email_index FROM people WHERE id = $1`, personID).Scan(&index)
	return index, err
}
