package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// Timeout is how long an endpoint has to answer.
	Timeout = 10 * time.Second
	// mostOfAnswer is how much of an answer's body is read, so that its connection can
	// be used again. Nothing in it is looked at.
	mostOfAnswer = 64 << 10
)

// Why an attempt failed. The texts of errors are not kept: addresses are in them.
const (
	FailedStatus     = "status"              // an answer that is not 2xx
	FailedTimeout    = "timeout"             // no answer in time
	FailedRefused    = "connection_refused"  // nothing listens there
	FailedName       = "name_not_found"      // the name leads nowhere
	FailedTLS        = "tls"                 // the certificate is not good
	FailedAddress    = "address_not_allowed" // it leads where no request may go
	FailedConnection = "connection"          // it broke
	FailedSecret     = "secret"              // the secret could not be read or used
)

// Sender makes signed requests. It is safe for concurrent use.
type Sender struct {
	client  *http.Client
	version string
}

// NewSender makes a sender. Private addresses and plain HTTP are for development and
// closed networks.
func NewSender(allowPrivate bool, version string) *Sender {
	dialer := &net.Dialer{Timeout: Timeout / 2, Control: control(allowPrivate)}
	return &Sender{version: version, client: &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			Proxy:                  nil, // one would resolve names where they are not checked
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:    8,
			MaxIdleConns:           100,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: mostOfAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what became of one request.
type answer struct {
	status     int           // 0: there was none
	failed     string        // a code; "" if the endpoint took the event
	retryAfter time.Duration // what it asked for
}

// send makes one attempt. An error is a request that says nothing about the
// endpoint, because ctx ended.
func (s *Sender) send(ctx context.Context, m Message, payload []byte, now time.Time) (answer, error) {
	signatures, err := sign(m, payload, now)
	if err != nil {
		return answer{failed: FailedSecret}, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(payload))
	if err != nil {
		return answer{failed: FailedName}, nil
	}
	request.Header = http.Header{
		"Content-Type":                          {"application/json"},
		"User-Agent":                            {"Latchkey/" + s.version + " (webhooks)"},
		standardwebhooks.HeaderWebhookID:        {m.Event.ID},
		standardwebhooks.HeaderWebhookTimestamp: {strconv.FormatInt(now.Unix(), 10)},
		standardwebhooks.HeaderWebhookSignature: {strings.Join(signatures, " ")},
		"Accept":                                {"*/*"},
		"Accept-Encoding":                       {"identity"},
	}
	response, err := s.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{failed: reason(err)}, nil
	}
	defer func() { _ = response.Body.Close() }() // nothing was written to it
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, mostOfAnswer))
	a := answer{status: response.StatusCode}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		a.failed = FailedStatus
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			a.retryAfter = min(time.Duration(seconds), longestAsked/time.Second) * time.Second
		}
	}
	return a, nil
}

// sign gives one signature for each secret in force.
func sign(m Message, payload []byte, now time.Time) ([]string, error) {
	if len(m.Secrets) == 0 {
		return nil, errors.New("webhook: no secret")
	}
	signatures := make([]string, 0, len(m.Secrets))
	for _, secret := range m.Secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("webhook: a secret is not of the form whsec_") // the library's error may quote it
		}
		signature, err := signer.Sign(m.Event.ID, now, payload)
		if err != nil {
			return nil, fmt.Errorf("webhook: sign: %w", err)
		}
		signatures = append(signatures, signature)
	}
	return signatures, nil
}

func reason(err error) string {
	var (
		name      *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, errAddress):
		return FailedAddress
	case errors.As(err, &name):
		return FailedName
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &record), errors.As(err, &alert):
		return FailedTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return FailedRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return FailedTimeout
	}
	return FailedConnection
}
