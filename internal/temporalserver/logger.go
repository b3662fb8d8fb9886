package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes Temporal's warnings and errors on to slog. Of what Temporal
// attaches to them only plain values go along (ids, counts, errors): requests and
// payloads are whole messages and stay out (E7).
type logger struct {
	to   *slog.Logger
	last *words
}

// words is the last thing that a service said before it gave up.
type words struct {
	mu   sync.Mutex
	said string
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(to *slog.Logger) *logger {
	return &logger{to: to.With(slog.String("component", "temporal")), last: &words{}}
}

func (l *logger) lastWords() string {
	l.last.mu.Lock()
	defer l.last.mu.Unlock()
	return l.last.said
}

// Debug and Info say nothing: a quiet server writes hundreds of lines at these levels.
func (l *logger) Debug(string, ...tag.Tag) {}
func (l *logger) Info(string, ...tag.Tag)  {}

func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.log(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// Panic must not return, and its callers recover from it.
func (l *logger) Panic(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	panic(msg) //nolint:forbidigo // the contract of Temporal's logger, whose callers recover
}

// Fatal must not return either. In a process of its own Temporal would end it
// here; in this one doors go on opening (E9), so only the service's goroutine ends.
func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	said := msg
	for _, t := range tags {
		if err, ok := plain(t.Value()); ok && t.Key() == "error" {
			said += fmt.Sprintf(" (%v)", err)
		}
	}
	l.last.mu.Lock()
	l.last.said = said
	l.last.mu.Unlock()
	runtime.Goexit()
}

func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{to: slog.New(l.to.Handler().WithAttrs(attributes(tags))), last: l.last}
}

func (l *logger) log(level slog.Level, msg string, tags []tag.Tag) {
	if !l.to.Enabled(context.Background(), level) {
		return
	}
	l.to.LogAttrs(context.Background(), level, "Temporal reports", append(attributes(tags), slog.String("report", msg))...)
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(tags)+1)
	for _, t := range tags {
		if value, ok := plain(t.Value()); ok {
			attrs = append(attrs, slog.Any(t.Key(), value))
		}
	}
	return attrs
}

// plain lets through what cannot hold a message.
func plain(value any) (any, bool) {
	switch v := value.(type) {
	case string, bool, int, int32, int64, uint32, uint64, float64, time.Duration, time.Time:
		return v, true
	case error:
		return v.Error(), true
	default:
		return nil, false
	}
}
