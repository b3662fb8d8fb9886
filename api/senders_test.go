package api_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/api"
	"latchkey/internal/access"
)

// subscription is what PushManager.subscribe gives.
func subscription(t *testing.T, endpoint string) object {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoding := base64.RawURLEncoding
	return object{"endpoint": endpoint, "expirationTime": nil,
		"keys": object{"p256dh": encoding.EncodeToString(key.PublicKey().Bytes()), "auth": encoding.EncodeToString(make([]byte, 16))}}
}

const pushPath = "/v1/me/push-subscription"

// I7: a member lets their phone be notified, and stops it.
func TestPushSubscription(t *testing.T) {
	e := start(t)
	e.call(http.MethodPost, "/v1/members", e.key, object{"name": "Rita", "email": "rita@example.com", "role": "resident", "property_ids": []string{}, "preferences": object{"unlocks": "push"}}).want(http.StatusCreated)
	e.call(http.MethodGet, pushPath, "", nil).refused(http.StatusUnauthorized, "unauthorized")
	rita := e.signIn("rita@example.com")
	first := e.call(http.MethodGet, pushPath, rita, nil).want(http.StatusOK)
	if key := first.text("application_server_key"); len(key) != 87 || first.JSON["subscribed"] != false {
		t.Errorf("at first: %s", first.body)
	}
	kept := e.call(http.MethodPut, pushPath, rita, subscription(t, "https://push.example/1")).want(http.StatusOK)
	if kept.JSON["subscribed"] != true || kept.text("application_server_key") != first.text("application_server_key") {
		t.Errorf("subscribed: %s", kept.body)
	}
	e.call(http.MethodDelete, pushPath, rita, nil).want(http.StatusNoContent)
	e.call(http.MethodDelete, pushPath, rita, nil).want(http.StatusNoContent)
	if left := e.call(http.MethodGet, pushPath, rita, nil); left.JSON["subscribed"] != false {
		t.Errorf("afterwards: %s", left.body)
	}
	guest := e.signIn("ana@example.com")
	e.call(http.MethodPut, pushPath, guest, subscription(t, "https://push.example/2")).refused(http.StatusForbidden, "forbidden")

	for name, c := range map[string]struct {
		change func(object)
		blames string
	}{
		"plain http":    {func(o object) { o["endpoint"] = "http://push.example/1" }, "body.endpoint"},
		"no address":    {func(o object) { o["endpoint"] = "push" }, "body.endpoint"},
		"with password": {func(o object) { o["endpoint"] = "https://a:b@push.example/" }, "body.endpoint"},
		"no key":        {func(o object) { o["keys"].(object)["p256dh"] = "AAAA" }, "body.keys.p256dh"},
		"no secret":     {func(o object) { o["keys"].(object)["auth"] = "AAAA" }, "body.keys.auth"},
	} {
		body := subscription(t, "https://push.example/1")
		c.change(body)
		t.Log(name)
		e.call(http.MethodPut, pushPath, rita, body).refused(http.StatusUnprocessableEntity, "invalid").blames(c.blames)
	}
	for _, way := range []string{"push", "sms", "email", "muted"} {
		member := e.call(http.MethodPost, "/v1/members", e.key, object{"name": "M", "email": way + "@example.com", "role": "host", "property_ids": []string{}, "preferences": object{"unlocks": way}}).want(http.StatusCreated)
		if got := member.text("preferences", "unlocks"); got != way {
			t.Errorf("chose %s, has %s", way, got)
		}
	}
}

