package keyset

import (
	"crypto/rand"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// PersonCipher encrypts the fields of one person.
type PersonCipher struct {
	cipher   *subtle.AESGCM
	personID string
	key      []byte
}

// NewDataKey makes the data key of a person, wrapped by the keyset. The wrapped
// form is what is stored; it is bound to the person's id.
func (k *Keyset) NewDataKey(personID string) (wrapped []byte, err error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return k.Seal("person/"+personID, key)
}

// PersonCipher opens a person's data key.
func (k *Keyset) PersonCipher(personID string, wrapped []byte) (*PersonCipher, error) {
	key, err := k.Unseal("person/"+personID, wrapped)
	if err != nil {
		return nil, err
	}
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	return &PersonCipher{cipher: cipher, personID: personID, key: key}, nil
}

// Seal encrypts a field. The ciphertext opens only as the same field of the same
// person, so that rows cannot be swapped.
func (c *PersonCipher) Seal(field, plaintext string) ([]byte, error) {
	return c.cipher.Encrypt([]byte(plaintext), []byte(c.personID+"/"+field))
}

// Unseal decrypts a field. Nothing decrypts to nothing.
func (c *PersonCipher) Unseal(field string, sealed []byte) (string, error) {
	if sealed == nil {
		return "", nil
	}
	plaintext, err := c.cipher.Decrypt(sealed, []byte(c.personID+"/"+field))
	return string(plaintext), err
}
