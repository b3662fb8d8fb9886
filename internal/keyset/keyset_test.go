package keyset_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/keyset"
)

func create(t *testing.T) (*keyset.Keyset, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	keys, err := keyset.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys, path
}

func seal(t *testing.T, keys *keyset.Keyset, purpose, plaintext string) []byte {
	t.Helper()
	sealed, err := keys.Seal(purpose, []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// What one process has sealed and indexed, the next one opens and finds.
func TestKeysetOutlivesItsProcess(t *testing.T) {
	keys, path := create(t)
	sealed, index := seal(t, keys, "link", "a secret"), keys.Index("email", "ana@example.com")

	again, err := keyset.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := again.Unseal("link", sealed); err != nil || string(plaintext) != "a secret" {
		t.Errorf("Unseal = %q, %v", plaintext, err)
	}
	if !bytes.Equal(again.Index("email", "ana@example.com"), index) {
		t.Error("the same address has another index after a restart")
	}
}

func TestOnlyItsOwnerCanReadTheFile(t *testing.T) {
	_, path := create(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

// Lose the keyset and the data is lost: nothing may replace it by accident.
func TestCreateNeverOverwrites(t *testing.T) {
	_, path := create(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyset.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create on an existing file: %v, want fs.ErrExist", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the keyset was changed")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files are left, want the keyset alone", len(entries))
	}
}

func TestLoadRefusesWhatIsNoKeyset(t *testing.T) {
	if _, err := keyset.Load(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
	_, whole := create(t)
	document, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":     "",
		"no JSON":   "keys",
		"no keys":   "{}",
		"cut short": string(document[:len(document)/2]),
		"no index":  strings.Replace(string(document), `"index"`, `"other"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyset.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := keyset.Load(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("Load = %v, want an error that names the file", err)
			}
		})
	}
}

// A sealed value opens for its purpose and its keyset only, and not when a bit of
// it was changed.
func TestSealedOpensForItsPurposeOnly(t *testing.T) {
	keys, _ := create(t)
	other, _ := create(t)
	sealed := seal(t, keys, "link", "a secret")
	if bytes.Contains(sealed, []byte("a secret")) {
		t.Fatal("sealed is readable")
	}
	if bytes.Equal(sealed, seal(t, keys, "link", "a secret")) {
		t.Error("sealing twice gives the same bytes: equal secrets can be told")
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return keys.Unseal("message", sealed) },
		"another keyset":  func() ([]byte, error) { return other.Unseal("link", sealed) },
		"changed":         func() ([]byte, error) { return keys.Unseal("link", changed) },
		"nothing":         func() ([]byte, error) { return keys.Unseal("link", nil) },
	} {
		if plaintext, err := open(); err == nil {
			t.Errorf("%s: opened as %q", name, plaintext)
		}
	}
}

func TestIndexTellsValuesPurposesAndKeysetsApart(t *testing.T) {
	keys, _ := create(t)
	other, _ := create(t)
	seen := map[string]string{}
	for name, index := range map[string][]byte{
		"value":           keys.Index("email", "ana@example.com"),
		"another value":   keys.Index("email", "ben@example.com"),
		"another purpose": keys.Index("network", "ana@example.com"),
		"another keyset":  other.Index("email", "ana@example.com"),
	} {
		if len(index) != 32 {
			t.Errorf("%s: %d bytes, want 32", name, len(index))
		}
		if same, found := seen[string(index)]; found {
			t.Errorf("%s and %s have the same index", name, same)
		}
		seen[string(index)] = name
	}
}
