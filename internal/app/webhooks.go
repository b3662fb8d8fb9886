package app

import (
	"context"
	"log/slog"
	"time"

	"latchkey/api"
	"latchkey/internal/webhook"
)

// Webhooks is where events may be sent. The roles that serve the API and that work
// should agree on it.
type Webhooks struct {
	WebhooksAllowPrivate bool `help:"Let webhooks lead to private and loopback addresses, and over plain HTTP. For development and closed networks."`
}

// serveWebhooks sends events to apps (E4).
func (e *engine) serveWebhooks(w Webhooks) func(ctx context.Context) {
	sender := webhook.NewSender(w.WebhooksAllowPrivate, Version)
	log := e.log.With(slog.String("part", "webhooks"))
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			err := e.store.ServeWebhooks(ctx, func(waiting webhook.Deliveries) *webhook.Courier {
				return &webhook.Courier{Deliveries: waiting, Sender: sender, Payload: api.WebhookPayload, Clock: time.Now, Log: log}
			}, log)
			if err == nil {
				return
			}
			log.LogAttrs(ctx, slog.LevelWarn, "webhooks could not be started and will be tried again", slog.Any("error", err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}
