package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/email"
)

// The limits of signing in by code.
const (
	SignInCodeTTL     = 10 * time.Minute
	signInTries       = 5
	codesPerAddress   = 5  // an hour
	codesPerNetwork   = 20 // an hour
	signInLimitPeriod = time.Hour
	sessionTTL        = 30 * 24 * time.Hour
)

// CodeInvalidCode is the one answer to a wrong, used, replaced or expired code.
const CodeInvalidCode = "invalid_code"

// Session is a signed-in device of a person.
type Session struct {
	ID        string
	PersonID  string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// RateLimited says that codes were asked for too often, and when one can be asked
// for again.
type RateLimited struct{ RetryAt time.Time }

func (e *RateLimited) Error() string {
	return "rate_limited: too many sign-in codes were asked for"
}

// StartSignIn sends a code to an address, whether or not there is an account: the
// answer is the same. A new code voids the one before. The code goes to the
// normalised address, because that is what the sign-in will prove, in the first
// language of acceptLanguage, the header of that name.
func (s *Store) StartSignIn(ctx context.Context, address, acceptLanguage, network string, now time.Time) (attempt string, err error) {
	now = instant(now)
	normalised, err := email.Normalize(address)
	if err != nil {
		return "", directory.Invalid("body.email", err.Error())
	}
	code, err := sixDigits()
	if err != nil {
		return "", err
	}
	attempt, _, err = newSecret("att_")
	if err != nil {
		return "", err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := s.withinSignInLimits(ctx, tx, normalised, network, now); err != nil {
			return err
		}
		personID, err := s.ensureIdentity(ctx, tx, normalised, acceptLanguage, now)
		if err != nil {
			return err
		}
		secret, err := s.keys.Seal("message", []byte(code))
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE sign_in_attempts SET ended_at = $2 WHERE person_id = $1 AND ended_at IS NULL`, personID, now)
		batch.Queue(`UPDATE messages SET state = 'failed', secret = NULL, last_error = 'replaced' WHERE person_id = $1 AND template = $2 AND state = 'queued'`,
			personID, access.TemplateSignInCode) // nobody is sent a code that is void already
		batch.Queue(`INSERT INTO sign_in_attempts (id, person_id, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			hashSecretText(attempt), personID, s.codeHash(attempt, code), now, now.Add(SignInCodeTTL))
		batch.Queue(`INSERT INTO messages (id, person_id, template, secret, dedup_key, not_before, created_at) VALUES ($1, $2, $3, $4, $5, $6, $6)`,
			newID("msg"), personID, access.TemplateSignInCode, secret, "sign-in/"+hashSecretText(attempt), now)
		queueWake(batch, outboxWorkflowID, now)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return "", err
	}
	return attempt, nil
}

// codeHash is keyed, because six digits could otherwise be tried out, and bound to
// the attempt.
func (s *Store) codeHash(attempt, code string) []byte {
	return s.keys.Index("sign-in", attempt+"/"+code)
}

func hashSecretText(secret string) string { return fmt.Sprintf("%x", hashSecret(secret)) }

// sixDigits is a uniformly random code.
func sixDigits() (string, error) {
	const codes = 1_000_000
	const fair = (1 << 32) / codes * codes // numbers from here on would favour small codes
	var random [4]byte
	for {
		if _, err := rand.Read(random[:]); err != nil {
			return "", err
		}
		if n := uint64(binary.BigEndian.Uint32(random[:])); n < fair {
			return fmt.Sprintf("%06d", n%codes), nil
		}
	}
}

// withinSignInLimits counts the request and refuses it where there were too many.
func (s *Store) withinSignInLimits(ctx context.Context, tx pgx.Tx, address, network string, now time.Time) error {
	for _, limit := range []struct {
		subject []byte
		most    int
	}{
		{s.keys.Index("sign-in-address", address), codesPerAddress},
		{s.keys.Index("sign-in-network", network), codesPerNetwork},
	} {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 1))`, limit.subject); err != nil {
			return err
		}
		var count int
		var oldest *time.Time
		err := tx.QueryRow(ctx, `SELECT count(*), min(created_at) FROM sign_in_requests WHERE subject = $1 AND created_at > $2`,
			limit.subject, now.Add(-signInLimitPeriod)).Scan(&count, &oldest)
		if err != nil {
			return err
		}
		if count >= limit.most {
			return &RateLimited{RetryAt: orZero(oldest).Add(signInLimitPeriod)}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sign_in_requests (subject, created_at) VALUES ($1, $2)`, limit.subject, now); err != nil {
			return err
		}
	}
	return nil
}

