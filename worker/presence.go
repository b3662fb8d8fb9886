package worker

import (
	"context"
	"log/slog"
	"time"
)

// Panels is what a [Presence] looks after; internal/store satisfies it.
type Panels interface {
	// NoteSilence enters in the log, once each, which panels have gone silent (P8).
	NoteSilence(ctx context.Context, now time.Time) error
}

// Presence notices panels that have gone silent. That they are back is noticed when
// they report.
type Presence struct {
	Panels Panels
	Clock  func() time.Time
	Log    *slog.Logger
}

const (
	presenceEvery = 5 * time.Second
	// presenceGrace is how long after a start nothing is noticed: while the engine was
	// down no panel could report, and all of them do within a minute (P8).
	presenceGrace = time.Minute
)

// Run looks until ctx ends.
func (p *Presence) Run(ctx context.Context) {
	next := time.After(presenceGrace)
	for {
		select {
		case <-ctx.Done():
			return
		case <-next:
		}
		if err := p.Panels.NoteSilence(ctx, p.Clock()); err != nil && ctx.Err() == nil {
			p.Log.LogAttrs(ctx, slog.LevelWarn, "silent panels were not noted; that will be tried again", slog.Any("error", err))
		}
		next = time.After(presenceEvery)
	}
}
