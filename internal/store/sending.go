package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// The states of a message: queued, then sending while a vendor has been asked and
// its answer is not recorded yet, then sent or failed; a message that was sent can
// still come back bounced.

// ClaimMessage takes a message for sending until an instant. It fails to if
// somebody else has it or has finished it. What was claimed and then cut off comes
// back to [Store.DueMessages] when the claim has run out.
func (s *Store) ClaimMessage(ctx context.Context, id string, until, now time.Time) (claimed bool, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE messages SET state = 'sending', lease_until = $2, tried_at = coalesce(tried_at, $3),
			unknowns = unknowns + CASE WHEN state = 'sending' THEN 1 ELSE 0 END
		WHERE id = $1 AND (state = 'queued' OR state = 'sending' AND lease_until <= $3)`, id, instant(until), instant(now))
	return tag.RowsAffected() > 0, err
}

// MessageSent notes that a message has left and forgets its secret.
func (s *Store) MessageSent(ctx context.Context, id string, now time.Time) error {
	return endMessage(ctx, s.pool, id, ending{state: "sent", event: access.EventMessageSent, from: underWay}, now)
}

// MessageFailed gives a message up. The reason is a code, never a vendor's text.
func (s *Store) MessageFailed(ctx context.Context, id, reason string, now time.Time) error {
	return endMessage(ctx, s.pool, id, failed(reason), now)
}

// MessageWithoutWay gives up a message for which no channel is left. If it stood in
// for another one, the item shows already how that ended.
func (s *Store) MessageWithoutWay(ctx context.Context, m QueuedMessage, reason string, now time.Time) error {
	if !m.Replaces {
		return s.MessageFailed(ctx, m.ID, reason, now)
	}
	_, err := s.pool.Exec(ctx, `UPDATE messages SET state = 'failed', last_error = $2 WHERE id = $1 AND state IN ('queued', 'sending')`, m.ID, reason)
	return err
}

// MessageDeferred keeps a message that could not be sent for another try.
func (s *Store) MessageDeferred(ctx context.Context, id, reason string, retryAt time.Time) error {
	return s.deferMessage(ctx, id, reason, 1, 0, retryAt)
}

// MessagePostponed keeps a message that was not tried, because its vendor wants to
// be left alone or because the worker stops.
func (s *Store) MessagePostponed(ctx context.Context, id string, until time.Time) error {
	return s.deferMessage(ctx, id, "", 0, 0, until)
}

// MessageInDoubt keeps a message that the vendor may have taken for another try.
func (s *Store) MessageInDoubt(ctx context.Context, id, reason string, retryAt time.Time) error {
	return s.deferMessage(ctx, id, reason, 1, 1, retryAt)
}

func (s *Store) deferMessage(ctx context.Context, id, reason string, attempts, unknowns int, until time.Time) error {
	_, err := s.pool.Exec(ctx, `UPDATE messages SET state = 'queued', attempts = attempts + $3, unknowns = unknowns + $4,
			last_error = coalesce(nullif($2, ''), last_error), not_before = $5
		WHERE id = $1 AND state IN ('queued', 'sending')`, id, reason, attempts, unknowns, instant(until))
	return err
}

// MessageRerouted changes the channel of a message that has not been tried yet.
func (s *Store) MessageRerouted(ctx context.Context, id, channel string) error {
	_, err := s.pool.Exec(ctx, `UPDATE messages SET channel = $2 WHERE id = $1 AND state = 'queued'`, id, channel)
	return err
}

// MessageStuck shows on the item that a message waits for somebody to put the
// configuration right, once a message. It is still being tried.
func (s *Store) MessageStuck(ctx context.Context, id, reason string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `WITH ended AS (
			UPDATE messages SET warned = true WHERE id = $1 AND NOT warned RETURNING account_id, item_id, template, channel, instead_of)`+messageEventSQL,
		id, instant(now), string(access.EventMessageFailed), reason, newID("evt"), map[string]any{"retrying": true}, "stuck")
	return err
}

// MessageSwitched ends a message that its channel will not deliver, and writes the
// same one for another channel. A chain of messages tries each channel once, so
// nobody is told twice.
func (s *Store) MessageSwitched(ctx context.Context, id, reason, channel string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := endMessage(ctx, tx, id, failed(reason), now); err != nil {
			return err
		}
		return replaceMessage(ctx, tx, id, channel, now)
	})
}

// replaceMessage writes a message anew for another channel, once.
func replaceMessage(ctx context.Context, tx pgx.Tx, id, channel string, now time.Time) error {
	tag, err := tx.Exec(ctx, `INSERT INTO messages (id, account_id, person_id, channel, template, item_id, params, dedup_key, not_before, created_at, tried, instead_of)
		SELECT $2, account_id, person_id, $3, template, item_id, params, $1 || '/instead', $4, created_at, tried || channel, id
		FROM messages WHERE id = $1 AND state IN ('failed', 'bounced') AND channel <> $3 AND NOT $3 = ANY(tried)
		ON CONFLICT (dedup_key) DO NOTHING`, id, newID("msg"), channel, instant(now))
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return wake(ctx, tx, outboxWorkflowID, now)
}

// MessageBounced notes that a message which a vendor had taken came back, with its
// event, once, however often the vendor says so; and writes it anew for another
// channel, if other gives one for its template and channel.
func (s *Store) MessageBounced(ctx context.Context, id, reason string, other func(t access.Template, channel string) string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var template, channel string
		err := tx.QueryRow(ctx, `SELECT template, channel FROM messages WHERE id = $1 AND (state = 'sent' OR state IN ('queued', 'sending') AND tried_at IS NOT NULL)
			FOR UPDATE`, id).Scan(&template, &channel)
		if isNoRows(err) { // not ours, or known to have ended
			return nil
		}
		if err == nil {
			err = endMessage(ctx, tx, id, ending{state: "bounced", event: access.EventMessageBounced, reason: reason, from: []string{"queued", "sending", "sent"}}, now)
		}
		if err != nil {
			return err
		}
		if to := other(access.Template(template), channel); to != "" {
			return replaceMessage(ctx, tx, id, to, now)
		}
		return nil
	})
}

// MessageTaken notes that a vendor has said of a message in doubt that it took it.
func (s *Store) MessageTaken(ctx context.Context, id string, now time.Time) error {
	return endMessage(ctx, s.pool, id, ending{state: "sent", event: access.EventMessageSent, from: underWay, tried: true}, now)
}

// ending is how a message ends, and from which states it may.
type ending struct {
	state  string
	event  access.EventType
	reason string
	from   []string
	tried  bool // only one that a vendor was given
}

// underWay are the states of a message that has not ended.
var underWay = []string{"queued", "sending"}

func failed(reason string) ending {
	return ending{state: "failed", event: access.EventMessageFailed, reason: reason, from: underWay}
}

// messageEventSQL logs what happened to the message that ended has.
const messageEventSQL = `
		INSERT INTO events (id, account_id, type, at, recorded_at, property_id, item_id, code, detail, dedup_key)
		SELECT $5, account_id, $3, $2, $2, coalesce((SELECT property_id FROM invitations WHERE invitations.id = item_id), (SELECT property_id FROM reservations WHERE reservations.id = item_id)), item_id, $4,
			jsonb_strip_nulls(jsonb_build_object('template', template, 'channel', channel, 'instead_of', instead_of)) || $6::jsonb, $1 || '/' || $7
		FROM ended WHERE account_id IS NOT NULL ON CONFLICT DO NOTHING`

// endMessage notes how a message ended, once, with its event; a sign-in code
// belongs to no account and to no log. It is one statement, because unlocks share
// the disk with it.
func endMessage(ctx context.Context, db querier, id string, e ending, now time.Time) error {
	_, err := db.Exec(ctx, `WITH ended AS (
			UPDATE messages SET state = $8, sent_at = CASE WHEN $8 = 'sent' THEN $2 ELSE sent_at END, secret = NULL, attempts = attempts + 1, last_error = $4
			WHERE id = $1 AND state = ANY($9) AND (tried_at IS NOT NULL OR NOT $10) RETURNING account_id, item_id, template, channel, instead_of)`+messageEventSQL,
		id, instant(now), string(e.event), e.reason, newID("evt"), map[string]any{}, string(e.event), e.state, e.from, e.tried)
	return err
}
