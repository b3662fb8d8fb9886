package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/keyset"
	"latchkey/internal/pgtest"
	"latchkey/internal/store"
	"latchkey/workflows"
)

// engine is the API over real HTTP on a real PostgreSQL. Every answer that it
// gives is held to the OpenAPI document that it serves.
type engine struct {
	t        *testing.T
	url      string
	store    *store.Store
	dsn      string
	keys     *keyset.Keyset
	contract routers.Router
	key      string // an admin key of the first account
	logs     *journal
}

// journal collects log lines from all requests.
type journal struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.lock.Lock()
	defer j.lock.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.lock.Lock()
	defer j.lock.Unlock()
	return j.text.String()
}

// start starts it; changes are made to its configuration.
func start(t *testing.T, changes ...func(*api.Config)) *engine {
	t.Helper()
	keys, err := keyset.Create(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	e := serve(t, pgtest.New(t, store.Migrate), keys, changes...)
	e.contract = e.document()
	e.key = e.account("First")
	return e
}

// serve is one process of the API on a database.
func serve(t *testing.T, dsn string, keys *keyset.Keyset, changes ...func(*api.Config)) *engine {
	t.Helper()
	db, err := store.Open(t.Context(), dsn, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	logs := &journal{}
	opener := activities.NewOpener(db, driverOf(db), time.Now, slog.New(slog.DiscardHandler))
	t.Cleanup(opener.Wait)
	config := api.Config{
		Store: db, Logger: slog.New(slog.NewJSONHandler(logs, nil)), Outbox: true, Version: "test",
		Engine: api.StoredKeys{Store: db},
		// No call of these tests reaches a workflow.
		Items: &workflows.Client{}, Reservations: &workflows.Client{}, Doors: opener,
		Ready: []api.Check{{Name: "database", Ask: db.Ping}},
	}
	for _, change := range changes {
		change(&config)
	}
	handler, err := api.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &engine{t: t, url: server.URL, store: db, dsn: dsn, keys: keys, logs: logs}
}

// account makes a tenant and gives its admin key.
func (e *engine) account(name string) (key string) {
	e.t.Helper()
	keep := func(secret string) error { key = secret; return nil }
	if _, err := e.store.CreateAccount(e.t.Context(), name, keep, time.Now()); err != nil {
		e.t.Fatal(err)
	}
	return key
}

// document loads what the server says of itself; it must be valid OpenAPI 3.1.
func (e *engine) document() routers.Router {
	e.t.Helper()
	response := e.raw(http.MethodGet, "/openapi.json", "", nil)
	document, err := openapi3.NewLoader().LoadFromData(response.body)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := document.Validate(e.t.Context()); err != nil {
		e.t.Fatalf("the OpenAPI document is not valid: %v", err)
	}
	if !document.IsOpenAPI31OrLater() {
		e.t.Fatalf("the document is of version %s, want 3.1", document.OpenAPI)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		e.t.Fatal(err)
	}
	return router
}

// answer is a response that has been read and checked.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
	JSON   map[string]any
}

// header is one header of a request, as name and value.
type header [2]string

// call sends a request with a bearer token and a JSON body (none if nil), and
// checks the answer against the contract.
func (e *engine) call(method, path, token string, body any, headers ...header) *answer {
	e.t.Helper()
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			e.t.Fatal(err)
		}
		headers = append([]header{{"Content-Type", "application/json"}}, headers...)
	}
	a := e.raw(method, path, token, payload, headers...)
	e.check(a, method, path)
	return a
}

func (e *engine) raw(method, path, token string, body []byte, headers ...header) *answer {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		request.Header.Set(h[0], h[1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := &answer{t: e.t, status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		e.t.Fatal(err)
	}
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(a.body, &a.JSON); err != nil {
			e.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

// check holds an answer to the OpenAPI document.
func (e *engine) check(a *answer, method, path string) {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	request.URL.Scheme, request.URL.Host, request.Host = "", "", ""
	route, parameters, err := e.contract.FindRoute(request)
	if err != nil {
		if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
			return
		}
		e.t.Fatalf("%s %s is not in the OpenAPI document: %v", method, path, err)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		e.t.Errorf("%s %s answers against its own contract: %v\n%s", method, path, err, a.body)
	}
}

// want fails unless the answer has the status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// refused fails unless the answer is a problem document with the status and code,
// and a detail that is a sentence.
func (a *answer) refused(status int, code string) *answer {
	a.t.Helper()
	a.want(status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("content type %q, want application/problem+json", got)
	}
	if a.JSON["code"] != code || a.JSON["status"] != float64(status) {
		a.t.Errorf("code %v, status %v; want %s, %d: %s", a.JSON["code"], a.JSON["status"], code, status, a.body)
	}
	if detail := a.text("detail"); !strings.HasSuffix(detail, ".") {
		a.t.Errorf("detail %q is not a sentence", detail)
	}
	return a
}

// blames fails unless errors[] names the input.
func (a *answer) blames(location string) {
	a.t.Helper()
	faults, _ := a.JSON["errors"].([]any)
	for _, fault := range faults {
		if f, ok := fault.(map[string]any); ok && f["location"] == location {
			return
		}
	}
	a.t.Errorf("errors does not name %s: %s", location, a.body)
}

// text is a member that must be a string; a path goes into objects.
func (a *answer) text(path ...string) string {
	a.t.Helper()
	var value any = a.JSON
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			a.t.Fatalf("no %v in %s", path, a.body)
		}
		value = object[name]
	}
	text, ok := value.(string)
	if !ok {
		a.t.Fatalf("%v is %v, want text: %s", path, value, a.body)
	}
	return text
}

// items are the members of a list.
func (a *answer) items() []any {
	a.t.Helper()
	items, ok := a.JSON["items"].([]any)
	if !ok {
		a.t.Fatalf("no items: %s", a.body)
	}
	return items
}

type object = map[string]any
