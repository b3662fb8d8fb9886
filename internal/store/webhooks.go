package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

const (
	// mostWebhooks is how many endpoints an account may have: every event is sent to
	// each of them.
	mostWebhooks = 20
	// oldSecretLife is how long a replaced secret goes on signing beside the new one.
	oldSecretLife = 24 * time.Hour
)

// CodeWebhookLimit refuses one more endpoint.
const CodeWebhookLimit = "webhook_limit_reached"

// webhookColumns reads endpoints. $2 is now.
const webhookColumns = `SELECT id, account_id, url, events, failing_since, last_delivered_at, last_error, created_at, updated_at, revision,
		(SELECT max(s.retires_at) FROM webhook_secrets s WHERE s.webhook_id = w.id AND s.retires_at > $2),
		(SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.state = 'pending'),
		(SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.state = 'dead')
	FROM webhooks w`

func (s *Store) scanWebhook(row pgx.CollectableRow) (w directory.Webhook, err error) {
	var sealed []byte
	var failing, delivered, old *time.Time
	if err := row.Scan(&w.ID, &w.AccountID, &sealed, &w.Events, &failing, &delivered, &w.LastError, &w.CreatedAt, &w.UpdatedAt, &w.Revision,
		&old, &w.Pending, &w.Dead); err != nil {
		return w, err
	}
	w.FailingSince, w.LastDeliveredAt, w.OldSecretUntil = orZero(failing), orZero(delivered), orZero(old)
	w.CreatedAt, w.UpdatedAt = w.CreatedAt.UTC(), w.UpdatedAt.UTC()
	address, err := s.keys.Unseal(webhookPurpose("address", w.ID), sealed)
	w.URL = string(address)
	return w, err
}

// webhookPurpose is what a sealed field of an endpoint is sealed for: it opens for no
// other endpoint.
func webhookPurpose(field, webhookID string) string { return "webhook " + field + " " + webhookID }

// CreateWebhook adds an endpoint. Its secret is shown this once. It is owed the
// events that happen from now on (E4).
func (s *Store) CreateWebhook(ctx context.Context, w directory.Webhook, now time.Time) (_ directory.Webhook, secret string, err error) {
	w.ID, w.CreatedAt, w.UpdatedAt, w.Revision = newID("whk"), instant(now), instant(now), 1
	address, err := s.keys.Seal(webhookPurpose("address", w.ID), []byte(w.URL))
	if err != nil {
		return w, "", err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var count int
		// The account's row is locked, so that two at once do not both find room for one.
		if err := tx.QueryRow(ctx, `WITH locked AS (SELECT id FROM accounts WHERE id = $1 FOR NO KEY UPDATE)
			SELECT (SELECT count(*) FROM webhooks WHERE account_id = locked.id) FROM locked`, w.AccountID).Scan(&count); err != nil {
			return err
		}
		if count >= mostWebhooks {
			return &directory.Error{Code: CodeWebhookLimit, Count: count, Detail: "An account has 20 webhooks at most. Delete one that is no longer needed first."}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO webhooks (id, account_id, url, events, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)`,
			w.ID, w.AccountID, address, w.Events, w.CreatedAt); err != nil {
			return err
		}
		secret, err = s.addWebhookSecret(ctx, tx, w.ID, w.CreatedAt)
		return err
	})
	return w, secret, err
}

func (s *Store) addWebhookSecret(ctx context.Context, tx pgx.Tx, webhookID string, now time.Time) (secret string, err error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	secret = "whsec_" + base64.StdEncoding.EncodeToString(random)
	sealed, err := s.keys.Seal(webhookPurpose("secret", webhookID), []byte(secret))
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO webhook_secrets (id, webhook_id, secret, created_at) VALUES ($1, $2, $3, $4)`, newID("whs"), webhookID, sealed, now)
	return secret, err
}

// RotateWebhookSecret makes a new secret and shows it this once. The one before signs
// beside it for a day, so that the app can change over without missing an event.
func (s *Store) RotateWebhookSecret(ctx context.Context, accountID, id string, now time.Time) (w directory.Webhook, secret string, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE webhooks SET updated_at = $3, revision = revision + 1 WHERE account_id = $1 AND id = $2`, accountID, id, now)
		if err == nil && tag.RowsAffected() == 0 {
			err = directory.NotFound("webhook", id)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE webhook_secrets SET retires_at = $2 WHERE webhook_id = $1 AND retires_at IS NULL`, id, now.Add(oldSecretLife)); err != nil {
			return err
		}
		if secret, err = s.addWebhookSecret(ctx, tx, id, now); err != nil {
			return err
		}
		w, err = s.webhook(ctx, tx, accountID, id, now)
		return err
	})
	return w, secret, err
}

