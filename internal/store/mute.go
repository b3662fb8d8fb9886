package store

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"time"

	"latchkey/internal/directory"
)

// MuteToken is what lets whoever got an unlock notice switch these off: it is made
// of the person's id, so that it holds as long as they do.
func (s *Store) MuteToken(personID string) string {
	return personID + "." + base64.RawURLEncoding.EncodeToString(s.keys.Index("mute", personID)[:16])
}

// UnlocksMuted says whether unlock notices are switched off already, and in which
// language their reader is written to. An unknown token is not found.
func (s *Store) UnlocksMuted(ctx context.Context, token string) (locale string, muted bool, err error) {
	personID, err := s.mutedPerson(token)
	if err != nil {
		return "", false, err
	}
	err = s.pool.QueryRow(ctx, `SELECT p.locale, coalesce(m.preferences ->> 'unlocks' = 'muted', false) FROM members m JOIN people p ON p.id = m.person_id
		WHERE m.person_id = $1`, personID).Scan(&locale, &muted)
	if isNoRows(err) {
		return "", false, directory.NotFound("member", personID)
	}
	return locale, muted, err
}

// MuteUnlocks switches unlock notices off (I7). Doing it again changes nothing.
func (s *Store) MuteUnlocks(ctx context.Context, token string, now time.Time) (locale string, err error) {
	personID, err := s.mutedPerson(token)
	if err != nil {
		return "", err
	}
	_, err = s.pool.Exec(ctx, `UPDATE members SET preferences = preferences || '{"unlocks": "muted"}', updated_at = $2, revision = revision + 1
		WHERE person_id = $1 AND preferences ->> 'unlocks' IS DISTINCT FROM 'muted'`, personID, instant(now))
	if err != nil {
		return "", err
	}
	locale, _, err = s.UnlocksMuted(ctx, token)
	return locale, err
}

func (s *Store) mutedPerson(token string) (string, error) {
	personID, _, _ := strings.Cut(token, ".")
	if !hmac.Equal([]byte(token), []byte(s.MuteToken(personID))) {
		return "", directory.NotFound("member", personID)
	}
	return personID, nil
}
