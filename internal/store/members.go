package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

const memberColumns = `SELECT id, account_id, person_id, role, property_ids, preferences, created_at, updated_at, revision FROM members WHERE removed_at IS NULL`

// scanMember reads a member whose person has only an id yet.
func scanMember(row pgx.CollectableRow) (m directory.Member, err error) {
	var preferences []byte
	err = row.Scan(&m.ID, &m.AccountID, &m.Person.ID, &m.Role, &m.PropertyIDs, &preferences, &m.CreatedAt, &m.UpdatedAt, &m.Revision)
	if err == nil {
		err = json.Unmarshal(preferences, &m.Preferences)
	}
	m.CreatedAt, m.UpdatedAt = m.CreatedAt.UTC(), m.UpdatedAt.UTC()
	return m, err
}

// CreateMember adds a member. An address is one member's only.
func (s *Store) CreateMember(ctx context.Context, m directory.Member, now time.Time) (directory.Member, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		m, err = s.insertMember(ctx, tx, m, now)
		return err
	})
	return m, err
}

func (s *Store) insertMember(ctx context.Context, tx pgx.Tx, m directory.Member, now time.Time) (directory.Member, error) {
	if err := checkMember(ctx, tx, &m); err != nil {
		return m, err
	}
	index, err := s.emailIndexOf(m.Person.Email)
	if err != nil {
		return m, directory.Invalid("body.email", err.Error())
	}
	m.ID, m.Revision, m.CreatedAt, m.UpdatedAt = newID("mem"), 1, instant(now), instant(now)
	m.Person.CreatedAt = m.CreatedAt
	if m.Person.ID, err = s.insertPerson(ctx, tx, m.AccountID, m.Person); err != nil {
		return m, err
	}
	preferences, err := json.Marshal(m.Preferences)
	if err != nil {
		return m, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO members (id, account_id, person_id, role, property_ids, preferences, email_index, created_at, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
		m.ID, m.AccountID, m.Person.ID, m.Role, nonNil(m.PropertyIDs), preferences, index, m.CreatedAt, m.Revision)
	return m, addressTaken(err)
}

// checkMember refuses a role that is none and properties that the account does not
// have.
func checkMember(ctx context.Context, tx pgx.Tx, m *directory.Member) error {
	m.Person.Locale = cmp.Or(m.Person.Locale, defaultLocale)
	if err := checkPerson(m.Person); err != nil {
		return err
	}
	switch m.Role {
	case directory.RoleManager, directory.RoleHost, directory.RoleResident, directory.RoleStaff:
	default:
		return directory.Invalid("body.role", "role must be manager, host, resident or staff.")
	}
	return propertiesExist(ctx, tx, m.AccountID, m.PropertyIDs)
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func addressTaken(err error) error {
	if violates(err, "members_account_id_email_index_key") {
		return &directory.Error{Code: directory.CodeConflict, Detail: "Another member of this account has this address. Change that member instead.",
			Fields: []directory.Field{{Location: "body.email", Message: "taken"}}}
	}
	return err
}

func propertiesExist(ctx context.Context, tx pgx.Tx, accountID string, ids []string) error {
	for _, id := range ids {
		if _, err := propertyIn(ctx, tx, accountID, id); err != nil {
			return err
		}
	}
	return nil
}

// EnsureMember finds the member with this address or makes a resident of the
// property, and gives a known one a place there (I1).
func (s *Store) EnsureMember(ctx context.Context, tx pgx.Tx, accountID, name, address, propertyID string, now time.Time) (memberID string, err error) {
	index, err := s.emailIndexOf(address)
	if err != nil {
		return "", directory.Invalid("body.inviter.email", err.Error())
	}
	var properties []string
	find := func() error {
		return tx.QueryRow(ctx, `SELECT id, property_ids FROM members WHERE account_id = $1 AND email_index = $2 AND removed_at IS NULL FOR UPDATE`, accountID, index).
			Scan(&memberID, &properties)
	}
	if err = find(); isNoRows(err) { // many invitations of one new inviter at once still make one member
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1 || encode($2, 'hex'), 3))`, accountID, index); err != nil {
			return "", err
		}
		err = find()
	}
	switch {
	case isNoRows(err):
		m, err := s.insertMember(ctx, tx, directory.Member{
			AccountID: accountID, Role: directory.RoleResident, PropertyIDs: []string{propertyID},
			Person:      directory.Person{Name: name, Email: address, Locale: "en"},
			Preferences: directory.Preferences{Unlocks: directory.NotifyEmail},
		}, now)
		return m.ID, err
	case err != nil || slices.Contains(properties, propertyID):
		return memberID, err
	}
	_, err = tx.Exec(ctx, `UPDATE members SET property_ids = array_append(property_ids, $2), updated_at = $3, revision = revision + 1 WHERE id = $1`,
		memberID, propertyID, instant(now))
	return memberID, err
}

// Members lists an account's members, newest first.
func (s *Store) Members(ctx context.Context, accountID string, page Page) ([]directory.Member, string, error) {
	members, next, err := list(ctx, s, memberColumns+` AND account_id = $1`, accountID, "", page, scanMember, func(m directory.Member) string { return m.ID })
	if err != nil {
		return nil, "", err
	}
	for n := range members {
		if members[n].Person, err = s.person(ctx, s.pool, members[n].Person.ID); err != nil {
			return nil, "", err
		}
	}
	return members, next, nil
}

// Member reads one member of the account.
func (s *Store) Member(ctx context.Context, accountID, id string) (directory.Member, error) {
	return s.member(ctx, s.pool, accountID, id, "")
}

func (s *Store) member(ctx context.Context, q querier, accountID, id, lock string) (directory.Member, error) {
	rows, err := q.Query(ctx, memberColumns+` AND account_id = $1 AND id = $2`+lock, accountID, id)
	m, err := one(rows, err, scanMember, "member", id)
	if err != nil {
		return m, err
	}
	m.Person, err = s.person(ctx, q, m.Person.ID)
	return m, err
}

// UpdateMember changes a member if it is still at the revision seen (0: any).
func (s *Store) UpdateMember(ctx context.Context, accountID, id string, seen int64, change func(*directory.Member) error, now time.Time) (m directory.Member, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if m, err = s.member(ctx, tx, accountID, id, " FOR UPDATE"); err != nil {
			return err
		}
		if seen != 0 && seen != m.Revision {
			return stale("member")
		}
		if err := change(&m); err != nil {
			return err
		}
		if err := checkMember(ctx, tx, &m); err != nil {
			return err
		}
		index, err := s.emailIndexOf(m.Person.Email)
		if err != nil {
			return directory.Invalid("body.email", err.Error())
		}
		if err := s.updatePerson(ctx, tx, m.Person); err != nil {
			return err
		}
		preferences, err := json.Marshal(m.Preferences)
		if err != nil {
			return err
		}
		m.Revision, m.UpdatedAt = m.Revision+1, instant(now)
		_, err = tx.Exec(ctx, `UPDATE members SET role = $2, property_ids = $3, preferences = $4, email_index = $5, updated_at = $6, revision = $7 WHERE id = $1`,
			m.ID, m.Role, nonNil(m.PropertyIDs), preferences, index, m.UpdatedAt, m.Revision)
		return addressTaken(err)
	})
	return m, err
}

// liveInvitation is the condition under which an invitation (as i) can still give
// access after the instant $2 (T0).
const liveInvitation = `i.state IN ('creating', 'invited', 'accepted') AND (i.ends_at IS NULL OR i.ends_at > $2) AND (i.state <> 'invited' OR i.expires_at > $2)`
