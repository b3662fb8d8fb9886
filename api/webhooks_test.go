package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/api"
	"latchkey/internal/directory"
	"latchkey/internal/webhook"
)

const webhooksPath = "/v1/webhooks"

// E4: a webhook is made, read, changed and deleted; its secret is shown once.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	e := start(t)
	made := e.call(http.MethodPost, webhooksPath, e.key, object{"url": "https://app.example.com/hooks", "events": []string{"*"}}).want(http.StatusCreated)
	path := webhooksPath + "/" + made.text("id")
	secret := made.text("secret")
	if !strings.HasPrefix(secret, "whsec_") || !strings.HasPrefix(made.text("id"), "whk_") || made.text("state") != "untried" {
		t.Errorf("made: %s", made.body)
	}
	for _, a := range []*answer{e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK), e.call(http.MethodGet, webhooksPath, e.key, nil).want(http.StatusOK)} {
		if bytes.Contains(a.body, []byte("whsec_")) || !bytes.Contains(a.body, []byte("https://app.example.com/hooks")) {
			t.Errorf("shown: %s", a.body)
		}
	}
	changed := e.call(http.MethodPatch, path, e.key, object{"events": []string{"entrance.opened", "key.late"}}, header{"If-Match", made.header.Get("ETag")}).want(http.StatusOK)
	if events, ok := changed.JSON["events"].([]any); !ok || len(events) != 2 || changed.text("url") != "https://app.example.com/hooks" {
		t.Errorf("changed: %s", changed.body)
	}
	e.call(http.MethodPatch, path, e.key, object{"url": "https://late.example.com"}, header{"If-Match", made.header.Get("ETag")}).refused(http.StatusPreconditionFailed, "precondition_failed")

	rotated := e.call(http.MethodPost, path+"/rotate-secret", e.key, nil).want(http.StatusOK)
	until, err := time.Parse(time.RFC3339, rotated.text("old_secret_until"))
	if rotated.text("secret") == secret || err != nil || time.Until(until) < 23*time.Hour || time.Until(until) > 24*time.Hour {
		t.Errorf("rotated: %s, %v", rotated.body, err)
	}
	e.call(http.MethodDelete, path, e.key, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, path, e.key, nil).refused(http.StatusNotFound, "not_found")
	if strings.Contains(e.logs.String(), "app.example.com") || strings.Contains(e.logs.String(), "whsec_") {
		t.Error("the log tells where events go (E7)")
	}
}

// E6: what could never be delivered is refused and changes nothing.
func TestWebhooksThatAreRefused(t *testing.T) {
	t.Parallel()
	e := start(t)
	make := func(url string, events ...string) *answer {
		return e.call(http.MethodPost, webhooksPath, e.key, object{"url": url, "events": events})
	}
	for _, url := range []string{"http://app.example.com", "https://10.0.0.7/hooks", "https://localhost@app.example.com", "https://[::1]/", "app", "https://169.254.169.254/"} {
		make(url, "*").refused(http.StatusUnprocessableEntity, "invalid").blames("body.url")
	}
	make("https://app.example.com", "entrance.opened", "entrance.open").refused(http.StatusUnprocessableEntity, "invalid").blames("body.events[1]")
	make("https://app.example.com", "webhook.test").refused(http.StatusUnprocessableEntity, "invalid").blames("body.events[0]")
	make("https://app.example.com").refused(http.StatusUnprocessableEntity, "invalid").blames("body.events")
	if all := e.call(http.MethodGet, webhooksPath, e.key, nil).items(); len(all) != 0 {
		t.Fatalf("made all the same: %v", all)
	}
	for range 20 {
		make("https://app.example.com", "*").want(http.StatusCreated)
	}
	make("https://app.example.com", "*").refused(http.StatusConflict, "webhook_limit_reached")

	// Webhooks show everything that happens, so they are for keys that may see it all.
	reader := e.call(http.MethodPost, "/v1/api-keys", e.key, object{"name": "Reader", "scopes": []string{"read", "directory"}}).text("secret")
	e.call(http.MethodGet, webhooksPath, reader, nil).refused(http.StatusForbidden, "forbidden")
	e.call(http.MethodPost, webhooksPath, reader, object{"url": "https://app.example.com", "events": []string{"*"}}).refused(http.StatusForbidden, "forbidden")
}

