package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
	"latchkey/internal/webhook"
)

// nextDeliverySQL reads the first of a lane that is neither delivered nor dead. While its
// endpoint is there, there is one.
const nextDeliverySQL = `SELECT d.id, d.webhook_id, d.attempts, d.due_at, d.retry_until, w.revision, w.url,
		(SELECT array_agg(s.secret ORDER BY s.created_at DESC, s.id DESC) FROM webhook_secrets s
			WHERE s.webhook_id = w.id AND (s.retires_at IS NULL OR s.retires_at > $3)),
		e.id, e.account_id, e.type, e.at, e.recorded_at, coalesce(e.property_id, ''), coalesce(e.item_id, ''), coalesce(e.entrance_id, ''),
		coalesce(e.panel_id, ''), coalesce(e.actor_id, ''), e.code, e.rule, e.detail
	FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.id = d.event_id
	WHERE d.webhook_id = $1 AND d.lane = $2 AND d.state = 'pending' ORDER BY d.place LIMIT 1`

// NextDelivery implements webhook.Deliveries.
func (q *webhookQueue) NextDelivery(ctx context.Context, lane webhook.Lane, now time.Time) (webhook.Message, bool, error) {
	return q.scanMessage(q.pool.QueryRow(ctx, nextDeliverySQL, lane.WebhookID, lane.Item, instant(now)))
}

func (q *webhookQueue) scanMessage(row pgx.Row) (m webhook.Message, ok bool, err error) {
	var address, detail []byte
	var secrets [][]byte
	e := &m.Event
	err = row.Scan(&m.DeliveryID, &m.WebhookID, &m.Attempts, &m.DueAt, &m.RetryUntil, &m.Revision, &address, &secrets,
		&e.ID, &e.AccountID, &e.Type, &e.At, &e.RecordedAt, &e.PropertyID, &e.ItemID, &e.EntranceID, &e.PanelID, &e.ActorID, &e.Code, &e.Rule, &detail)
	if isNoRows(err) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(detail, &e.Detail); err != nil {
		return m, false, err
	}
	keys := q.store.keys
	plain, err := keys.Unseal(webhookPurpose("address", m.WebhookID), address)
	if err != nil {
		return m, false, err
	}
	m.URL = string(plain)
	for _, sealed := range secrets {
		secret, err := keys.Unseal(webhookPurpose("secret", m.WebhookID), sealed)
		if err != nil {
			return m, false, err
		}
		m.Secrets = append(m.Secrets, string(secret))
	}
	return m, true, nil
}

// RecordAttempt implements webhook.Deliveries. A failure at an endpoint that has been
// changed meanwhile says nothing about the new one, so there is no pause after it. It also notes how the endpoint does; that
// row is written only when it changes, or all deliveries of it would queue for it.
func (q *webhookQueue) RecordAttempt(ctx context.Context, lane webhook.Lane, m webhook.Message, a webhook.Attempt) (next webhook.Message, ok bool, err error) {
	at := instant(a.At)
	due, ended := a.DueAt, time.Time{}
	if a.State != directory.DeliveryPending {
		due, ended = at, at
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE webhook_deliveries SET state = $2, attempts = attempts + 1, attempted_at = $4, status = $5, error = $6, ended_at = $7,
			due_at = CASE WHEN $8 = (SELECT revision FROM webhooks w WHERE w.id = webhook_id) THEN $3::timestamptz ELSE $4 END
		WHERE id = $1 AND state = 'pending'`, m.DeliveryID, string(a.State), instant(due), at, a.Status, a.Error, orNull(ended), m.Revision)
	batch.Queue(nextDeliverySQL, lane.WebhookID, lane.Item, at).QueryRow(func(row pgx.Row) error {
		var err error
		next, ok, err = q.scanMessage(row)
		return err
	})
	if a.State == directory.DeliveryDelivered {
		batch.Queue(`UPDATE webhooks SET failing_since = NULL, last_error = '', last_delivered_at = $2
			WHERE id = $1 AND (failing_since IS NOT NULL OR last_delivered_at IS NULL OR last_delivered_at < $3)`, m.WebhookID, at, at.Add(-time.Second))
	} else {
		batch.Queue(`UPDATE webhooks SET failing_since = coalesce(failing_since, $2), last_error = $3
			WHERE id = $1 AND (failing_since IS NULL OR last_error <> $3)`, m.WebhookID, at, a.Error)
	}
	err = q.pool.SendBatch(ctx, batch).Close() // fills in the next
	return next, ok, err
}