// reports sends a batch of events as SendGrid signs it.
func (e *engine) reports(key *ecdsa.PrivateKey, at time.Time, body string) *answer {
	e.t.Helper()
	timestamp := strconv.FormatInt(at.Unix(), 10)
	digest := sha256.Sum256([]byte(timestamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		e.t.Fatal(err)
	}
	a := e.raw(http.MethodPost, "/hooks/sendgrid/events", "", []byte(body), header{"Content-Type", "application/json"},
		header{"X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature)}, header{"X-Twilio-Email-Event-Webhook-Timestamp", timestamp})
	e.check(a, http.MethodPost, "/hooks/sendgrid/events")
	return a
}

// What SendGrid reports is believed if it is signed and fresh, is on the item once
// (message.bounced), and the visitor's number is tried instead (K3).
func TestSendGridEvents(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, func(c *api.Config) { c.SendGridKey = &key.PublicKey })
	f := e.flat()
	r := e.reserved(f, access.Window{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}, nil)
	ctx, now := t.Context(), time.Now()
	due, _, err := e.store.DueMessages(ctx, 10, now)
	if err != nil || len(due) != 1 {
		t.Fatalf("due %+v, %v", due, err)
	}
	if claimed, err := e.store.ClaimMessage(ctx, due[0].ID, now.Add(time.Minute), now); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	if err := e.store.MessageSent(ctx, due[0].ID, now); err != nil {
		t.Fatal(err)
	}
	batch := fmt.Sprintf(`[{"email":"v@example.com","event":"bounce","type":"bounce","latchkey_message_id":%q}]`, due[0].ID)
	bounces := func() int {
		return len(e.call(http.MethodGet, "/v1/events?type=message.bounced&item_id="+r.ID, e.key, nil).want(http.StatusOK).items())
	}
	e.reports(key, now.Add(-6*time.Minute), batch).refused(http.StatusForbidden, "signature_refused")
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e.reports(stranger, now, batch).refused(http.StatusForbidden, "signature_refused")
	e.reports(key, now, `{}`).refused(http.StatusBadRequest, "malformed")
	if n := bounces(); n != 0 {
		t.Fatalf("%d bounces were believed", n)
	}
	for range 3 { // a batch that is played again changes nothing
		e.reports(key, now, batch).want(http.StatusNoContent)
	}
	if n := bounces(); n != 1 {
		t.Errorf("%d bounces on the item", n)
	}
	again, _, err := e.store.DueMessages(ctx, 10, time.Now())
	if err != nil || len(again) != 1 || again[0].Channel != "sms" || again[0].ItemID != r.ID {
		t.Errorf("instead: %+v, %v", again, err)
	}
	if strings.Contains(e.logs.String(), "v@example.com") {
		t.Error("an address is in the log")
	}
}

// Without a key nobody's reports are believed; without the outbox nothing of what
// was sent is shown.
func TestWithoutOutboxAndWebhookKey(t *testing.T) {
	e := start(t, func(c *api.Config) { c.Outbox = false })
	e.raw(http.MethodGet, "/dev/outbox", "", nil).want(http.StatusNotFound)
	e.raw(http.MethodPost, "/hooks/sendgrid/events", "", []byte("[]"), header{"Content-Type", "application/json"}).want(http.StatusNotFound)
}

// I7: the link in an unlock notice asks first, so that a mail scanner switches
// nothing off; a press does, the mail program's own (RFC 8058) included.
func TestMutePage(t *testing.T) {
	e := start(t)
	id := e.call(http.MethodPost, "/v1/members", e.key, object{"name": "Rita", "email": "rita@example.com", "locale": "ja", "role": "resident", "property_ids": []string{}}).want(http.StatusCreated).text("id")
	key, err := e.store.Authenticate(t.Context(), e.key)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.store.Member(t.Context(), key.AccountID, id)
	if err != nil {
		t.Fatal(err)
	}
	path := "/mute/" + e.store.MuteToken(m.Person.ID)
	unlocks := func() string {
		return e.call(http.MethodGet, "/v1/members/"+id, e.key, nil).text("preferences", "unlocks")
	}
	page := e.raw(http.MethodGet, path, "", nil).want(http.StatusOK)
	if !strings.Contains(string(page.body), `<form method="post" action="`+path+`">`) || !strings.Contains(string(page.body), "解錠通知を停止しますか") {
		t.Errorf("the page: %s", page.body)
	}
	if got := unlocks(); got != "email" {
		t.Fatalf("looking at it changed the preference to %s", got)
	}
	e.raw(http.MethodPost, path, "", []byte("List-Unsubscribe=One-Click"), header{"Content-Type", "application/x-www-form-urlencoded"}).want(http.StatusOK)
	if got := unlocks(); got != "muted" {
		t.Errorf("after the press: %s", got)
	}
	if again := e.raw(http.MethodGet, path, "", nil).want(http.StatusOK); strings.Contains(string(again.body), "<form") {
		t.Errorf("still asks: %s", again.body)
	}
	e.raw(http.MethodGet, path+"x", "", nil).want(http.StatusNotFound)
	e.raw(http.MethodPost, "/mute/"+m.Person.ID, "", nil).want(http.StatusNotFound)
	if strings.Contains(e.logs.String(), m.Person.ID+".") {
		t.Error("the token is in the log")
	}
}
