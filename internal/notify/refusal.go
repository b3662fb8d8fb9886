package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// Fate is what becomes of a message that a sender could not send.
type Fate int

const (
	// Retries: nothing was taken, and the same message may be taken later.
	Retries Fate = iota
	// Ends: it will never be taken this way; another channel may do.
	Ends
	// Misconfigured: the vendor refuses us and not the message. It will be taken
	// once somebody has put the configuration right.
	Misconfigured
	// Unknown: the vendor may have taken it before the answer was lost.
	Unknown
)

// The codes of refusals. They are what an event says (message.failed), never a
// vendor's text, which repeats addresses.
const (
	CodeBadAddress   = "bad_address"     // there is no such mailbox or number, or it takes nothing from us
	CodeUnauthorized = "unauthorized"    // credentials, or what they may do, are not what the vendor wants
	CodeTooLarge     = "too_large"       // for the vendor
	CodeRefused      = "refused"         // for any other reason that lies in the message
	CodeRateLimited  = "rate_limited"    // too many at once
	CodeUnavailable  = "unavailable"     // not reachable, or out of order
	CodeUnknown      = "outcome_unknown" // the answer was lost
	CodeGone         = "gone"            // the phone no longer takes notifications
	CodeNoAddress    = "no_address"      // the person cannot be reached by any configured channel
)

// Refusal is why a message was not sent, and what to do about it. Its text holds
// codes and numbers only, so it may be logged (E7).
type Refusal struct {
	Code  string
	Fate  Fate
	After time.Duration // how long the vendor wants to be left alone, if it said so
	Says  string        // the vendor's own code, such as "HTTP 429" or "550 5.1.1"
}

func (r *Refusal) Error() string {
	if r.Says == "" {
		return r.Code
	}
	return fmt.Sprintf("%s (%s)", r.Code, r.Says)
}

// RefusalOf takes the refusal out of an error. A sender that says nothing of the
// kind could not be reached.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{Code: CodeUnavailable, Fate: Retries}
}

// RefusalOfStatus reads an answer that is no success by HTTP's own rules. Vendors
// that say more than a status put their codes in its place.
func RefusalOfStatus(status int, header http.Header, now time.Time) *Refusal {
	r := &Refusal{Says: "HTTP " + strconv.Itoa(status)}
	switch {
	case status == http.StatusTooManyRequests:
		r.Code, r.Fate, r.After = CodeRateLimited, Retries, pause(header, now)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		r.Code, r.Fate = CodeUnauthorized, Misconfigured
	case status == http.StatusRequestEntityTooLarge:
		r.Code, r.Fate = CodeTooLarge, Ends
	case status == http.StatusRequestTimeout, status >= 500:
		r.Code, r.Fate, r.After = CodeUnavailable, Retries, pause(header, now)
	default:
		r.Code, r.Fate = CodeRefused, Ends
	}
	return r
}

// longestPause bounds what a vendor may ask for.
const longestPause = time.Hour

// pause reads how long a vendor wants to be left alone: Retry-After as seconds or
// as a date, or SendGrid's X-RateLimit-Reset, which is an instant.
func pause(header http.Header, now time.Time) time.Duration {
	var after time.Duration
	switch wait := header.Get("Retry-After"); {
	case wait != "":
		if seconds, err := strconv.ParseInt(wait, 10, 32); err == nil {
			after = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(wait); err == nil {
			after = at.Sub(now)
		}
	case header.Get("X-RateLimit-Reset") != "":
		if at, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			after = time.Unix(at, 0).Sub(now)
		}
	}
	return min(max(after, 0), longestPause)
}

// Exchange watches one HTTP request, to tell a vendor that was never asked from
// one whose answer was lost.
type Exchange struct{ asked atomic.Bool }

// Watch returns a context under which the request is to be made.
func (e *Exchange) Watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { e.asked.Store(info.Err == nil) },
	})
}

// Broken is the refusal of a request that got no answer.
func (e *Exchange) Broken() *Refusal {
	if e.asked.Load() {
		return &Refusal{Code: CodeUnknown, Fate: Unknown}
	}
	return &Refusal{Code: CodeUnavailable, Fate: Retries}
}
