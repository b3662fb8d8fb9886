// Package vendortest stands in for the clouds that messages leave by, in tests: a
// server on this machine that answers as a test tells it to and holds every
// request to what the vendor publishes about its API.
//
// The descriptions are excerpts, written from SendGrid's and Twilio's own and
// naming their source. They are stricter than the originals: what is not in them
// is refused, so that a field in the wrong place does not pass unseen.
package vendortest

import (
	"bytes"
	"context"
	"embed"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

//go:embed *.yaml
var documents embed.FS

// Vendor is one cloud.
type Vendor struct {
	URL string

	t        testing.TB
	contract routers.Router
	lock     sync.Mutex
	answers  []Answer
	requests []Request
}

// Request is what a vendor was asked.
type Request struct {
	Method string
	Path   string
	Header http.Header
	Body   string
}

// Answer is what a vendor says. Status 0 ends the connection instead, after the
// request was read: the vendor may have acted on it.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
	Before func() // called before it answers; what it waits for keeps the vendor silent
}

// SendGrid and Twilio start a vendor. It answers with the given answers, one a
// request, and goes on with the last.
func SendGrid(t testing.TB, answers ...Answer) *Vendor { return start(t, "sendgrid.yaml", answers) }
func Twilio(t testing.TB, answers ...Answer) *Vendor   { return start(t, "twilio.yaml", answers) }

func start(t testing.TB, document string, answers []Answer) *Vendor {
	t.Helper()
	v := &Vendor{t: t, answers: answers}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.URL = server.URL
	text, err := documents.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	api, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	api.Servers = openapi3.Servers{{URL: v.URL}}
	if v.contract, err = gorillamux.NewRouter(api); err != nil {
		t.Fatal(err)
	}
	return v
}

// ServeHTTP answers as the vendor.
func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Errorf("read the request: %v", err)
	}
	v.check(r, body)
	answer := v.take(Request{Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: string(body)})
	if answer.Before != nil {
		answer.Before()
	}
	if answer.Status == 0 {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http ends a connection without an answer
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.Status)
	_, _ = io.WriteString(w, answer.Body) // who asked may have died meanwhile
}

func (v *Vendor) take(r Request) Answer {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.requests = append(v.requests, r)
	answer := v.answers[0]
	if len(v.answers) > 1 {
		v.answers = v.answers[1:]
	}
	return answer
}

// check holds a request to the vendor's description.
func (v *Vendor) check(r *http.Request, body []byte) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, v.URL+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		v.t.Error(err)
		return
	}
	request.Header = r.Header
	route, parameters, err := v.contract.FindRoute(request)
	if err != nil {
		v.t.Errorf("%s %s is no call of this vendor: %v", r.Method, r.URL.Path, err)
		return
	}
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: signedIn, MultiError: true},
	})
	if err != nil {
		v.t.Errorf("%s %s is not what the vendor describes: %v\n%s", r.Method, r.URL.Path, err, body)
	}
}

// signedIn wants credentials of the described kind; whether they are right is the
// answer's to say.
func signedIn(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	r := in.RequestValidationInput.Request
	if _, _, basic := r.BasicAuth(); basic == (in.SecurityScheme.Scheme == "basic") && r.Header.Get("Authorization") != "" {
		return nil
	}
	return in.NewError(nil)
}

// Requests are all that the vendor was asked so far.
func (v *Vendor) Requests() []Request {
	v.lock.Lock()
	defer v.lock.Unlock()
	return append([]Request(nil), v.requests...)
}

// Say changes what the vendor answers from now on.
func (v *Vendor) Say(answers ...Answer) {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.answers = answers
}
