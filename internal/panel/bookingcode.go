package panel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// sealedCode is what is inside code_jwe. The grant is named so that the code of one
// cannot be put into another.
type sealedCode struct {
	Code    string `json:"code"`
	GrantID string `json:"grant_id"`
}

// SealCode encrypts the booking code of a grant to a SmartBox (P1): a compact JWE
// (RFC 7516), ECDH-ES with the box's P-256 key and A256GCM.
func SealCode(key jose.JSONWebKey, grantID, code string) (jwe string, err error) {
	public, ok := key.Key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return "", errors.New("the panel has no P-256 key to encrypt to")
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: public}, nil)
	if err != nil {
		return "", fmt.Errorf("encrypt a booking code: %w", err)
	}
	plaintext, err := json.Marshal(sealedCode{Code: code, GrantID: grantID})
	if err != nil {
		return "", err
	}
	sealed, err := encrypter.Encrypt(plaintext)
	if err != nil {
		return "", fmt.Errorf("encrypt a booking code: %w", err)
	}
	return sealed.CompactSerialize()
}

// OpenCode decrypts what SealCode made, on the box. The code of another grant is
// refused.
func OpenCode(key *ecdsa.PrivateKey, grantID, jwe string) (code string, err error) {
	sealed, err := jose.ParseEncryptedCompact(jwe, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return "", refuse(CodeMalformed, "code_jwe is no compact JWE with ECDH-ES and A256GCM.")
	}
	plaintext, err := sealed.Decrypt(key)
	if err != nil {
		return "", refuse(CodeMalformed, "code_jwe is not encrypted to this panel.")
	}
	var inside sealedCode
	if json.Unmarshal(plaintext, &inside) != nil || inside.GrantID != grantID || inside.Code == "" {
		return "", refuse(CodeMalformed, "code_jwe is not the code of this grant.")
	}
	return inside.Code, nil
}