// ensureIdentity finds the person behind an address or makes a place for them. It
// is an account only after the first sign-in.
func (s *Store) ensureIdentity(ctx context.Context, tx pgx.Tx, address, acceptLanguage string, now time.Time) (personID string, err error) {
	index, err := s.emailIndexOf(address)
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 2))`, index); err != nil {
		return "", err
	}
	err = tx.QueryRow(ctx, `SELECT id FROM people WHERE account_id IS NULL AND email_index = $1`, index).Scan(&personID)
	if !isNoRows(err) {
		return personID, err
	}
	return s.insertPerson(ctx, tx, "", directory.Person{Email: address, Locale: languageOf(acceptLanguage), CreatedAt: now})
}

// SignIn ends an attempt with its code and begins a session. The first sign-in
// makes the account. A code can be tried five times; then, or once it has been
// used, it is good for nothing.
func (s *Store) SignIn(ctx context.Context, attempt, code string, now time.Time) (token string, session Session, err error) {
	now = instant(now)
	token, hash, err := newSecret("ses_")
	if err != nil {
		return "", session, err
	}
	matched := false
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		matched = false
		var personID string
		var known []byte
		var tries int
		var expires time.Time
		err := tx.QueryRow(ctx, `UPDATE sign_in_attempts SET tries = tries + 1 WHERE id = $1 AND ended_at IS NULL
			RETURNING person_id, code_hash, tries, expires_at`, hashSecretText(attempt)).Scan(&personID, &known, &tries, &expires)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		matched = tries <= signInTries && now.Before(expires) && hmac.Equal(known, s.codeHash(attempt, code))
		if !matched {
			return nil // the try counts
		}
		session = Session{ID: newID("ses"), PersonID: personID, CreatedAt: now, ExpiresAt: now.Add(sessionTTL)}
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE sign_in_attempts SET ended_at = $2 WHERE id = $1`, hashSecretText(attempt), now)
		batch.Queue(`UPDATE people SET signed_in_at = coalesce(signed_in_at, $2) WHERE id = $1`, personID, now)
		batch.Queue(`INSERT INTO sessions (id, person_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			session.ID, personID, hash, session.CreatedAt, session.ExpiresAt)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err == nil && !matched {
		err = &directory.Error{Code: CodeInvalidCode, Detail: "This code is not valid (any more). Check it, or ask for a new one."}
	}
	if err != nil {
		return "", Session{}, err
	}
	return token, session, nil
}

const sessionColumns = `SELECT id, person_id, created_at, expires_at FROM sessions`

func scanSession(row pgx.CollectableRow) (session Session, err error) {
	err = row.Scan(&session.ID, &session.PersonID, &session.CreatedAt, &session.ExpiresAt)
	session.CreatedAt, session.ExpiresAt = session.CreatedAt.UTC(), session.ExpiresAt.UTC()
	return session, err
}

// Session finds the session behind a token. One that has ended is not found.
func (s *Store) Session(ctx context.Context, token string, now time.Time) (Session, error) {
	rows, err := s.pool.Query(ctx, sessionColumns+` WHERE hash = $1 AND ended_at IS NULL AND expires_at > $2`, hashSecret(token), instant(now))
	return one(rows, err, scanSession, "session", "")
}

// Sessions lists a person's live sessions, newest first.
func (s *Store) Sessions(ctx context.Context, personID string, now time.Time) ([]Session, error) {
	rows, err := s.pool.Query(ctx, sessionColumns+` WHERE person_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT 100`, personID, instant(now))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanSession)
}

// SignOut ends a session.
func (s *Store) SignOut(ctx context.Context, sessionID string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `UPDATE sessions SET ended_at = coalesce(ended_at, $2) WHERE id = $1`, sessionID, instant(now))
	return err
}