// E8: another account's webhooks and deliveries are not found.
func TestWebhooksOfAnotherAccount(t *testing.T) {
	t.Parallel()
	e := start(t)
	mine := webhooksPath + "/" + e.call(http.MethodPost, webhooksPath, e.key, object{"url": "https://app.example.com", "events": []string{"*"}}).text("id")
	stranger := e.account("Second")
	for method, paths := range map[string][]string{
		http.MethodGet:    {mine, mine + "/deliveries"},
		http.MethodPost:   {mine + "/test", mine + "/rotate-secret", mine + "/deliveries/whd_x/replay", webhooksPath + "/deliveries/whd_x/replay"},
		http.MethodPatch:  {mine},
		http.MethodDelete: {mine},
	} {
		for _, path := range paths {
			var body any
			if method == http.MethodPatch {
				body = object{"events": []string{"*"}}
			}
			e.call(method, path, stranger, body).refused(http.StatusNotFound, "not_found")
		}
	}
	if all := e.call(http.MethodGet, webhooksPath, stranger, nil).items(); len(all) != 0 {
		t.Errorf("listed: %v", all)
	}
	e.call(http.MethodGet, mine, e.key, nil).want(http.StatusOK)
}

// E4: a test arrives as GET /v1/events shows it; it is listed, page by page, and can be
// replayed by either path.
func TestWebhookDeliveries(t *testing.T) {
	t.Parallel()
	e := start(t)
	got := make(chan []byte, 10)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			got <- body
		}
	}))
	t.Cleanup(app.Close)
	made := e.call(http.MethodPost, webhooksPath, e.key, object{"url": "https://app.example.com", "events": []string{"key.late"}})
	path := webhooksPath + "/" + made.text("id")
	// The address of the test's own server is private, which this API does not take.
	e.moveWebhook(made.text("id"), app.URL)
	e.deliverWebhooks()

	first := e.call(http.MethodPost, path+"/test", e.key, nil).want(http.StatusAccepted).text("event_id")
	second := e.call(http.MethodPost, path+"/test", e.key, nil).want(http.StatusAccepted).text("event_id")
	bodies := map[string]json.RawMessage{}
	for range 2 {
		var sent struct {
			Type      string
			Timestamp time.Time
			Data      json.RawMessage
		}
		if err := json.Unmarshal(<-got, &sent); err != nil || sent.Type != "webhook.test" || sent.Timestamp.IsZero() {
			t.Fatalf("%+v, %v", sent, err)
		}
		var event struct{ ID string }
		if err := json.Unmarshal(sent.Data, &event); err != nil {
			t.Fatal(err)
		}
		bodies[event.ID] = sent.Data
	}
	var shown struct{ Items []json.RawMessage }
	if err := json.Unmarshal(e.call(http.MethodGet, "/v1/events?type=webhook.test", e.key, nil).body, &shown); err != nil || len(shown.Items) != 2 {
		t.Fatalf("events: %v, %v", shown, err)
	}
	if !bytes.Equal(shown.Items[0], bodies[second]) || !bytes.Equal(shown.Items[1], bodies[first]) {
		t.Errorf("sent %s, shown as %s", bodies, shown.Items)
	}

	list := func(query string) *answer {
		return e.call(http.MethodGet, path+"/deliveries"+query, e.key, nil).want(http.StatusOK)
	}
	delivered := func() bool { return len(list("?state=delivered").items()) == 2 }
	for deadline := time.Now().Add(10 * time.Second); !delivered() && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
	}
	newest := list("?limit=1&state=delivered")
	older := list("?limit=1&state=delivered&cursor=" + newest.text("next_cursor"))
	for n, a := range []*answer{newest, older} {
		item, ok := a.items()[0].(object)
		if want := []string{second, first}[n]; !ok || item["event_id"] != want || item["attempts"] != 1.0 || item["response_status"] != 200.0 || item["last_error"] != nil {
			t.Errorf("page %d: %s", n, a.body)
		}
		id, _ := item["id"].(string)
		replay := []string{path + "/deliveries/" + id + "/replay", webhooksPath + "/deliveries/" + id + "/replay"}[n]
		if e.call(http.MethodPost, replay, e.key, nil).want(http.StatusOK).text("state") != "pending" {
			t.Errorf("replayed: not pending")
		}
		<-got
	}
	if dead := list("?state=dead").items(); len(dead) != 0 {
		t.Errorf("dead: %v", dead)
	}
	e.call(http.MethodGet, path+"/deliveries?state=lost", e.key, nil).refused(http.StatusUnprocessableEntity, "invalid")
}

// moveWebhook sets an address without asking whether it is allowed.
func (e *engine) moveWebhook(id, url string) {
	e.t.Helper()
	account, err := e.store.Authenticate(e.t.Context(), e.key)
	if err == nil {
		_, err = e.store.UpdateWebhook(e.t.Context(), account.AccountID, id, 0, func(w *directory.Webhook) error { w.URL = url; return nil }, time.Now())
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// deliverWebhooks sends events until the test ends, to private addresses too.
func (e *engine) deliverWebhooks() {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() {
		done <- e.store.ServeWebhooks(ctx, func(waiting webhook.Deliveries) *webhook.Courier {
			return &webhook.Courier{Deliveries: waiting, Sender: webhook.NewSender(true, "test"), Payload: api.WebhookPayload, Clock: time.Now, Log: log}
		}, log)
	}()
	e.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Error(err)
		}
	})
}
