package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/directory"
	"latchkey/internal/store"
)

func TestFirstKeyIsWrittenDownBeforeTheAccountExists(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	full := errors.New("disk full")
	if _, err := w.CreateAccount(ctx, "Harbour", func(string) error { return full }, noon); !errors.Is(err, full) {
		t.Fatalf("CreateAccount = %v", err)
	}
	if exists, err := w.HasAccount(ctx); err != nil || exists {
		t.Fatalf("an account that nobody can use: %v, %v", exists, err)
	}
	var secret string
	account, err := w.CreateAccount(ctx, "Harbour", func(s string) error { secret = s; return nil }, noon)
	w.ok(err)
	k, err := w.Authenticate(ctx, secret)
	w.ok(err)
	if k.AccountID != account.ID || len(k.Scopes) != 1 || k.Scopes[0] != directory.ScopeAdmin {
		t.Errorf("the first key is %+v", k)
	}
}

func TestOnlyAnExactLiveSecretAuthenticates(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	accountID := w.account("Harbour")
	k, secret, err := w.CreateAPIKey(ctx, accountID, "app", []directory.Scope{directory.ScopeRead, directory.ScopeUnlock}, noon)
	w.ok(err)
	if !strings.HasPrefix(secret, "lk_") || len(secret) != len("lk_")+43 {
		t.Errorf("a secret of the form %d characters", len(secret))
	}
	found, err := w.Authenticate(ctx, secret)
	w.ok(err)
	if found.ID != k.ID || len(found.Scopes) != 2 || found.Name != "app" {
		t.Errorf("found %+v", found)
	}
	for _, wrong := range []string{"", "lk_", secret[:len(secret)-1], secret + "A", strings.ToLower(secret), k.ID} {
		_, err := w.Authenticate(ctx, wrong)
		w.refused(err, directory.CodeNotFound)
	}
	w.ok(w.RevokeAPIKey(ctx, accountID, k.ID, noon))
	_, err = w.Authenticate(ctx, secret)
	w.refused(err, directory.CodeNotFound)
	w.refused(w.RevokeAPIKey(ctx, accountID, k.ID, noon), directory.CodeNotFound)
	if keys, _, err := w.APIKeys(ctx, accountID, store.Page{}); err != nil || len(keys) != 1 {
		t.Errorf("keys %+v, %v, want the first alone", keys, err)
	}
}

// A key that has been revoked opens nothing any more, however busy it was at that
// moment.
func TestARevokedKeyIsUnknownAtOnce(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	accountID := w.account("Harbour")
	for range 20 {
		k, secret, err := w.CreateAPIKey(ctx, accountID, "app", []directory.Scope{directory.ScopeRead}, noon)
		w.ok(err)
		var busy sync.WaitGroup
		for range 4 {
			busy.Go(func() {
				for {
					if _, err := w.Authenticate(ctx, secret); err != nil {
						return
					}
				}
			})
		}
		w.ok(w.RevokeAPIKey(ctx, accountID, k.ID, noon))
		for range 20 {
			_, err := w.Authenticate(ctx, secret)
			w.refused(err, directory.CodeNotFound)
		}
		busy.Wait()
	}
}

// An account never loses its last admin key, neither by revoking nor by a change
// of scopes, nor by both at once.
func TestTheLastAdminKeyStays(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	accountID := w.account("Harbour")
	keys, _, err := w.APIKeys(ctx, accountID, store.Page{})
	w.ok(err)
	first := keys[0].ID
	demote := func(k *directory.APIKey) error { k.Scopes = []directory.Scope{directory.ScopeRead}; return nil }

	w.refused(w.RevokeAPIKey(ctx, accountID, first, noon), directory.CodeConflict)
	_, err = w.UpdateAPIKey(ctx, accountID, first, demote, noon)
	w.refused(err, directory.CodeConflict)
	renamed, err := w.UpdateAPIKey(ctx, accountID, first, func(k *directory.APIKey) error { k.Name = "Main"; return nil }, noon)
	w.ok(err)
	if renamed.Name != "Main" || renamed.Scopes[0] != directory.ScopeAdmin {
		t.Errorf("renamed to %+v", renamed)
	}

	second, _, err := w.CreateAPIKey(ctx, accountID, "second", []directory.Scope{directory.ScopeAdmin}, noon)
	w.ok(err)
	var group sync.WaitGroup
	group.Go(func() { _ = w.RevokeAPIKey(ctx, accountID, first, noon) }) // one of the two is refused
	group.Go(func() { _, _ = w.UpdateAPIKey(ctx, accountID, second.ID, demote, noon) })
	group.Wait()
	if n := w.number(`SELECT count(*) FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL AND 'admin' = ANY(scopes)`, accountID); n != 1 {
		t.Errorf("%d admin keys are left, want 1", n)
	}
}
