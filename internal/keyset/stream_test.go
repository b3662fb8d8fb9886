package keyset_test

import (
	"bytes"
	"io"
	"testing"

	"latchkey/internal/keyset"
)

// sealStream encrypts content as a person's field.
func sealStream(t *testing.T, c *keyset.PersonCipher, field string, content []byte) []byte {
	t.Helper()
	var sealed bytes.Buffer
	w, err := c.SealStream(&sealed, field)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealed.Bytes()
}

func unsealStream(c *keyset.PersonCipher, field string, sealed []byte) ([]byte, error) {
	r, err := c.UnsealStream(bytes.NewReader(sealed), field)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// K7: a photo opens as that field of that person, whole and unchanged, and no other
// way.
func TestStreams(t *testing.T) {
	keys, _ := create(t)
	vera, _ := person(t, keys, "per_vera")
	max, _ := person(t, keys, "per_max")
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 7} {
		content := bytes.Repeat([]byte{'p'}, size)
		sealed := sealStream(t, vera, "photo", content)
		if opened, err := unsealStream(vera, "photo", sealed); err != nil || !bytes.Equal(opened, content) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(opened), err)
		}
		if size > 0 && bytes.Contains(sealed, content[:min(size, 64)]) && size > 16 {
			t.Errorf("%d bytes can be read as they are", size)
		}
		changed := bytes.Clone(sealed)
		changed[len(changed)-1] ^= 1
		for name, open := range map[string]func() ([]byte, error){
			"another person":  func() ([]byte, error) { return unsealStream(max, "photo", sealed) },
			"another field":   func() ([]byte, error) { return unsealStream(vera, "notes", sealed) },
			"changed":         func() ([]byte, error) { return unsealStream(vera, "photo", changed) },
			"cut off":         func() ([]byte, error) { return unsealStream(vera, "photo", sealed[:len(sealed)-1]) },
			"without its end": func() ([]byte, error) { return unsealStream(vera, "photo", sealed[:min(len(sealed)-1, 1<<20)]) },
		} {
			if opened, err := open(); err == nil {
				t.Errorf("%d bytes, %s: opened as %d bytes", size, name, len(opened))
			}
		}
	}
}