// Webhooks lists an account's endpoints, newest first.
func (s *Store) Webhooks(ctx context.Context, accountID string, page Page, now time.Time) ([]directory.Webhook, string, error) {
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	limit := page.limit()
	rows, err := s.pool.Query(ctx, webhookColumns+` WHERE account_id = $1 AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4`,
		accountID, instant(now), after, limit+1)
	if err != nil {
		return nil, "", err
	}
	all, err := pgx.CollectRows(rows, s.scanWebhook)
	if err != nil {
		return nil, "", err
	}
	all, next := cut(all, limit, func(w directory.Webhook) string { return w.ID })
	return all, next, nil
}

// Webhook reads one endpoint.
func (s *Store) Webhook(ctx context.Context, accountID, id string, now time.Time) (directory.Webhook, error) {
	return s.webhook(ctx, s.pool, accountID, id, now)
}

func (s *Store) webhook(ctx context.Context, q querier, accountID, id string, now time.Time) (directory.Webhook, error) {
	rows, err := q.Query(ctx, webhookColumns+` WHERE account_id = $1 AND id = $3`, accountID, instant(now), id)
	return one(rows, err, s.scanWebhook, "webhook", id)
}

// UpdateWebhook changes where events go and which. What waits goes to a new address at
// once, however long it was to sleep because of the old one.
func (s *Store) UpdateWebhook(ctx context.Context, accountID, id string, revision int64, change func(*directory.Webhook) error, now time.Time) (w directory.Webhook, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM webhooks WHERE account_id = $1 AND id = $2 FOR NO KEY UPDATE`, accountID, id); err != nil {
			return err
		}
		if w, err = s.webhook(ctx, tx, accountID, id, now); err != nil {
			return err
		}
		if revision != 0 && revision != w.Revision {
			return stale("webhook")
		}
		before := w.URL
		if err := change(&w); err != nil {
			return err
		}
		address, err := s.keys.Seal(webhookPurpose("address", id), []byte(w.URL))
		if err != nil {
			return err
		}
		w.UpdatedAt, w.Revision = now, w.Revision+1
		_, err = tx.Exec(ctx, `UPDATE webhooks SET url = $2, events = $3, updated_at = $4, revision = $5 WHERE id = $1`,
			id, address, w.Events, w.UpdatedAt, w.Revision)
		if err != nil || w.URL == before {
			return err
		}
		_, err = tx.Exec(ctx, `WITH woken AS (
				UPDATE webhook_deliveries SET due_at = $2 WHERE webhook_id = $1 AND state = 'pending' AND due_at > $2 RETURNING event_id, place)
			INSERT INTO webhook_feed (event_id, webhook_id) SELECT event_id, $1 FROM woken ORDER BY place`, id, now)
		return err
	})
	return w, err
}

// DeleteWebhook removes an endpoint with its secrets and deliveries. An attempt that
// is under way may still arrive.
func (s *Store) DeleteWebhook(ctx context.Context, accountID, id string) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM webhooks WHERE account_id = $1 AND id = $2`, accountID, id)
	if err == nil && tag.RowsAffected() == 0 {
		return directory.NotFound("webhook", id)
	}
	return err
}

// TestWebhook logs an event that only this endpoint is sent, whatever it asked for.
func (s *Store) TestWebhook(ctx context.Context, accountID, id string, now time.Time) (eventID string, err error) {
	event := directory.Event{ID: newID("evt"), AccountID: accountID, Type: access.EventWebhookTest, At: now, RecordedAt: now, Rule: "E4",
		Detail: map[string]any{"webhook_id": id}}
	event.DedupKey = event.ID
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := s.webhook(ctx, tx, accountID, id, now); err != nil {
			return err
		}
		if err := appendEvent(ctx, tx, event); err != nil {
			return err
		}
		return feedWebhook(ctx, tx, event.ID, id)
	})
	return event.ID, err
}

// feedWebhook owes one event to one endpoint, now.
func feedWebhook(ctx context.Context, tx pgx.Tx, eventID, webhookID string) error {
	_, err := tx.Exec(ctx, `INSERT INTO webhook_feed (event_id, webhook_id) VALUES ($1, $2)`, eventID, webhookID)
	return err
}
