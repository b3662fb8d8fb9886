package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes Temporal's warnings and errors on to slog. Of what Temporal
// attaches to them only plain values go along (ids, counts, errors): requests and
// payloads are whole messages and stay out (E7).
type logger struct {
	to    *slog.Logger
	phase *phase
}

// phase is what all loggers of one server share.
type phase struct {
	// settled is true between start and stop. Outside of that, warnings and errors
	// tell that a service's neighbour is not there yet, or not any more; the last
	// one is kept in case the start fails.
	settled atomic.Bool

	mu   sync.Mutex
	last string
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(to *slog.Logger) *logger {
	return &logger{to: to.With(slog.String("component", "temporal")), phase: &phase{}}
}

// guard runs a part of the server in a goroutine of its own and waits for it, or
// for the end of ctx. A part that cannot go on ends its goroutine (see Fatal),
// which must not be the caller's; what it said then is the error.
func (l *logger) guard(ctx context.Context, run func() error) error {
	ended := make(chan error, 2)
	go func() {
		defer func() { ended <- l.gaveUp() }() // read only when nothing came before it
		ended <- run()
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("the Temporal server did not start in time: %w: %s", ctx.Err(), l.lastWords())
	case err := <-ended:
		return err
	}
}

func (l *logger) gaveUp() error {
	return fmt.Errorf("a part of Temporal gave up: %s", l.lastWords())
}

func (l *logger) lastWords() string {
	l.phase.mu.Lock()
	defer l.phase.mu.Unlock()
	return l.phase.last
}

func (l *logger) remember(msg string, tags []tag.Tag) {
	for _, t := range tags {
		if err, ok := plain(t.Value()); ok && t.Key() == "error" {
			msg += fmt.Sprintf(" (%v)", err)
		}
	}
	l.phase.mu.Lock()
	defer l.phase.mu.Unlock()
	l.phase.last = msg
}

// Debug and Info say nothing: a quiet server writes hundreds of lines at these levels.
func (l *logger) Debug(string, ...tag.Tag) {}
func (l *logger) Info(string, ...tag.Tag)  {}

func (l *logger) Warn(msg string, tags ...tag.Tag) {
	if l.phase.settled.Load() {
		l.log(slog.LevelWarn, msg, tags)
	}
}

func (l *logger) Error(msg string, tags ...tag.Tag) {
	if l.phase.settled.Load() {
		l.log(slog.LevelError, msg, tags)
		return
	}
	l.remember(msg, tags)
}

// DPanic is what must never happen, but is survived.
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
	l.remember(msg, tags)
	runtime.Goexit()
}

func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{to: slog.New(l.to.Handler().WithAttrs(attributes(tags))), phase: l.phase}
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
