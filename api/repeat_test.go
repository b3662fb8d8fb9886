package api_test

import (
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
)

func TestARepeatedPostGetsTheFirstAnswer(t *testing.T) { // E2
	e := start(t)
	key := header{"Idempotency-Key", "order-1"}
	body := object{"name": "Casa", "time_zone": "UTC"}
	first := e.call(http.MethodPost, "/v1/properties", e.key, body, key).want(http.StatusCreated)
	again := e.call(http.MethodPost, "/v1/properties", e.key, body, key).want(http.StatusCreated)
	if string(first.body) != string(again.body) {
		t.Errorf("the repetition got %s, the first %s", again.body, first.body)
	}
	if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Error("Idempotent-Replayed must mark the repetition and only it")
	}
	if items := e.call(http.MethodGet, "/v1/properties", e.key, nil).items(); len(items) != 1 {
		t.Errorf("%d properties, want 1", len(items))
	}

	body["name"] = "Another"
	e.call(http.MethodPost, "/v1/properties", e.key, body, key).refused(http.StatusUnprocessableEntity, "idempotency_key_reused")
	e.call(http.MethodPost, "/v1/properties?x=1", e.key, body, key).refused(http.StatusUnprocessableEntity, "idempotency_key_reused")

	stranger := e.account("Second") // keys belong to an account
	e.call(http.MethodPost, "/v1/properties", stranger, body, key).want(http.StatusCreated)
}

func TestARepeatedRefusalIsTheFirstRefusal(t *testing.T) { // E2
	e := start(t)
	key := header{"Idempotency-Key", "order-2"}
	body := object{"property_id": "prop_none", "name": "Hall", "kind": "door"}
	e.call(http.MethodPost, "/v1/panels", e.key, body, key).refused(http.StatusNotFound, "not_found")
	again := e.call(http.MethodPost, "/v1/panels", e.key, body, key).refused(http.StatusNotFound, "not_found")
	if again.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the refusal was not a repetition")
	}
}

func TestIdempotencyKeysMustBeReadable(t *testing.T) {
	e := start(t)
	for _, key := range []string{"has space", strings.Repeat("k", 256), "ключ"} {
		e.call(http.MethodPost, "/v1/properties", e.key, object{"name": "x", "time_zone": "UTC"}, header{"Idempotency-Key", key}).
			refused(http.StatusUnprocessableEntity, "invalid").blames("header.Idempotency-Key")
	}
}

func TestConcurrentRepetitionsCreateOneThing(t *testing.T) { // E2
	e := start(t)
	const callers = 12
	answers := make([]*answer, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			answers[i] = e.call(http.MethodPost, "/v1/properties", e.key, object{"name": "Casa", "time_zone": "UTC"}, header{"Idempotency-Key", "race"})
		})
	}
	all.Wait()
	ids := map[string]bool{}
	for _, a := range answers {
		if a.status == http.StatusCreated {
			ids[a.text("id")] = true
			continue
		}
		a.refused(http.StatusConflict, "in_progress")
		if a.header.Get("Retry-After") == "" {
			t.Error("in_progress without Retry-After")
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d properties were answered, want 1", len(ids))
	}
	if items := e.call(http.MethodGet, "/v1/properties", e.key, nil).items(); len(items) != 1 {
		t.Errorf("%d properties exist, want 1", len(items))
	}
}

// E2, P4: a visitor who repeats a request from another network, as a phone does that
// has left the house's, repeats it: nothing is decided or opened a second time.
func TestVisitorRepeatsFromAnotherNetwork(t *testing.T) {
	e := start(t)
	f := e.flat()
	r := e.reserved(f, access.Window{Start: time.Now().Add(time.Hour), End: time.Now().Add(2 * time.Hour)}, nil)
	token := path.Base(e.call(http.MethodGet, "/v1/reservations/"+r.ID, e.key, nil).text("url"))
	for _, network := range []string{"127.0.0.1", "127.0.0.2"} {
		from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(network)}}
		client := &http.Client{Transport: &http.Transport{DialContext: from.DialContext}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/v1/visits/"+token+"/pickup", strings.NewReader(`{"panel_code":"123456"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "press-1")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusForbidden {
			t.Fatalf("from %s: %s, %v", network, response.Status, err)
		}
		client.CloseIdleConnections()
	}
	if n := len(e.call(http.MethodGet, "/v1/events?type=slot.denied&item_id="+r.ID, e.key, nil).items()); n != 1 {
		t.Errorf("decided %d times, want once", n)
	}
}
