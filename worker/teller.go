package worker

import (
	"context"
	"log/slog"
	"time"
)

// Changes is what a teller works on; internal/store satisfies it.
type Changes interface {
	// TellOfChange tells at most limit of those whom the oldest change of a property
	// concerns, and reports how many it has looked at, zero if there is no more to tell.
	TellOfChange(ctx context.Context, limit int, now time.Time) (looked int, err error)
}

// Teller tells guests, visitors, inviters and hosts what a change of a property has
// changed for them (I12, I17). It is paced, so that a property with very many items
// does not slow down its doors; decisions follow the change at once anyway.
type Teller struct {
	Changes Changes
	Clock   func() time.Time
	Log     *slog.Logger
}

const (
	tellEvery = time.Second
	tellPage  = 10
	tellPause = 20 * time.Millisecond // for each: at most 50 a second
)

// Run tells until ctx ends.
func (t *Teller) Run(ctx context.Context) {
	for {
		looked, err := t.Changes.TellOfChange(ctx, tellPage, t.Clock())
		if err != nil && ctx.Err() == nil {
			t.Log.LogAttrs(ctx, slog.LevelWarn, "those whom a change concerns wait to be told", slog.Any("error", err))
		}
		pause := tellEvery
		if looked > 0 {
			pause = time.Duration(looked) * tellPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
