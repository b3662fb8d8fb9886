package panel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// goldenCodeJWE is the code 48215937 of the grant res_1, encrypted to the key in
// testdata/booking_code.json. Encrypting is random, so that a box is held to this
// one, and any engine to what a box can read.
const goldenCodeJWE = "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTI1NkdDTSIsImVwayI6eyJrdHkiOiJFQyIsImNydiI6IlAtMjU2IiwieCI6IndhSEdUQ3hYZGliXzQ2VmNHVFA4eThDVGxLOEY1RWZxMzRZOVZwOTdXbEkiLCJ5IjoiTTRNV1VyYkVmQXlmNmctM0NHWnpMcVVVRjVxNTFFVXRKSkFIU0Z3cGpIOCJ9fQ..BmVNtaqUDv_sgWp9.-6UMfuQrt29e8WZZaG4P3pCS-ubByAH-UnlszGRhOsxPpUyJ7wE.wj4OgCrQmdVaQOUuOQpf5A"

// goldenBoxKey is the P-256 key of the golden files, from a scalar of 32 bytes 3.
var goldenBoxKey, errGoldenBoxKey = ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{3}, 32))

func boxKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	if errGoldenBoxKey != nil {
		t.Fatal(errGoldenBoxKey)
	}
	return goldenBoxKey
}

// The file has all that a vendor needs to check their decryption: key, JWE, code.
func TestBookingCodeOfTestdata(t *testing.T) {
	document, err := os.ReadFile("testdata/booking_code.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Key     jose.JSONWebKey `json:"key"`
		GrantID string          `json:"grant_id"`
		Code    string          `json:"code"`
		CodeJWE string          `json:"code_jwe"`
	}
	if err := json.Unmarshal(document, &golden); err != nil {
		t.Fatal(err)
	}
	key, ok := golden.Key.Key.(*ecdsa.PrivateKey)
	if !ok || !key.Equal(boxKey(t)) || golden.CodeJWE != goldenCodeJWE {
		t.Fatal("the file is not that of the golden messages")
	}
	if code, err := OpenCode(key, golden.GrantID, golden.CodeJWE); err != nil || code != golden.Code {
		t.Errorf("the code is %q, %v", code, err)
	}
}

// P1: a code can be read by the box that it is meant for, as that of its grant, and
// by nobody else.
func TestSealedCode(t *testing.T) {
	key := boxKey(t)
	sealed, err := SealCode(jose.JSONWebKey{Key: key.Public()}, "res_1", "48215937")
	if err != nil {
		t.Fatal(err)
	}
	if code, err := OpenCode(key, "res_1", sealed); err != nil || code != "48215937" {
		t.Errorf("the code is %q, %v", code, err)
	}
	if again, err := SealCode(jose.JSONWebKey{Key: key.Public()}, "res_1", "48215937"); err != nil || again == sealed {
		t.Errorf("one code looks alike twice: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	changed := []byte(sealed)
	middle := &changed[strings.LastIndexByte(sealed, '.')-8]
	*middle = map[bool]byte{true: 'B', false: 'A'}[*middle == 'A']
	for name, open := range map[string]func() (string, error){
		"another box":   func() (string, error) { return OpenCode(other, "res_1", sealed) },
		"another grant": func() (string, error) { return OpenCode(key, "res_2", sealed) },
		"changed":       func() (string, error) { return OpenCode(key, "res_1", string(changed)) },
		"no JWE":        func() (string, error) { return OpenCode(key, "res_1", "48215937") },
		"a JWS":         func() (string, error) { return OpenCode(key, "res_1", "a.b.c") },
	} {
		if code, err := open(); err == nil {
			t.Errorf("%s: read as %q", name, code)
		} else if refusal, ok := AsError(err); !ok || refusal.Code != CodeMalformed || strings.Contains(err.Error(), "4821") {
			t.Errorf("%s: refused with %v", name, err)
		}
	}
	if _, err := SealCode(jose.JSONWebKey{}, "res_1", "48215937"); err == nil {
		t.Error("a code is encrypted to no key")
	}
}
