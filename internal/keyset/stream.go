package keyset

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// What is as large as a photo is encrypted in segments, so that it can be read and
// written without being held twice, and a cut or swapped segment is noticed.
const (
	streamKeySize     = 32
	streamSegmentSize = 1 << 20
)

// SealStream encrypts what is written to the returned writer into dst. The
// ciphertext is whole once the writer is closed; it opens only as the same field
// of the same person.
func (c *PersonCipher) SealStream(dst io.Writer, field string) (io.WriteCloser, error) {
	stream, err := c.stream()
	if err != nil {
		return nil, err
	}
	return stream.NewEncryptingWriter(dst, c.bound(field))
}

// UnsealStream decrypts what SealStream made. Reading fails where the ciphertext
// was changed or cut off; nothing that was read before the end is to be trusted.
func (c *PersonCipher) UnsealStream(src io.Reader, field string) (io.Reader, error) {
	stream, err := c.stream()
	if err != nil {
		return nil, err
	}
	return stream.NewDecryptingReader(src, c.bound(field))
}

func (c *PersonCipher) stream() (*subtle.AESGCMHKDF, error) {
	// A key of its own: one key is used with one algorithm.
	key, err := hkdf.Key(sha256.New, c.key, nil, "latchkey/stream", streamKeySize)
	if err != nil {
		return nil, fmt.Errorf("streaming encryption: %w", err)
	}
	stream, err := subtle.NewAESGCMHKDF(key, "SHA256", streamKeySize, streamSegmentSize, 0)
	if err != nil {
		return nil, fmt.Errorf("streaming encryption: %w", err)
	}
	return stream, nil
}

// bound is the data that a ciphertext is bound to.
func (c *PersonCipher) bound(field string) []byte { return []byte(c.personID + "/" + field) }
