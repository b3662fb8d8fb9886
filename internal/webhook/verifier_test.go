package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// verify holds a request to the text of Standard Webhooks, apart from the library that
// signs: webhook-signature is a list, divided by blanks, of "v1," and the base64 of
// HMAC-SHA256 over "id.timestamp.body", under the key whose base64 follows whsec_; one
// that matches is enough, and the timestamp must be near.
func verify(secret string, header http.Header, body []byte, now time.Time) error {
	encoded, ours := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ours || err != nil || len(key) < 24 || len(key) > 64 {
		return fmt.Errorf("%q is not whsec_ and the base64 of 24 to 64 bytes", secret)
	}
	id, timestamp := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || strings.Contains(id, ".") || err != nil {
		return fmt.Errorf("webhook-id %q, webhook-timestamp %q", id, timestamp)
	}
	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away > 5*time.Minute {
		return fmt.Errorf("the timestamp is %s away", away)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	for _, signature := range strings.Split(header.Get("Webhook-Signature"), " ") {
		version, value, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(value)
		if version == "v1" && err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return nil
		}
	}
	return fmt.Errorf("none of the signatures %q is that of %s", header.Get("Webhook-Signature"), id)
}
