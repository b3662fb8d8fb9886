package story

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrAway says that the engine or a panel could not be asked, or did not answer.
// The same step may be tried again.
var ErrAway = errors.New("no answer")

// Client asks one HTTP service in JSON, as any app would.
type Client struct {
	URL   string
	Token string // after Bearer; none if empty
	HTTP  *http.Client
}

// NewClient returns a client that gives up after ten seconds.
func NewClient(url, token string) *Client {
	return &Client{URL: url, Token: token, HTTP: &http.Client{Timeout: 10 * time.Second}}
}

// As is the same service asked with another token.
func (c *Client) As(token string) *Client { return &Client{URL: c.URL, Token: token, HTTP: c.HTTP} }

// Object is a JSON object, read by name.
type Object map[string]any

// Text is the string at a path of names, empty if there is none.
func (o Object) Text(path ...string) string {
	text, _ := o.at(path).(string) // anything else is not a text
	return text
}

// List is the list at a path, without what is no object in it.
func (o Object) List(path ...string) (list []Object) {
	values, _ := o.at(path).([]any) // anything else is not a list
	for _, value := range values {
		if object, ok := value.(map[string]any); ok {
			list = append(list, object)
		}
	}
	return list
}

// Object is the object at a path, nil if there is none.
func (o Object) Object(path ...string) Object {
	object, _ := o.at(path).(map[string]any) // anything else is no object
	return object
}

func (o Object) at(path []string) any {
	var value any = map[string]any(o)
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// Answer is what a service answered.
type Answer struct {
	Status int
	Header http.Header
	Body   Object
}

// Code is the code of a problem, empty for anything else.
func (a Answer) Code() string { return a.Body.Text("code") }

// Get reads.
func (c *Client) Get(ctx context.Context, path string) (Answer, error) {
	return c.Do(ctx, http.MethodGet, path, "", nil)
}

// Post asks for a change. With a key it may be repeated without happening twice (E2).
func (c *Client) Post(ctx context.Context, path, key string, body any) (Answer, error) {
	return c.Do(ctx, http.MethodPost, path, key, body)
}

// Do sends one request. An answer without a body, or one that is not an object,
// has a nil Body.
func (c *Client) Do(ctx context.Context, method, path, key string, body any) (Answer, error) {
	var reader io.Reader
	if body != nil {
		document, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		reader = bytes.NewReader(document)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, reader)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	answer := Answer{Status: response.StatusCode, Header: response.Header}
	if len(document) > 0 {
		if err := json.Unmarshal(document, &answer.Body); err != nil {
			return answer, fmt.Errorf("%s %s answered %d with something that is no JSON object", method, path, response.StatusCode)
		}
	}
	return answer, nil
}
