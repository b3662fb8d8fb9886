package e2e

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/notify/vendortest"
)

// TestSendersRefuseWithASentence starts the program with senders that cannot work:
// it ends with 1 and names the setting by its flag or its variable, and no secret.
func TestSendersRefuseWithASentence(t *testing.T) {
	t.Parallel()
	s := bareStage(t, "")
	from, key := "LATCHKEY_MAIL_FROM=Keys <keys@door.example>", "LATCHKEY_SENDGRID_API_KEY=SG.secret"
	account, token := "LATCHKEY_TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef", "LATCHKEY_TWILIO_AUTH_TOKEN=topsecret"
	for _, c := range []struct {
		name, says string
		args, env  []string
	}{
		{"unknown sender", "--mail", []string{"--mail", "pigeon"}, nil},
		{"nobody as sender", "LATCHKEY_MAIL_FROM", []string{"--mail", "sendgrid"}, []string{key}},
		{"sender that is none", "--mail-from", []string{"--mail", "sendgrid", "--mail-from", "keys"}, []string{key}},
		{"no key", "LATCHKEY_SENDGRID_API_KEY", []string{"--mail", "sendgrid"}, []string{from}},
		{"key in the clear", "LATCHKEY_SENDGRID_URL", []string{"--mail", "sendgrid", "--sendgrid-url", "http://mail.example.com"}, []string{from, key}},
		{"webhook key that is none", "--sendgrid-webhook-key", []string{"--sendgrid-webhook-key", "AAAA"}, nil},
		{"no server", "LATCHKEY_SMTP_ADDRESS", []string{"--mail", "smtp"}, []string{from}},
		{"server without a port", "--smtp-address", []string{"--mail", "smtp", "--smtp-address", "mail.example.com"}, []string{from}},
		{"no TLS over a network", "--smtp-tls", []string{"--mail", "smtp", "--smtp-address", "mail.example.com:25", "--smtp-tls", "none"}, []string{from}},
		{"password for nobody", "--smtp-user", []string{"--mail", "smtp", "--smtp-address", "mail.example.com:587"}, []string{from, "LATCHKEY_SMTP_PASSWORD=topsecret"}},
		{"no account", "LATCHKEY_TWILIO_ACCOUNT_SID", []string{"--sms", "twilio"}, []string{token}},
		{"no token", "LATCHKEY_TWILIO_AUTH_TOKEN", []string{"--sms", "twilio"}, []string{account}},
		{"no number", "LATCHKEY_SMS_FROM", []string{"--sms", "twilio"}, []string{account, token}},
		{"secret as a flag", "--smtp-password", []string{"--smtp-password", "topsecret"}, nil},
		{"misspelt secret", "LATCHKEY_SENDGRID_KEY", nil, []string{"LATCHKEY_SENDGRID_KEY=SG.secret"}},
	} {
		code, output := s.run(c.env, append([]string{"up", "--data", filepath.Join(s.dir, "none")}, c.args...)...)
		last := output[strings.LastIndex(strings.TrimSpace(output), "\n")+1:]
		if code != 1 || !strings.HasPrefix(last, "latchkey: ") || !strings.Contains(last, c.says) {
			t.Errorf("%s: ended with %d and said %q", c.name, code, last)
		}
		if strings.Contains(last, "topsecret") || strings.Contains(last, "SG.secret") {
			t.Errorf("%s: a secret was said: %q", c.name, last)
		}
	}
}

// TestE1KilledWhileItSends kills the engine when SendGrid has a sign-in code and has
// not answered. The next run sends the code again under the same Message-ID, and it
// signs in. Nothing is shown at /dev/outbox, because mail leaves.
func TestE1KilledWhileItSends(t *testing.T) {
	t.Parallel()
	asked, killed := make(chan struct{}), make(chan struct{})
	vendor := vendortest.SendGrid(t, vendortest.Answer{Status: 202, Before: func() {
		close(asked)
		<-killed
	}}, vendortest.Answer{Status: 202})
	s := newStage(t, "LATCHKEY_MAIL=sendgrid", "LATCHKEY_MAIL_FROM=Keys <keys@door.example>", "LATCHKEY_SENDGRID_API_KEY=SG.secret", "LATCHKEY_SENDGRID_URL="+vendor.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	started := must(s.asks(s.url, "").Post(ctx, "/v1/sign-in/code", "", map[string]any{"email": "ana@example.com"}))(t)
	select {
	case <-asked:
	case <-ctx.Done():
		t.Fatal("SendGrid was not asked")
	}
	s.engine.kill()
	close(killed)
	s.engine.start()
	if err := await(ctx, func() bool { return len(vendor.Requests()) == 2 }); err != nil {
		t.Fatalf("SendGrid was asked %d times", len(vendor.Requests()))
	}
	first, again := letterTo(t, vendor.Requests()[0].Body), letterTo(t, vendor.Requests()[1].Body)
	if first.Headers["Message-ID"] == "" || first.Headers["Message-ID"] != again.Headers["Message-ID"] || first.Content[0].Value != again.Content[0].Value {
		t.Errorf("first %+v, then %+v", first, again)
	}
	code := regexp.MustCompile(`\b[0-9]{6}\b`).FindString(again.Content[0].Value)
	if in := must(s.asks(s.url, "").Post(ctx, "/v1/sign-in", "", map[string]any{"attempt": started.Body.Text("attempt"), "code": code}))(t); in.Status != 200 {
		t.Errorf("the code did not sign in: %d", in.Status)
	}
	if outbox := must(s.client().Get(ctx, "/dev/outbox"))(t); outbox.Status != 404 {
		t.Errorf("the outbox answers %d", outbox.Status)
	}
}

type letter struct {
	Headers map[string]string
	Content []struct{ Type, Value string }
}

func letterTo(t *testing.T, body string) (l letter) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &l); err != nil || len(l.Content) != 2 {
		t.Fatalf("%v in %s", err, body)
	}
	return l
}
