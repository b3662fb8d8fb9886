package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// A panic is answered without its text and logged once, under the request id that
// the caller is told (E6).
func TestAPanicIsAnsweredAndLoggedOnce(t *testing.T) {
	logs := &bytes.Buffer{}
	s := &service{Config: Config{Logger: slog.New(slog.NewJSONHandler(logs, nil))}, metrics: newMetrics()}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(s.identify, s.record, s.recover, secure)
	engine.GET("/broken/:token", func(*gin.Context) { panic("the inside") })

	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/broken/tok_secret", nil))

	var p Problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if answer.Code != http.StatusInternalServerError || p.Code != "internal" || p.RequestID != answer.Header().Get("X-Request-Id") {
		t.Errorf("%d %s with id %q, header %q", answer.Code, p.Code, p.RequestID, answer.Header().Get("X-Request-Id"))
	}
	if strings.Contains(answer.Body.String(), "inside") {
		t.Errorf("the inside is shown: %s", answer.Body)
	}
	if n := strings.Count(logs.String(), `"msg":"request panicked"`); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, logs)
	}
	if !strings.Contains(logs.String(), p.RequestID) || strings.Contains(logs.String(), "tok_secret") {
		t.Errorf("the log must have the request id and never a token: %s", logs)
	}
}
