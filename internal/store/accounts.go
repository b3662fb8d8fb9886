package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

// HasAccount reports whether the database has any account yet.
func (s *Store) HasAccount(ctx context.Context) (exists bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM accounts)`).Scan(&exists)
	return exists, err
}

// CreateAccount adds a tenant with an admin key. keep is called with the key's
// secret before the account exists, so that it can be written down first: if keep
// fails there is no account.
func (s *Store) CreateAccount(ctx context.Context, name string, keep func(secret string) error, now time.Time) (a directory.Account, err error) {
	a = directory.Account{ID: newID("acc"), Name: name, CreatedAt: instant(now)}
	secret, hash, err := newSecret("lk_")
	if err != nil {
		return a, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, $3)`, a.ID, a.Name, a.CreatedAt); err != nil {
			return err
		}
		key := directory.APIKey{ID: newID("apk"), AccountID: a.ID, Name: "First admin key", Scopes: []directory.Scope{directory.ScopeAdmin}, CreatedAt: a.CreatedAt}
		if err := insertAPIKey(ctx, tx, key, hash); err != nil {
			return err
		}
		return keep(secret)
	})
	return a, err
}

// newSecret makes a secret of 256 random bits and the hash under which it is kept.
func newSecret(prefix string) (secret string, hash []byte, err error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", nil, err
	}
	secret = prefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, hashSecret(secret), nil
}

// hashSecret is how a random secret is stored. With 256 random bits a plain hash
// cannot be guessed, and a lookup by it takes the same time for every wrong one.
func hashSecret(secret string) []byte {
	digest := sha256.Sum256([]byte(secret))
	return digest[:]
}

