package worker

import (
	"context"
	"log/slog"
	"time"
)

// every does something at once and then once in each period until ctx ends. What
// fails is logged as what has to wait, and tried again the next time.
func every(ctx context.Context, period time.Duration, log *slog.Logger, waits string, do func(ctx context.Context) error) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelWarn, "work waits and will be tried again", slog.String("what", waits), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
