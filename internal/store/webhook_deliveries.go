package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
	"latchkey/internal/webhook"
)

const deliveryColumns = `SELECT id, webhook_id, event_id, event_type, state, attempts, due_at, attempted_at, status, error, created_at, ended_at
	FROM webhook_deliveries`

func scanDelivery(row pgx.CollectableRow) (d directory.Delivery, err error) {
	var attempted, ended *time.Time
	err = row.Scan(&d.ID, &d.WebhookID, &d.EventID, &d.EventType, &d.State, &d.Attempts, &d.DueAt, &attempted, &d.Status, &d.Error, &d.CreatedAt, &ended)
	d.DueAt, d.CreatedAt, d.AttemptedAt, d.EndedAt = d.DueAt.UTC(), d.CreatedAt.UTC(), orZero(attempted), orZero(ended)
	return d, err
}

// WebhookDeliveries lists what was or is to be sent to an endpoint, newest first. An
// empty state does not narrow it; dead is the dead-letter list (E4).
func (s *Store) WebhookDeliveries(ctx context.Context, accountID, webhookID string, state directory.DeliveryState, page Page, now time.Time) ([]directory.Delivery, string, error) {
	if _, err := s.Webhook(ctx, accountID, webhookID, now); err != nil {
		return nil, "", err
	}
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	limit := page.limit()
	query := deliveryColumns + ` WHERE webhook_id = $1 AND ($2 = '' OR id < $2)`
	arguments := []any{webhookID, after, limit + 1}
	switch state {
	case directory.DeliveryDead: // spelt out for its index
		query += ` AND state = 'dead'`
	case "":
	default:
		query += ` AND state = $4`
		arguments = append(arguments, string(state))
	}
	rows, err := s.pool.Query(ctx, query+` ORDER BY id DESC LIMIT $3`, arguments...)
	if err != nil {
		return nil, "", err
	}
	all, err := pgx.CollectRows(rows, scanDelivery)
	if err != nil {
		return nil, "", err
	}
	all, next := cut(all, limit, func(d directory.Delivery) string { return d.ID })
	return all, next, nil
}

// ReplayDelivery sends an event to its endpoint again, now and for another day if it
// fails, whatever became of it before. It keeps its place: what waits in its lane
// behind it goes after it. An empty webhookID is any of the account.
func (s *Store) ReplayDelivery(ctx context.Context, accountID, webhookID, id string, now time.Time) (d directory.Delivery, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $4, retry_until = $5, ended_at = NULL
			WHERE id = $1 AND account_id = $2 AND ($3 = '' OR webhook_id = $3)
			RETURNING id, webhook_id, event_id, event_type, state, attempts, due_at, attempted_at, status, error, created_at, ended_at`,
			id, accountID, webhookID, now, now.Add(webhook.Day))
		if d, err = one(rows, err, scanDelivery, "delivery", id); err != nil {
			return err
		}
		return feedWebhook(ctx, tx, d.EventID, d.WebhookID)
	})
	return d, err
}
