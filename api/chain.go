package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/rs/xid"

	"latchkey/internal/directory"
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyCaller
	keyClaim
	keyNetwork
)

// identify gives the request an id that the logs, the answer's X-Request-Id and
// a problem 500 share, and notes the caller's network address.
func (s *service) identify(c *gin.Context) {
	id := "req_" + xid.New().String()
	c.Header("X-Request-Id", id)
	ctx := context.WithValue(c.Request.Context(), keyRequestID, id)
	ctx = context.WithValue(ctx, keyNetwork, c.ClientIP())
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string) // the zero value is right outside a request
	return id
}

// networkAddress is the IP address that the request came from.
func networkAddress(ctx context.Context) string {
	address, _ := ctx.Value(keyNetwork).(string)
	return address
}

// record writes the access log and the metrics. Only the route's template is
// written, never the path: paths can hold tokens (E7).
func (s *service) record(c *gin.Context) {
	began := time.Now()
	c.Next()
	template, took, status := c.FullPath(), time.Since(began), c.Writer.Status()
	if template == "" {
		template = "none"
	}
	s.metrics.observe(c.Request.Method, template, status, took)
	s.Logger.InfoContext(c.Request.Context(), "request",
		slog.String("request_id", requestID(c.Request.Context())),
		slog.String("method", c.Request.Method),
		slog.String("route", template),
		slog.Int("status", status),
		slog.Duration("took", took))
}

// recover turns a panic into a problem 500 that says nothing of the inside, and
// logs it once.
func (s *service) recover(c *gin.Context) {
	defer func() {
		failure := recover()
		if failure == nil {
			return
		}
		ctx := c.Request.Context()
		s.Logger.ErrorContext(ctx, "request panicked", slog.String("request_id", requestID(ctx)),
			slog.Any("panic", failure), slog.String("stack", string(debug.Stack())))
		if c.Writer.Written() {
			c.Abort()
			return
		}
		p := problemOf(errors.New("panic"))
		p.RequestID = requestID(ctx)
		abort(c, p)
	}()
	c.Next()
}

// secure sets the headers that every answer carries. Answers hold personal data
// and credentials, so nothing may keep them; pages set their own policy.
func secure(c *gin.Context) {
	header := c.Writer.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c.Next()
}

// The limits of a body.
const (
	maxBodyBytes     = 1 << 20
	bodyReadTimeout  = 15 * time.Second
	photoReadTimeout = time.Minute
)

// readBody reads the whole body within the limits, so that what follows can read
// it twice and nothing else has to think of a client that sends slowly or without end.
func (s *service) readBody(limit int64) func(c huma.Context, next func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) { s.readUpTo(limit, c, next) }
}

func (s *service) readUpTo(limit int64, c huma.Context, next func(huma.Context)) {
	request := humagin.Unwrap(c).Request
	if request.ContentLength > limit {
		c.SetHeader("Connection", "close")
		writeProblem(c, bodyTooLarge(limit))
		return
	}
	patience := bodyReadTimeout
	if limit > maxBodyBytes { // a photo from a phone takes its time
		patience = photoReadTimeout
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		writeProblem(c, s.explainInside(c, err))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(humagin.Unwrap(c).Writer, request.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(c, bodyTooLarge(limit))
		return
	case err != nil:
		writeProblem(c, newProblem(http.StatusBadRequest, directory.CodeInvalid, "The body ended before it was complete. Send the request again."))
		return
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		writeProblem(c, s.explainInside(c, err))
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	next(c)
}

func bodyTooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, codeBodyTooLarge, fmt.Sprintf("The body is larger than %d MiB. Send less.", limit>>20))
}

// explainInside is explain for middleware.
func (s *service) explainInside(c huma.Context, err error) *Problem {
	return problemOf(s.explain(c.Context(), err))
}

// writeProblem answers with a problem from middleware.
func writeProblem(c huma.Context, p *Problem) { abort(humagin.Unwrap(c), p) }

// abort answers with a problem and ends the chain.
func abort(c *gin.Context, p *Problem) {
	for name, values := range p.GetHeaders() {
		c.Writer.Header()[name] = values
	}
	body, err := json.Marshal(p)
	if err != nil { // a Problem always marshals; what cannot be is still not sent half
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Abort()
	c.Data(p.Status, problemJSON, body)
}
