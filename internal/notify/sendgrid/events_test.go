package sendgrid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"latchkey/internal/notify/sendgrid"
)

// sign signs as SendGrid describes it: ECDSA with SHA-256 over timestamp and body.
func sign(t *testing.T, key *ecdsa.PrivateKey, timestamp, body string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(timestamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

const batch = `[
{"email":"ana@example.com","timestamp":1767225600,"event":"bounce","type":"bounce","reason":"550 no such user","latchkey_message_id":"msg_1","sg_event_id":"a"},
{"email":"ana@example.com","timestamp":1767225600,"event":"bounce","type":"blocked","latchkey_message_id":"msg_2","sg_event_id":"b"},
{"email":"ana@example.com","timestamp":1767225600,"event":"dropped","reason":"Bounced Address","latchkey_message_id":"msg_3","sg_event_id":"c"},
{"email":"ana@example.com","timestamp":1767225600,"event":"delivered","latchkey_message_id":"msg_4","sg_event_id":"d"},
{"email":"ana@example.com","timestamp":1767225600,"event":"open","latchkey_message_id":"msg_5","sg_event_id":"e"},
{"email":"ana@example.com","timestamp":1767225600,"event":"bounce","type":"bounce","sg_event_id":"f"}]`

// Events are believed if SendGrid signed them within five minutes (E4's tolerance).
func TestEvents(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sendgrid.Key(base64.StdEncoding.EncodeToString(der))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	at := func(offset time.Duration) string { return strconv.FormatInt(now.Add(offset).Unix(), 10) }

	events, err := sendgrid.Events(key, []byte(batch), sign(t, private, at(0), batch), at(0), now)
	want := []sendgrid.Event{{"msg_1", sendgrid.Bounced}, {"msg_2", sendgrid.Blocked}, {"msg_3", sendgrid.Dropped}, {"msg_4", sendgrid.Accepted}}
	if err != nil || !slices.Equal(events, want) {
		t.Errorf("got %v, %v, want %v", events, err, want)
	}

	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, private, at(0), batch)
	for name, c := range map[string]struct {
		body, signature, timestamp string
		want                       error
	}{
		"five minutes old":    {batch, sign(t, private, at(-5*time.Minute), batch), at(-5 * time.Minute), nil},
		"older":               {batch, sign(t, private, at(-301*time.Second), batch), at(-301 * time.Second), sendgrid.ErrAge},
		"from the future":     {batch, sign(t, private, at(301*time.Second), batch), at(301 * time.Second), sendgrid.ErrAge},
		"no number":           {batch, sign(t, private, "soon", batch), "soon", sendgrid.ErrAge},
		"another's signature": {batch, sign(t, stranger, at(0), batch), at(0), sendgrid.ErrSignature},
		"changed body":        {batch + " ", good, at(0), sendgrid.ErrSignature},
		"changed time":        {batch, good, at(time.Second), sendgrid.ErrSignature},
		"no signature":        {batch, "", at(0), sendgrid.ErrSignature},
		"nonsense":            {batch, "AAAA", at(0), sendgrid.ErrSignature},
		"not base64":          {batch, "%", at(0), sendgrid.ErrSignature},
		"no list":             {"{}", sign(t, private, at(0), "{}"), at(0), sendgrid.ErrEvents},
	} {
		if _, err := sendgrid.Events(key, []byte(c.body), c.signature, c.timestamp, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A key of another kind is refused, not a panic.
func TestKey(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&other.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "%", "AAAA", base64.StdEncoding.EncodeToString(der)} {
		if _, err := sendgrid.Key(text); err == nil {
			t.Errorf("%.10q was taken for a key", text)
		}
	}
}
