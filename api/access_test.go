package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestWithoutAKeyNothingIsAnswered(t *testing.T) {
	e := start(t)
	for name, token := range map[string]string{"none": "", "wrong": "lk_wrong", "long": strings.Repeat("x", 500)} {
		t.Run(name, func(t *testing.T) {
			e := &engine{t: t, url: e.url, contract: e.contract}
			a := e.call(http.MethodGet, "/v1/properties", token, nil).refused(http.StatusUnauthorized, "unauthorized")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
	e.call(http.MethodGet, "/v1/properties", "", nil, header{"Authorization", "Basic " + e.key}).refused(http.StatusUnauthorized, "unauthorized")
}

func TestAnotherAccountsIDIsNotFound(t *testing.T) { // E8
	e := start(t)
	property := e.property("Casa")
	panel := e.panel(property)
	stranger := e.account("Second")
	for _, path := range []string{"/v1/properties/" + property, "/v1/panels/" + panel} {
		theirs := e.call(http.MethodGet, path, stranger, nil).refused(http.StatusNotFound, "not_found")
		none := e.call(http.MethodGet, path+"x", stranger, nil).refused(http.StatusNotFound, "not_found")
		if strings.ReplaceAll(none.text("detail"), "x\"", "\"") != theirs.text("detail") && !strings.Contains(theirs.text("detail"), "There is no") {
			t.Errorf("another account's id is told apart from none: %q, %q", theirs.text("detail"), none.text("detail"))
		}
		e.call(http.MethodDelete, path, stranger, nil).refused(http.StatusNotFound, "not_found")
		e.call(http.MethodPatch, path, stranger, object{"name": "Mine"}).refused(http.StatusNotFound, "not_found")
	}
	e.call(http.MethodPost, "/v1/panels/"+panel+"/disown", stranger, nil).refused(http.StatusNotFound, "not_found")
	if items := e.call(http.MethodGet, "/v1/properties", stranger, nil).items(); len(items) != 0 {
		t.Errorf("a stranger lists %v", items)
	}
	e.call(http.MethodPost, "/v1/panels", stranger, object{"property_id": property, "name": "Mine", "kind": "door"}).
		refused(http.StatusNotFound, "not_found")
}

func TestScopesLimitAKey(t *testing.T) {
	e := start(t)
	made := e.call(http.MethodPost, "/v1/api-keys", e.key, object{"name": "Reader", "scopes": []string{"read"}}).want(http.StatusCreated)
	reader := made.text("secret")
	e.call(http.MethodGet, "/v1/properties", reader, nil).want(http.StatusOK)
	e.call(http.MethodPost, "/v1/properties", reader, object{"name": "x", "time_zone": "UTC"}).refused(http.StatusForbidden, "forbidden")
	e.call(http.MethodGet, "/v1/api-keys", reader, nil).refused(http.StatusForbidden, "forbidden")

	path := "/v1/api-keys/" + made.text("id")
	if read := e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK); strings.Contains(string(read.body), reader) {
		t.Error("the secret is shown a second time")
	}
	e.call(http.MethodPatch, path, e.key, object{"scopes": []string{"read", "directory"}}).want(http.StatusOK)
	e.call(http.MethodPost, "/v1/properties", reader, object{"name": "x", "time_zone": "UTC"}).want(http.StatusCreated)
	e.call(http.MethodPost, "/v1/api-keys", e.key, object{"name": "Odd", "scopes": []string{"everything"}}).
		refused(http.StatusUnprocessableEntity, "invalid").blames("body.scopes[0]")

	e.call(http.MethodDelete, path, e.key, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, "/v1/properties", reader, nil).refused(http.StatusUnauthorized, "unauthorized")
	e.call(http.MethodGet, path, e.key, nil).refused(http.StatusNotFound, "not_found")
}

func TestRequestsThatAreNone(t *testing.T) { // E6
	e := start(t)
	e.call(http.MethodGet, "/v1/nothing", e.key, nil).refused(http.StatusNotFound, "not_found")
	wrong := e.call(http.MethodPut, "/v1/properties", e.key, nil).refused(http.StatusMethodNotAllowed, "method_not_allowed")
	if allow := wrong.header.Get("Allow"); !strings.Contains(allow, "POST") {
		t.Errorf("Allow is %q", allow)
	}
	large := e.raw(http.MethodPost, "/v1/properties", e.key, make([]byte, 10<<20), header{"Content-Type", "application/json"})
	large.refused(http.StatusRequestEntityTooLarge, "body_too_large")
	e.raw(http.MethodPost, "/v1/properties", e.key, []byte(`{"name":`), header{"Content-Type", "application/json"}).refused(http.StatusBadRequest, "invalid")
	e.raw(http.MethodPost, "/v1/properties", e.key, nil).refused(http.StatusBadRequest, "invalid")
	e.raw(http.MethodPost, "/v1/properties", e.key, []byte(`name=x`), header{"Content-Type", "application/x-www-form-urlencoded"}).
		refused(http.StatusUnsupportedMediaType, "unsupported_media_type")
}

func TestLogsAndMetricsNameRoutesAndNothingPersonal(t *testing.T) { // E7
	e := start(t)
	property := e.property("Villa Secreta")
	e.call(http.MethodGet, "/v1/properties/"+property, e.key, nil).want(http.StatusOK)
	metrics := string(e.raw(http.MethodGet, "/metrics", "", nil).want(http.StatusOK).body)
	if !strings.Contains(metrics, `route="/v1/properties/:id"`) || !strings.Contains(metrics, "go_goroutines") {
		t.Error("the metrics do not have the route and the runtime")
	}
	for _, text := range []string{e.logs.String(), metrics} {
		for _, secret := range []string{"Villa Secreta", e.key, property} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in the logs or metrics", secret)
			}
		}
	}
	if !strings.Contains(e.logs.String(), `"route":"/v1/properties/:id"`) {
		t.Error("the access log does not name the route")
	}
}

func TestHealthAndDocumentation(t *testing.T) {
	e := start(t)
	e.raw(http.MethodGet, "/healthz", "", nil).want(http.StatusOK)
	e.raw(http.MethodGet, "/readyz", "", nil).want(http.StatusOK)
	for _, path := range []string{"/docs", "/docs/"} {
		page := e.raw(http.MethodGet, path, "", nil).want(http.StatusOK)
		for _, elsewhere := range []string{`src="http`, `href="http`, `src="//`, `href="//`, "cdn"} {
			if strings.Contains(string(page.body), elsewhere) {
				t.Errorf("the documentation loads from elsewhere: %s", elsewhere)
			}
		}
		policy := page.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") || strings.Contains(policy, "script-src 'self' 'unsafe-inline'") {
			t.Errorf("the policy of the documentation is %q", policy)
		}
	}
	e.raw(http.MethodGet, "/docs/swagger-ui-bundle.js", "", nil).want(http.StatusOK)
	e.store.Close()
	unready := e.raw(http.MethodGet, "/readyz", "", nil).want(http.StatusServiceUnavailable)
	if unready.text("parts", "database") != "unavailable" {
		t.Errorf("readyz says %s", unready.body)
	}
	away := e.call(http.MethodGet, "/v1/properties", e.key, nil).refused(http.StatusServiceUnavailable, "unavailable")
	if away.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
