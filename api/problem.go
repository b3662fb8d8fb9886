package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/photo"
	"latchkey/internal/store"
	"latchkey/workflows"
)

// Problem is the one form of every error (RFC 9457). Code is stable and for
// machines, Detail is a sentence for people that says what to do. The members
// after Errors are there only with the codes that name them.
type Problem struct {
	Status int     `json:"status" doc:"The HTTP status" example:"409"`
	Title  string  `json:"title" doc:"The name of the HTTP status" example:"Conflict"`
	Detail string  `json:"detail" doc:"What is wrong and what to do about it"`
	Code   string  `json:"code" doc:"Stable, for machines" example:"in_use"`
	Errors []Fault `json:"errors,omitempty" doc:"The inputs that are to blame"`

	NextAllowedAt *time.Time `json:"next_allowed_at,omitempty" doc:"With resend_cooldown and rate_limited: when the call will be accepted"`
	From          *time.Time `json:"from,omitempty" doc:"With outside_window and outside_schedule: when the entrance will open"`
	Count         int        `json:"count,omitempty" doc:"With in_use and guest_limit_reached: how many items are in the way"`
	Conflict      *Busy      `json:"conflict,omitempty" doc:"With window_taken: the window in the way"`
	Holder        *Holder    `json:"holder,omitempty" doc:"With key_not_available, where the host asks: who is expected to return the key"`
	Rule          string     `json:"rule,omitempty" doc:"With a refusal to open: the rule that decided" example:"I9"`
	RequestID     string     `json:"request_id,omitempty" doc:"With 500: what to tell the operator"`

	retryAfter time.Duration
	headers    http.Header
}

// Fault names one input that is wrong.
type Fault struct {
	Location string `json:"location" doc:"Where it is" example:"body.ends_at"`
	Message  string `json:"message" doc:"What to change"`
}

// Busy is a window in which a key is somebody else's (K14).
type Busy struct {
	ReservationID string    `json:"reservation_id"`
	StartsAt      time.Time `json:"starts_at"`
	EndsAt        time.Time `json:"ends_at"`
}

