package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
)

// witness sits between the people of the story and the services they ask. It
// remembers every secret that passes, so that a search for them misses none, and
// tells when something is asked.
type witness struct {
	mu      sync.Mutex
	secrets map[string]bool
	asked   chan struct{} // closed at the next request, if anybody waits for it
}

func newWitness() *witness { return &witness{secrets: map[string]bool{}} }

// secretFields are the members of requests and answers that nobody else may read.
var secretFields = []string{"token", "tap_token", "code", "secret", "enrolment_code"}

// nextRequest is closed when the next request is made.
func (w *witness) nextRequest() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = make(chan struct{})
	return w.asked
}

func (w *witness) note(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if secret != "" {
		w.secrets[secret] = true
	}
}

// known lists the secrets that have passed so far.
func (w *witness) known() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for secret := range w.secrets {
		list = append(list, secret)
	}
	return list
}

// RoundTrip implements http.RoundTripper.
func (w *witness) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, err
		}
		if err := w.read(body); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	if w.asked != nil {
		close(w.asked)
		w.asked = nil
	}
	w.mu.Unlock()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	document, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(document))
	if response.StatusCode < http.StatusBadRequest { // the code of a problem is no secret
		err = w.read(bytes.NewReader(document))
	}
	return response, err
}

func (w *witness) read(from io.Reader) error {
	document, err := io.ReadAll(io.LimitReader(from, 1<<20))
	if err != nil {
		return err
	}
	var fields map[string]any
	if json.Unmarshal(document, &fields) != nil {
		return nil // no JSON object, no secret member
	}
	for name, value := range fields {
		if text, ok := value.(string); ok && slices.Contains(secretFields, name) {
			w.note(text)
		}
	}
	return nil
}
