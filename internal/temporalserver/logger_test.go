package temporalserver

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// E9: a service that gives up ends the start with what it said, not the process.
func TestFatalEndsThePartOnly(t *testing.T) {
	l := newLogger(slog.New(slog.DiscardHandler))
	err := l.guard(t.Context(), func() error {
		log.With(l, tag.ClusterName("active")).Fatal("no listener", tag.Error(errors.New("port is taken")))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "no listener (port is taken)") {
		t.Errorf("got %v, want the service's last words", err)
	}
}

// E7: ids and errors reach the log, whole messages do not.
func TestLogsPlainValuesOnly(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)))
	l.Warn("before the start is over")
	l.phase.settled.Store(true)
	l.Warn("slow", tag.WorkflowID("invitation/inv_1"), tag.Error(errors.New("late")),
		tag.Any("request", struct{ Guest string }{"Aiko"}), tag.Any("payload", []byte("Aiko")))
	if said := out.String(); !strings.Contains(said, "inv_1") || !strings.Contains(said, "late") ||
		strings.Contains(said, "Aiko") || strings.Contains(said, "before") {
		t.Errorf("the log says: %s", said)
	}
}
