package api

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"latchkey/internal/panel"
	"latchkey/internal/photo"
)

// route is one line of the route table.
type route struct {
	method, path string
	needs        needs
	summary      string
	status       int           // of success; 0: 200, or 204 without a body
	within       time.Duration // the deadline of the handler's context
	ownClaim     bool          // the handler claims the idempotency key in its own transaction
	unkeyed      bool          // a POST that is repeatable by its own means
	asItIs       bool          // the handler reads the body itself: its signature is over the bytes
	body         int64         // the largest body, in bytes
	noContent    bool          // it may answer 204 instead
	answers      string        // the media type of success, where it is not JSON
	register     func(*service, huma.API)
}

// option is a departure from what most routes do.
type option func(*route)

// created answers 201, accepted 202.
func created(r *route)  { r.status = http.StatusCreated }
func accepted(r *route) { r.status = http.StatusAccepted }

// orNoContent is a DELETE that answers 200 where it has something to show, and else
// 204.
func orNoContent(r *route) { r.status, r.noContent = http.StatusOK, true }

// bare takes the type of the body away from an answer that has none.
func bare(c huma.Context, status string, body any) (any, error) {
	if status == "204" {
		c.SetHeader("Content-Type", "")
	}
	return body, nil
}

// claimsItself leaves the idempotency key to the handler: it is checked for its
// form and found by [claimOf], but neither claimed nor completed around it.
func claimsItself(r *route) { r.ownClaim = true }

// unkeyed takes no Idempotency-Key: the messages of panels have ids of their own (P1).
func unkeyed(r *route) { r.unkeyed = true }

// longPoll may take as long as a panel waits for messages.
func longPoll(r *route) { r.within = longestPoll + handlerTimeout }

// signedBody leaves the body to the handler as it came.
func signedBody(r *route) { r.asItIs = true }

// photograph takes a body as large as a photo of a phone is.
func photograph(r *route) { r.body, r.within = photo.MaxBytes+1<<20, photoReadTimeout+handlerTimeout }

// signed answers with a compact JWS, as panels ask with one (P1).
func signed(r *route) { r.answers = panel.ContentType }

// picture answers with a photo as it is kept (K7).
func picture(r *route) { r.answers = "image/jpeg" }

// handlerTimeout is how long a call may take. It is shorter than what callers
// usually wait, so that they get an answer that says what to do.
const handlerTimeout = 10 * time.Second

// handle makes one line of the table. The handler's errors go through the
// problem table; what is unexpected is logged here, once.
func handle[I, O any](method, path string, needs needs, summary string, handler func(*service, context.Context, *I) (*O, error), options ...option) route {
	r := route{method: method, path: path, needs: needs, summary: summary, within: handlerTimeout, body: maxBodyBytes}
	for _, apply := range options {
		apply(&r)
	}
	r.register = func(s *service, api huma.API) {
		huma.Register(api, s.operation(r), func(ctx context.Context, in *I) (*O, error) {
			out, err := handler(s, ctx, in)
			if err != nil {
				return nil, s.explain(ctx, err)
			}
			return out, nil
		})
		if r.noContent {
			api.OpenAPI().Paths[path].Delete.Responses["204"] = &huma.Response{Description: http.StatusText(http.StatusNoContent)}
		}
	}
	return r
}

// operation is the route as huma and the OpenAPI document know it, with the
// middleware that runs before its handler.
func (s *service) operation(r route) huma.Operation {
	op := huma.Operation{
		Method: r.method, Path: r.path, Summary: r.summary,
		OperationID:     operationID(r.method, r.path),
		Tags:            []string{tag(r.path)},
		DefaultStatus:   r.status,
		MaxBodyBytes:    -1, // readBody holds the limit
		BodyReadTimeout: -1,

		SkipValidateBody: r.asItIs,
		Security:         r.needs.security(),
		Description:      r.needs.describe(),
		Middlewares:      huma.Middlewares{deadline(r.within), s.authenticate(r.needs), s.readBody(r.body)},
	}
	if r.answers != "" {
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			r.answers: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}}
	}
	if r.method == http.MethodPost && !r.unkeyed {
		op.Parameters = []*huma.Param{idempotencyParameter()}
		op.Middlewares = append(op.Middlewares, s.once(r))
	}
	return op
}

// explain turns an error into the caller's problem and logs what only the
// operator can act on.
func (s *service) explain(ctx context.Context, err error) error {
	p := problemOf(err)
	switch {
	case p.Code == codeInternal:
		p.RequestID = requestID(ctx)
		s.Logger.ErrorContext(ctx, "request failed", slog.String("request_id", p.RequestID), slog.Any("error", err))
	case p.Code == codeUnavailable && ctx.Err() == nil:
		s.Logger.WarnContext(ctx, "a dependency is away", slog.String("request_id", requestID(ctx)), slog.Any("error", err))
	}
	return p
}

func deadline(within time.Duration) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		ctx, cancel := context.WithTimeout(c.Context(), within)
		defer cancel()
		next(huma.WithContext(c, ctx))
	}
}

var pathPunctuation = regexp.MustCompile(`[^a-z0-9]+`)

// operationID is stable as long as the route is: get-v1-properties-id.
func operationID(method, path string) string {
	return strings.ToLower(method) + strings.TrimSuffix(pathPunctuation.ReplaceAllString(path, "-"), "-")
}

// tag groups operations by the resource in their path.
func tag(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if parts[0] == "v1" && len(parts) > 1 {
		return parts[1]
	}
	return parts[0]
}

// noRoute and noMethod are the answers where the table has no line.
func noRoute() *Problem {
	return newProblem(http.StatusNotFound, "not_found", "There is nothing at this path. The paths are listed in /openapi.json.")
}

func noMethod(c *gin.Context) *Problem {
	detail := "This path does not take this method."
	if allow := c.Writer.Header().Get("Allow"); allow != "" {
		detail = "This path does not take this method; it takes " + allow + "."
	}
	return newProblem(http.StatusMethodNotAllowed, codeMethodNotAllowed, detail)
}
