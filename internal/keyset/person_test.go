package keyset_test

import (
	"testing"

	"latchkey/internal/keyset"
)

func person(t *testing.T, keys *keyset.Keyset, id string) (*keyset.PersonCipher, []byte) {
	t.Helper()
	wrapped, err := keys.NewDataKey(id)
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := keys.PersonCipher(id, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return cipher, wrapped
}

func sealField(t *testing.T, cipher *keyset.PersonCipher, field, plaintext string) []byte {
	t.Helper()
	sealed, err := cipher.Seal(field, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestPersonReadsTheirFields(t *testing.T) {
	keys, _ := create(t)
	first, wrapped := person(t, keys, "per_ana")
	again, err := keys.PersonCipher("per_ana", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "Ana", "杏奈", "🔑"} {
		if got, err := again.Unseal("name", sealField(t, first, "name", text)); err != nil || got != text {
			t.Errorf("Unseal = %q, %v, want %q", got, err, text)
		}
	}
	if got, err := again.Unseal("mobile", nil); err != nil || got != "" {
		t.Errorf("a field that was never written = %q, %v", got, err)
	}
}

// Whoever can write to the database cannot move one person's field or key to
// another (E7).
func TestFieldsAndKeysCannotBeSwapped(t *testing.T) {
	keys, _ := create(t)
	ana, wrapped := person(t, keys, "per_ana")
	ben, _ := person(t, keys, "per_ben")
	name := sealField(t, ana, "name", "Ana")
	if got, err := ana.Unseal("email", name); err == nil {
		t.Errorf("a name opened as an address: %q", got)
	}
	if got, err := ben.Unseal("name", name); err == nil {
		t.Errorf("Ana's name opened as Ben's: %q", got)
	}
	if _, err := keys.PersonCipher("per_ben", wrapped); err == nil {
		t.Error("Ana's key opened as Ben's")
	}
}

// Erasing is forgetting the wrapped key: a new key of the same person, made by
// the same keyset, does not read what the old one wrote (E7).
func TestErasedStaysErased(t *testing.T) {
	keys, _ := create(t)
	before, _ := person(t, keys, "per_ana")
	name := sealField(t, before, "name", "Ana")
	after, _ := person(t, keys, "per_ana")
	if got, err := after.Unseal("name", name); err == nil {
		t.Errorf("opened after the key was dropped: %q", got)
	}
}