// Holder is who has a key (K12).
type Holder struct {
	ReservationID string     `json:"reservation_id"`
	VisitorName   string     `json:"visitor_name"`
	Since         time.Time  `json:"since"`
	EndsAt        *time.Time `json:"ends_at" doc:"When their access ends; null: until revoked"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders gives Retry-After and what else the answer must carry.
func (p *Problem) GetHeaders() http.Header {
	headers := p.headers.Clone()
	if headers == nil {
		headers = http.Header{}
	}
	if p.retryAfter > 0 {
		headers.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	return headers
}

// ContentType makes it application/problem+json.
func (p *Problem) ContentType(string) string { return problemJSON }

const problemJSON = "application/problem+json"

// The codes that only the HTTP layer gives.
const (
	codeUnauthorized     = "unauthorized"
	codeMethodNotAllowed = "method_not_allowed"
	codeBodyTooLarge     = "body_too_large"
	codeUnsupportedMedia = "unsupported_media_type"
	codeNotAcceptable    = "not_acceptable"
	codeInProgress       = "in_progress"
	codeKeyReused        = "idempotency_key_reused"
	codeRateLimited      = "rate_limited"
	codeUnavailable      = "unavailable"
	codeInternal         = "internal"
)

// statuses is the table: the HTTP status of every code that rules, directory and
// store answer with. A code that is not here is a conflict with the state things
// are in.
var statuses = map[string]int{
	directory.CodeNotFound:           http.StatusNotFound,
	directory.CodeInvalid:            http.StatusUnprocessableEntity,
	directory.CodeConflict:           http.StatusConflict,
	directory.CodeInUse:              http.StatusConflict,
	directory.CodePreconditionFailed: http.StatusPreconditionFailed,
	directory.CodeForbidden:          http.StatusForbidden,

	"sharing_disabled":          http.StatusConflict,
	"entrance_not_shareable":    http.StatusUnprocessableEntity,
	"guest_limit_reached":       http.StatusConflict,
	store.CodeMemberWithoutRole: http.StatusUnprocessableEntity,
	"email_mismatch":            http.StatusForbidden,
	codeKeyReused:               http.StatusUnprocessableEntity,
	codeInProgress:              http.StatusConflict,
	codeRateLimited:             http.StatusTooManyRequests,
	"panel_unreachable":         http.StatusServiceUnavailable,
	"outcome_unknown":           http.StatusGatewayTimeout,
	"enrolment_refused":         http.StatusForbidden,
	store.CodeInvalidCode:       http.StatusUnauthorized,
	store.CodePastUnknown:       http.StatusConflict,

	string(access.CodeNotActive):            http.StatusForbidden,
	string(access.CodeNotShared):            http.StatusForbidden,
	string(access.CodeOutsideWindow):        http.StatusForbidden,
	string(access.CodeOutsideSchedule):      http.StatusForbidden,
	string(access.CodeVerificationRequired): http.StatusForbidden,
	string(access.CodeLockedDown):           http.StatusForbidden,
	string(access.CodeAlreadyAccepted):      http.StatusConflict,
	string(access.CodeAlreadyDeclined):      http.StatusConflict,
	string(access.CodeInvitationExpired):    http.StatusGone,
	string(access.CodeInvitationRevoked):    http.StatusGone,
	string(access.CodeInvitationEnded):      http.StatusGone,
	string(access.CodeResendCooldown):       http.StatusConflict,
	string(access.CodeInvalidWindow):        http.StatusUnprocessableEntity,
	string(access.CodeVerificationUnused):   http.StatusConflict,
	string(access.CodeReservationRevoked):   http.StatusGone,
	string(access.CodeReservationEnded):     http.StatusGone,
	string(access.CodeVisitorIDRequired):    http.StatusForbidden,
	string(access.CodeInvalidCodeFormat):    http.StatusUnprocessableEntity,
	string(access.CodeWeakCode):             http.StatusUnprocessableEntity,
	string(access.CodeNoReminder):           http.StatusUnprocessableEntity,
	string(access.CodeRequestTooLate):       http.StatusServiceUnavailable,
	string(photo.CodeTooLarge):              http.StatusUnprocessableEntity,
	string(photo.CodeTooManyPixels):         http.StatusUnprocessableEntity,
	string(photo.CodeUnsupported):           http.StatusUnprocessableEntity,
	string(photo.CodeNotReadable):           http.StatusUnprocessableEntity,
}

// newProblem builds the answer to one code.
func newProblem(status int, code, detail string) *Problem {
	p := &Problem{Status: status, Title: http.StatusText(status), Code: code, Detail: detail}
	if status == http.StatusUnauthorized {
		p.headers = http.Header{"Www-Authenticate": {`Bearer realm="latchkey"`}}
	}
	return p
}

// problemOf turns any error into the answer the caller gets. Errors that carry
// no code are either passing, and then 503, or unexpected, and then 500 without
// their text.
func problemOf(err error) *Problem {
	var (
		problem *Problem
		domain  *directory.Error
		refusal *access.Refusal
		limited *store.RateLimited
		taken   *store.WindowTaken
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &limited):
		p := coded(codeRateLimited, "Too many sign-in codes were asked for. Wait until next_allowed_at, then ask again.")
		p.NextAllowedAt = instant(limited.RetryAt)
		p.retryAfter = max(time.Second, time.Until(limited.RetryAt))
		return p
	case errors.As(err, &taken):
		p := coded(store.CodeWindowTaken, "Another reservation has the key for a part of this time. Choose a time before or after the one in conflict.")
		p.Conflict = &Busy{ReservationID: taken.ReservationID, StartsAt: taken.StartsAt, EndsAt: taken.EndsAt}
		return p
	case errors.As(err, &domain):
		p := coded(domain.Code, domain.Detail)
		p.Count = domain.Count
		for _, field := range domain.Fields {
			p.Errors = append(p.Errors, Fault(field))
		}
		return p
	case errors.As(err, &refusal):
		p := coded(string(refusal.Code), refusal.Detail)
		p.NextAllowedAt = instant(refusal.NextAllowedAt)
		return p
	case errors.Is(err, store.ErrInProgress):
		return coded(codeInProgress, "The first request with this Idempotency-Key is still under way. Repeat it in a moment to get its answer.")
	case errors.Is(err, store.ErrKeyReused):
		return coded(codeKeyReused, "This Idempotency-Key was used for another request. Use a new key, or send the same request again.")
	case passing(err):
		return unavailable()
	default:
		return newProblem(http.StatusInternalServerError, codeInternal,
			"Something went wrong on our side. Try again; if it happens again, tell the operator the request id.")
	}
}

func coded(code, detail string) *Problem {
	status, known := statuses[code]
	if !known {
		status = http.StatusConflict
	}
	p := newProblem(status, code, detail)
	switch code {
	case codeInProgress:
		p.retryAfter = time.Second
	case "panel_unreachable":
		p.retryAfter = 2 * time.Second
	}
	return p
}

func unavailable() *Problem {
	p := newProblem(http.StatusServiceUnavailable, codeUnavailable,
		"A part of the system is busy or away. Nothing is half done; send the same request again in a moment.")
	p.retryAfter = 2 * time.Second
	return p
}

func preconditionFailed() error {
	return &directory.Error{Code: directory.CodePreconditionFailed, Detail: "The item has changed since you read it. Read it again and repeat the change."}
}

// passing says whether an error is one that goes away by itself: the database or
// Temporal is away, restarting, overloaded or too slow for the request's deadline (E9).
func passing(err error) bool {
	var (
		connect  *pgconn.ConnectError
		server   *pgconn.PgError
		network  net.Error
		shutdown = []string{"57P01", "57P02", "57P03", "53300", "53400", "57014", "25006"}
	)
	switch {
	case errors.Is(err, workflows.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, puddle.ErrClosedPool):
		return true
	case errors.As(err, &server):
		return slices.Contains(shutdown, server.Code) || server.Code[:2] == "08"
	default:
		return errors.As(err, &connect) || errors.As(err, &network)
	}
}

// newHumaError is how huma tells what its validation found. Values are not
// echoed: they can be personal, and large.
func newHumaError(status int, message string, errs ...error) huma.StatusError {
	code := map[int]string{
		http.StatusUnsupportedMediaType:  codeUnsupportedMedia,
		http.StatusNotAcceptable:         codeNotAcceptable,
		http.StatusRequestEntityTooLarge: codeBodyTooLarge,
		http.StatusInternalServerError:   codeInternal,
	}[status]
	if code == "" {
		code = directory.CodeInvalid
	}
	p := newProblem(status, code, sentence(message))
	if status == http.StatusUnsupportedMediaType {
		p.Detail = "Send the body as JSON, with the header Content-Type: application/json."
		return p
	}
	if status >= http.StatusInternalServerError {
		return p // what went wrong inside is not for the caller
	}
	for _, err := range errs {
		var detailer huma.ErrorDetailer
		if errors.As(err, &detailer) {
			p.Errors = append(p.Errors, faultOf(detailer.ErrorDetail()))
		} else if err != nil {
			p.Errors = append(p.Errors, Fault{Message: err.Error()})
		}
	}
	switch len(p.Errors) {
	case 0:
	case 1:
		p.Detail = fmt.Sprintf("Change %s: %s.", p.Errors[0].Location, p.Errors[0].Message)
	default:
		p.Detail = fmt.Sprintf("Change the %d inputs named in errors; the first is %s: %s.", len(p.Errors), p.Errors[0].Location, p.Errors[0].Message)
	}
	return p
}

// faultOf names the input itself where huma names the object that misses it.
func faultOf(detail *huma.ErrorDetail) Fault {
	field, before := strings.CutPrefix(detail.Message, "expected required property ")
	field, after := strings.CutSuffix(field, " to be present")
	if before && after {
		return Fault{Location: detail.Location + "." + field, Message: "it is missing and needs a value"}
	}
	return Fault{Location: detail.Location, Message: detail.Message}
}

func sentence(message string) string {
	if message == "request body is required" {
		return "Send the request's fields as a JSON object in its body."
	}
	return message
}

// huma keeps how it makes errors and schemas in package variables, and this is
// the only package of the program that uses it.
func init() {
	huma.NewError = newHumaError
	huma.DefaultArrayNullable = false
}
