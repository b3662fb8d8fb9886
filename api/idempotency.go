package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"latchkey/internal/directory"
	"latchkey/internal/store"
)

const (
	headerIdempotencyKey      = "Idempotency-Key"
	headerIdempotentReplayed  = "Idempotent-Replayed"
	maxIdempotencyKey         = 255
	idempotencyLease          = 30 * time.Second // longer than any call may take
	idempotencyFinishTimeout  = 5 * time.Second
	idempotencyPublicCallers  = "public"
	idempotencyKeyDescription = "Makes the call repeatable: the same key with the same request gets the first answer again for 24 hours (E2)."
)

// claim is the idempotency key of a request, for handlers that put what they
// create into the same transaction as the key.
type claim struct {
	Scope      string // the account or the person whose key it is
	Key        []byte // the hash under which the store knows the key
	Request    []byte // a hash over method, path, query and body
	ResourceID string // what an earlier run with this key created before it was cut off
}

// forStore is the claim for a transaction of the store; nil without a key.
func (c *claim) forStore() *store.IdempotencyClaim {
	if c == nil {
		return nil
	}
	return &store.IdempotencyClaim{Scope: c.Scope, Key: c.Key, ResourceID: c.ResourceID}
}

// claimOf is the idempotency claim of the request, or nil if it has no key.
func claimOf(ctx context.Context) *claim {
	c, _ := ctx.Value(keyClaim).(*claim) // nil without a key
	return c
}

func idempotencyParameter() *huma.Param {
	return &huma.Param{Name: headerIdempotencyKey, In: "header", Description: idempotencyKeyDescription,
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxIdempotencyKey), Pattern: `^[!-~]+$`}}
}

// once carries a POST with an Idempotency-Key out at most once: a repetition gets
// the first answer (E2). What failed on our side, or was refused only for coming
// too often, is forgotten, so that a repetition can succeed.
func (s *service) once(r route) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		key := c.Header(headerIdempotencyKey)
		if key == "" {
			next(c)
			return
		}
		if !visibleASCII(key) {
			writeProblem(c, problemOf(directory.Invalid("header."+headerIdempotencyKey, "Use 1 to 255 visible ASCII characters, such as a UUID.")))
			return
		}
		mine, err := claimFor(c, key)
		if err != nil {
			writeProblem(c, s.explainInside(c, err))
			return
		}
		if r.ownClaim {
			next(huma.WithValue(c, keyClaim, mine))
			return
		}
		s.claimed(c, mine, next)
	}
}

// claimed asks the store for the key and carries the request out if it is fresh.
func (s *service) claimed(c huma.Context, mine *claim, next func(huma.Context)) {
	earlier, err := s.Store.BeginIdempotent(c.Context(), mine.Scope, mine.Key, mine.Request, idempotencyLease, time.Now())
	if err != nil {
		writeProblem(c, s.explainInside(c, err))
		return
	}
	switch earlier.State {
	case store.IdempotencyDone:
		replay(humagin.Unwrap(c), earlier.Status, earlier.Response)
	case store.IdempotencyUnderWay:
		writeProblem(c, problemOf(store.ErrInProgress))
	case store.IdempotencyOtherBody:
		writeProblem(c, problemOf(store.ErrKeyReused))
	case store.IdempotencyFresh:
		mine.ResourceID = earlier.ResourceID
		s.carryOut(huma.WithValue(c, keyClaim, mine), mine, next)
	}
}

// carryOut runs the request, keeps its answer and only then sends it.
func (s *service) carryOut(c huma.Context, mine *claim, next func(huma.Context)) {
	g := humagin.Unwrap(c)
	real := g.Writer
	answer := &recorder{ResponseWriter: real, status: http.StatusOK}
	g.Writer = answer
	ended := false
	defer func() {
		g.Writer = real
		s.conclude(c, mine, answer, ended)
		if ended {
			answer.send()
		}
	}()
	next(c)
	ended = true
}

// conclude keeps the answer for repetitions, or forgets the key. It does so even
// if the caller has gone away meanwhile.
func (s *service) conclude(c huma.Context, mine *claim, answer *recorder, ended bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), idempotencyFinishTimeout)
	defer cancel()
	var err error
	if !ended || answer.status >= http.StatusInternalServerError || answer.status == http.StatusTooManyRequests {
		err = s.Store.ReleaseIdempotent(ctx, mine.Scope, mine.Key)
	} else {
		err = s.Store.CompleteIdempotent(ctx, mine.Scope, mine.Key, answer.status, answer.body.Bytes())
	}
	if err != nil { // the lease ends by itself; the answer is right all the same
		s.Logger.WarnContext(ctx, "idempotency key not concluded", slog.String("request_id", requestID(ctx)), slog.Any("error", err))
	}
}

func replay(c *gin.Context, status int, body []byte) {
	c.Header(headerIdempotentReplayed, "true")
	contentType := "application/json"
	if status >= http.StatusBadRequest {
		contentType = problemJSON
	}
	if len(body) == 0 {
		c.Status(status)
		return
	}
	c.Data(status, contentType, body)
}

// claimFor names the key and the request. Callers without a name are told apart
// by the secret of their booking URL, since a phone that repeats a request may be in
// another network by then; those without one by their network address.
func claimFor(c huma.Context, key string) (*claim, error) {
	request := humagin.Unwrap(c).Request
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	who := callerOf(c.Context())
	mine := &claim{Scope: who.accountID + who.personID}
	if mine.Scope == "" {
		place := c.Param("token")
		if place == "" {
			place = networkAddress(c.Context())
		}
		mine.Scope, key = idempotencyPublicCallers, place+" "+key
	}
	u := c.URL()
	mine.Key = hash([]byte(mine.Scope), []byte(key))
	mine.Request = hash([]byte(c.Method()), []byte(u.Path), []byte(u.Query().Encode()), body)
	return mine, nil
}

// hash is SHA-256 over parts that cannot run into each other.
func hash(parts ...[]byte) []byte {
	h := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

func visibleASCII(key string) bool {
	if len(key) > maxIdempotencyKey {
		return false
	}
	for _, b := range []byte(key) {
		if b < '!' || b > '~' {
			return false
		}
	}
	return true
}

// recorder holds an answer back until it has been kept.
type recorder struct {
	gin.ResponseWriter
	body   bytes.Buffer
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int)      { r.status, r.wrote = status, true }
func (r *recorder) WriteHeaderNow()             { r.wrote = true }
func (r *recorder) Write(b []byte) (int, error) { r.wrote = true; return r.body.Write(b) }
func (r *recorder) WriteString(text string) (int, error) {
	r.wrote = true
	return r.body.WriteString(text)
}
func (r *recorder) Status() int   { return r.status }
func (r *recorder) Size() int     { return r.body.Len() }
func (r *recorder) Written() bool { return r.wrote }
func (r *recorder) Flush()        {}

// Unwrap lets deadlines be set on the connection below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// send passes the answer on. That the caller has gone is nobody's error here.
func (r *recorder) send() {
	r.ResponseWriter.WriteHeader(r.status)
	if r.body.Len() == 0 {
		r.ResponseWriter.WriteHeaderNow()
		return
	}
	_, _ = r.ResponseWriter.Write(r.body.Bytes())
}
