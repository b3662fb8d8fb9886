package api

import (
	"context"
	"time"

	"latchkey/internal/directory"
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID             string     `json:"id" example:"whd_d4k2m1c7h1qg00f3v5tg"`
	WebhookID      string     `json:"webhook_id"`
	EventID        string     `json:"event_id" doc:"The webhook-id of its requests"`
	EventType      string     `json:"event_type" example:"entrance.opened"`
	State          string     `json:"state" enum:"pending,delivered,dead" doc:"dead: it failed for a day; replay it to send it again"`
	Attempts       int        `json:"attempts" doc:"So far; from 0 again after a replay"`
	NextAttemptAt  *time.Time `json:"next_attempt_at" doc:"While it is pending. An earlier event of the same item that is pending goes first"`
	LastAttemptAt  *time.Time `json:"last_attempt_at"`
	ResponseStatus *int       `json:"response_status" doc:"Of the last attempt; null if there was no answer"`
	LastError      *string    `json:"last_error" doc:"Why the last attempt failed: status, timeout, connection_refused, connection, name_not_found, tls, address_not_allowed or secret"`
	CreatedAt      time.Time  `json:"created_at"`
	DeliveredAt    *time.Time `json:"delivered_at"`
	DeadAt         *time.Time `json:"dead_at"`
}

type listDeliveriesInput struct {
	ByID
	Paging
	State string `query:"state" enum:"pending,delivered,dead" doc:"Only those in this state"`
}

type replayInput struct {
	ByID
	DeliveryID string `path:"delivery_id" maxLength:"64"`
}

func (s *service) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*output[List[Delivery]], error) {
	values, next, err := s.Store.WebhookDeliveries(ctx, accountID(ctx), in.ID, directory.DeliveryState(in.State), in.page(), time.Now())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, deliveryOf), nil
}

// replayDelivery sends an event to its endpoint again, whatever became of it.
func (s *service) replayDelivery(ctx context.Context, in *ByID) (*output[Delivery], error) {
	return s.replay(ctx, "", in.ID)
}

// replayWebhookDelivery is replayDelivery under the path of its endpoint.
func (s *service) replayWebhookDelivery(ctx context.Context, in *replayInput) (*output[Delivery], error) {
	return s.replay(ctx, in.ID, in.DeliveryID)
}

func (s *service) replay(ctx context.Context, webhookID, id string) (*output[Delivery], error) {
	d, err := s.Store.ReplayDelivery(ctx, accountID(ctx), webhookID, id, time.Now())
	if err != nil {
		return nil, err
	}
	return &output[Delivery]{Body: deliveryOf(d)}, nil
}

func deliveryOf(d directory.Delivery) Delivery {
	wire := Delivery{
		ID: d.ID, WebhookID: d.WebhookID, EventID: d.EventID, EventType: d.EventType, State: string(d.State), Attempts: d.Attempts,
		LastAttemptAt: instant(d.AttemptedAt), LastError: orNull(d.Error), CreatedAt: d.CreatedAt.UTC(),
	}
	if d.Status != 0 {
		wire.ResponseStatus = &d.Status
	}
	switch d.State {
	case directory.DeliveryPending:
		wire.NextAttemptAt = instant(d.DueAt)
	case directory.DeliveryDelivered:
		wire.DeliveredAt = instant(d.EndedAt)
	case directory.DeliveryDead:
		wire.DeadAt = instant(d.EndedAt)
	}
	return wire
}