func insertAPIKey(ctx context.Context, q querier, k directory.APIKey, hash []byte) error {
	_, err := q.Exec(ctx, `INSERT INTO api_keys (id, account_id, name, scopes, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		k.ID, k.AccountID, k.Name, k.Scopes, hash, k.CreatedAt)
	return err
}

const apiKeyColumns = `SELECT id, account_id, name, scopes, created_at FROM api_keys`

func scanAPIKey(row pgx.CollectableRow) (k directory.APIKey, err error) {
	err = row.Scan(&k.ID, &k.AccountID, &k.Name, &k.Scopes, &k.CreatedAt)
	k.CreatedAt = k.CreatedAt.UTC()
	return k, err
}

// CreateAPIKey makes a credential for an app. The secret is shown this once.
func (s *Store) CreateAPIKey(ctx context.Context, accountID, name string, scopes []directory.Scope, now time.Time) (k directory.APIKey, secret string, err error) {
	k = directory.APIKey{ID: newID("apk"), AccountID: accountID, Name: name, Scopes: scopes, CreatedAt: instant(now)}
	secret, hash, err := newSecret("lk_")
	if err != nil {
		return k, "", err
	}
	return k, secret, insertAPIKey(ctx, s.pool, k, hash)
}

// authenticationTTL is for how long a process believes that a key is still good
// without asking. A key that is deleted or changed by this process is forgotten at
// once; by another, after this time at the latest.
const authenticationTTL = time.Second

// authentications remembers the keys of the last moment, so that an app which
// calls often does not cost a query a call.
type authentications struct {
	mu        sync.Mutex
	known     map[string]authentication
	forgotten int // how often; what was read before is not believed after
}

type authentication struct {
	key   directory.APIKey
	until time.Time
}

func (a *authentications) get(hash []byte, now time.Time) (key directory.APIKey, ok bool, forgotten int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.known[string(hash)]
	return known.key, ok && now.Before(known.until), a.forgotten
}

func (a *authentications) put(hash []byte, key directory.APIKey, forgotten int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if forgotten != a.forgotten { // the key was deleted or changed while it was read
		return
	}
	if a.known == nil || len(a.known) > 1000 {
		a.known = map[string]authentication{}
	}
	a.known[string(hash)] = authentication{key: key, until: now.Add(authenticationTTL)}
}

func (a *authentications) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = nil
	a.forgotten++
}

// Authenticate finds the key behind a secret. An unknown or deleted one is not found.
func (s *Store) Authenticate(ctx context.Context, secret string) (directory.APIKey, error) {
	hash, now := hashSecret(secret), time.Now()
	key, ok, forgotten := s.authentications.get(hash, now)
	if ok {
		return key, nil
	}
	rows, err := s.pool.Query(ctx, apiKeyColumns+` WHERE hash = $1 AND revoked_at IS NULL`, hash)
	key, err = one(rows, err, scanAPIKey, "API key", "")
	if err == nil {
		s.authentications.put(hash, key, forgotten, now)
	}
	return key, err
}

// APIKeys lists an account's keys, newest first.
func (s *Store) APIKeys(ctx context.Context, accountID string, page Page) ([]directory.APIKey, string, error) {
	return list(ctx, s, apiKeyColumns+` WHERE account_id = $1 AND revoked_at IS NULL`, accountID, "", page, scanAPIKey,
		func(k directory.APIKey) string { return k.ID })
}

// APIKey reads one key.
func (s *Store) APIKey(ctx context.Context, accountID, id string) (directory.APIKey, error) {
	rows, err := s.pool.Query(ctx, apiKeyColumns+` WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL`, accountID, id)
	return one(rows, err, scanAPIKey, "API key", id)
}

// UpdateAPIKey changes name or scopes. The last admin key stays one.
func (s *Store) UpdateAPIKey(ctx context.Context, accountID, id string, change func(*directory.APIKey) error, _ time.Time) (k directory.APIKey, err error) {
	defer s.authentications.forget()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var otherAdmin bool
		if k, otherAdmin, err = lockAPIKey(ctx, tx, accountID, id); err != nil {
			return err
		}
		admin := slices.Contains(k.Scopes, directory.ScopeAdmin)
		if err := change(&k); err != nil {
			return err
		}
		if admin && !otherAdmin && !slices.Contains(k.Scopes, directory.ScopeAdmin) {
			return errLastAdminKey
		}
		_, err = tx.Exec(ctx, `UPDATE api_keys SET name = $3, scopes = $4 WHERE account_id = $1 AND id = $2`, accountID, id, k.Name, k.Scopes)
		return err
	})
	return k, err
}

// errLastAdminKey keeps an account manageable.
var errLastAdminKey = &directory.Error{Code: directory.CodeConflict, Detail: "This is the last admin key. Create another one first."}

// lockAPIKey reads a key and whether another one is an admin's. It locks all keys
// of the account, since two changes at once must not each rely on the other's key.
func lockAPIKey(ctx context.Context, tx pgx.Tx, accountID, id string) (k directory.APIKey, otherAdmin bool, err error) {
	rows, err := tx.Query(ctx, apiKeyColumns+` WHERE account_id = $1 AND revoked_at IS NULL ORDER BY id FOR UPDATE`, accountID)
	if err != nil {
		return k, false, err
	}
	keys, err := pgx.CollectRows(rows, scanAPIKey)
	if err != nil {
		return k, false, err
	}
	for _, known := range keys {
		if known.ID == id {
			k = known
		} else if slices.Contains(known.Scopes, directory.ScopeAdmin) {
			otherAdmin = true
		}
	}
	if k.ID == "" {
		return k, false, directory.NotFound("API key", id)
	}
	return k, otherAdmin, nil
}

// RevokeAPIKey deletes a key: from the next request on it is unknown. The last
// admin key stays, since nobody could make another.
func (s *Store) RevokeAPIKey(ctx context.Context, accountID, id string, now time.Time) error {
	defer s.authentications.forget()
	return s.inTx(ctx, func(tx pgx.Tx) error {
		_, otherAdmin, err := lockAPIKey(ctx, tx, accountID, id)
		if err != nil {
			return err
		}
		if !otherAdmin {
			return errLastAdminKey
		}
		_, err = tx.Exec(ctx, `UPDATE api_keys SET revoked_at = $3 WHERE account_id = $1 AND id = $2`, accountID, id, instant(now))
		return err
	})
}
