// Package keyset holds the keys that protect what is stored: one that encrypts,
// one that makes lookup values, and the data keys of people that they wrap.
//
// The keyset is a file. Lose it and the data is lost: names, addresses, links and
// the engine's own identity cannot be read without it. Whoever has it and the
// database can read everything, so it is made with mode 0600 and belongs into a
// backup apart from the database's.
//
// Three kinds of protection come from it:
//
//   - [Keyset.Seal] encrypts secrets that must be shown again, such as links.
//   - [Keyset.Index] is a keyed hash by which something can be found without being
//     readable, such as an address.
//   - [Keyset.NewDataKey] and [Keyset.PersonCipher] give every person a key of
//     their own. Erasing a person is forgetting their wrapped key; nothing that
//     was written under it can be read again, in any backup (BEHAVIOUR.md E7).
package keyset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	tink "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	primitive "github.com/tink-crypto/tink-go/v2/tink"
)

// Keyset is the opened keys. It is safe for concurrent use.
type Keyset struct {
	cipher primitive.AEAD
	index  *prf.Set
}

// file is the keyset on disk: two keysets in Tink's JSON form.
type file struct {
	Encryption json.RawMessage `json:"encryption"`
	Index      json.RawMessage `json:"index"`
}

// Load opens a keyset file. A missing one is fs.ErrNotExist.
func Load(path string) (*Keyset, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the keyset: %w", err)
	}
	var f file
	if err := json.Unmarshal(document, &f); err != nil {
		return nil, fmt.Errorf("%s is not a keyset file: %w", path, err)
	}
	encryption, err := read(f.Encryption)
	if err != nil {
		return nil, fmt.Errorf("%s: the encryption keys: %w", path, err)
	}
	index, err := read(f.Index)
	if err != nil {
		return nil, fmt.Errorf("%s: the index keys: %w", path, err)
	}
	return open(encryption, index)
}

// Create makes a new keyset in a file that only its owner can read. It never
// overwrites one: an existing file is fs.ErrExist.
func Create(path string) (*Keyset, error) {
	encryption, encryptionJSON, err := generate(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	index, indexJSON, err := generate(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, err
	}
	document, err := json.MarshalIndent(file{Encryption: encryptionJSON, Index: indexJSON}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, append(document, '\n')); err != nil {
		return nil, fmt.Errorf("write the keyset: %w", err)
	}
	return open(encryption, index)
}

// writeNew writes a file completely or not at all.
func writeNew(path string, document []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // linked by then, or of no use
	if _, err := temporary.Write(document); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Link(temporary.Name(), path) // fails if path exists
}

func generate(template *tinkpb.KeyTemplate) (*tink.Handle, json.RawMessage, error) {
	handle, err := tink.NewHandle(template)
	if err != nil {
		return nil, nil, err
	}
	var document bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, tink.NewJSONWriter(&document)); err != nil {
		return nil, nil, err
	}
	return handle, document.Bytes(), nil
}

func read(document json.RawMessage) (*tink.Handle, error) {
	return insecurecleartextkeyset.Read(tink.NewJSONReader(bytes.NewReader(document)))
}

func open(encryption, index *tink.Handle) (*Keyset, error) {
	cipher, err := aead.New(encryption)
	if err != nil {
		return nil, err
	}
	set, err := prf.NewPRFSet(index)
	if err != nil {
		return nil, err
	}
	return &Keyset{cipher: cipher, index: set}, nil
}

// Seal encrypts a secret. What was sealed for one purpose opens for no other.
func (k *Keyset) Seal(purpose string, plaintext []byte) ([]byte, error) {
	return k.cipher.Encrypt(plaintext, []byte(purpose))
}

// Unseal decrypts what [Keyset.Seal] made for the same purpose.
func (k *Keyset) Unseal(purpose string, sealed []byte) ([]byte, error) {
	plaintext, err := k.cipher.Decrypt(sealed, []byte(purpose))
	if err != nil {
		return nil, fmt.Errorf("open a sealed %s: is this the keyset that it was sealed with? %w", purpose, err)
	}
	return plaintext, nil
}

// Index is a keyed hash of a value: the same for the same purpose and value, and
// without the keyset neither invertible nor guessable.
func (k *Keyset) Index(purpose, value string) []byte {
	digest, err := k.index.ComputePrimaryPRF([]byte(purpose+"\x00"+value), 32)
	if err != nil { // only asking for more bytes than the hash has can fail
		return nil
	}
	return digest
}
