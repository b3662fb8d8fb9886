package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

var (
	// ErrUnreachable says that a request surely did not arrive: nothing happened.
	ErrUnreachable = errors.New("the panel cannot be reached")
	// ErrOutcomeUnknown says that a request may have arrived and that no valid answer
	// came back.
	ErrOutcomeUnknown = errors.New("the panel gave no valid answer")
)

// Target is an enrolled panel.
type Target struct {
	PanelID   string
	Address   string // http://host:port
	PublicKey ed25519.PublicKey
	// Signer is the engine's key that this panel trusts; none: the client's own.
	Signer Signer
	// Carrier takes messages to a panel that cannot be reached at an address; none: HTTP.
	Carrier Carrier
}

// Carrier takes a message to a panel that polls (see [Deliveries]) and brings what
// it answers: a signed message, or the problem document of a refusal.
type Carrier interface {
	// Carry fails with [ErrUnreachable] if the message surely did not arrive and will
	// not any more, and with [ErrOutcomeUnknown] if it may have.
	Carry(ctx context.Context, panelID, messageID, message string) (answer string, err error)
}

// Client talks to panels in the name of the engine. It is safe for concurrent use.
type Client struct {
	signer Signer
	http   *http.Client
	// Now is the engine's clock; time.Now if nil.
	Now func() time.Time
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// NewClient returns a client that keeps connections open, follows no redirects and
// uses no proxy: a command goes to the panel it is for or nowhere.
func NewClient(engine Engine) *Client {
	return &Client{signer: engine.Signer(), http: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 4, MaxIdleConns: 1000, IdleConnTimeout: 2 * time.Minute,
			ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// PutGrant delivers a grant. The answer names the revision that the panel holds,
// which is newer than the grant's where the grant came late (P3).
func (c *Client) PutGrant(ctx context.Context, t Target, g Grant) (Ack, error) {
	var ack Ack
	err := c.ask(ctx, t, http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), TypeGrant, g, TypeGrantAck, &ack)
	if err == nil && ack.GrantID != g.GrantID {
		err = fmt.Errorf("%w: the acknowledgement is of another grant", ErrOutcomeUnknown)
	}
	return ack, err
}

// Command sends a momentary command (P4). [ErrUnreachable] means that it did not
// arrive; [ErrOutcomeUnknown] that only the same command may be sent again.
func (c *Client) Command(ctx context.Context, t Target, command Command) (CommandResult, error) {
	var result CommandResult
	err := c.ask(ctx, t, http.MethodPost, "/commands", TypeCommand, command, TypeResult, &result)
	if err == nil && result.CommandID != command.CommandID {
		err = fmt.Errorf("%w: the result is of another command", ErrOutcomeUnknown)
	}
	return result, err
}

// Status asks a panel how it is.
func (c *Client) Status(ctx context.Context, t Target) (Status, error) {
	var status Status
	err := c.ask(ctx, t, http.MethodGet, "/status", TypeStatusQuery, StatusQuery{}, TypeStatus, &status)
	return status, err
}

func (c *Client) ask(ctx context.Context, t Target, method, path string, typ Type, body any, answerType Type, answer any) error {
	signer := c.signer
	if t.Signer.Key != nil {
		signer = t.Signer
	}
	token, id, err := signer.Sign(t.PanelID, typ, "", body, c.now())
	if err != nil {
		return err
	}
	document, err := c.carry(ctx, t, method, path, id, token)
	if err != nil {
		return err
	}
	want := Expect{Issuer: t.PanelID, Audience: EngineName, Type: answerType, Re: id}
	if _, err := Open(ctx, string(bytes.TrimSpace(document)), t.PublicKey, want, c.now(), nil, answer); err != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

// carry takes a message to its panel and brings the answer.
func (c *Client) carry(ctx context.Context, t Target, method, path, id, token string) ([]byte, error) {
	if t.Carrier == nil {
		return c.post(ctx, t, method, path, token)
	}
	answer, err := t.Carrier.Carry(ctx, t.PanelID, id, token)
	if err == nil && strings.HasPrefix(answer, "{") { // no signed message begins like that
		err = refusalOf(http.StatusBadRequest, []byte(answer))
	}
	return []byte(answer), err
}

// post takes a message to a panel over HTTP.
func (c *Client) post(ctx context.Context, t Target, method, path, token string) ([]byte, error) {
	// Without a connection nothing was sent, whichever way it failed: refused, no such
	// host, or the caller's deadline while still dialling.
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	request, err := http.NewRequestWithContext(traced, method, strings.TrimSuffix(t.Address, "/")+path, strings.NewReader(token))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	request.Header.Set("Content-Type", ContentType)
	if method == http.MethodGet { // which carries no body
		request.Body, request.ContentLength, request.GetBody = nil, 0, nil
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if !connected.Load() {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, MaxMessage+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusalOf(response.StatusCode, document)
	}
	return document, nil
}

// refusalOf reads why a panel refused a message. A refused message had no effect,
// but the refusal is not signed, so a command's outcome is not certain by it.
func refusalOf(status int, document []byte) error {
	var problem struct {
		Code   Code   `json:"code"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(document, &problem) != nil || problem.Code == "" {
		return fmt.Errorf("%w: HTTP status %d", ErrOutcomeUnknown, status)
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, &Error{Code: problem.Code, Detail: problem.Detail})
}
