package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"latchkey/internal/webhook"
)

const (
	feedBatch = 500
	feedLock  = 7_262_002 // one fan-out at a time, or two would mix up the order
	// endedLife is how long deliveries are listed after they were delivered or died.
	endedLife = 30 * 24 * time.Hour
)

// takeFeedSQL takes the oldest of the feed and says whom they are owed to. An event
// that commits late is taken late, and nothing waits for it: what followed from
// another event was written after that one was committed, so it has the larger serial.
const takeFeedSQL = `WITH taken AS (
		DELETE FROM webhook_feed WHERE serial IN (SELECT serial FROM webhook_feed ORDER BY serial LIMIT $1) RETURNING serial, event_id, webhook_id)
	SELECT coalesce(w.id, ''), coalesce(w.account_id, ''), taken.event_id, e.type,
		coalesce(e.item_id, e.panel_id, e.entrance_id, e.property_id, ''), taken.webhook_id IS NOT NULL
	FROM taken JOIN events e ON e.id = taken.event_id
	LEFT JOIN webhooks w ON w.account_id = e.account_id AND (w.id = taken.webhook_id OR taken.webhook_id IS NULL AND w.events && ARRAY[e.type, '*'])
	ORDER BY taken.serial`

// owedEvent is an event and an endpoint that is owed it; none: nobody asked for its type.
type owedEvent struct {
	WebhookID, AccountID, EventID, EventType, Lane string
	Named                                          bool // a test, a replay or a new address: now
}

// laneKey is what the two who must not miss each other lock: the fan-out, which adds to a
// lane, and the job that finds it empty.
const laneKey = `hashtextextended(webhook_id || ' ' || lane, 0)`

// fanOut turns events of the feed into deliveries and gives each lane a job, in one
// transaction. It reports how many it took.
func (q *webhookQueue) fanOut(ctx context.Context, now time.Time) (taken int, err error) {
	now = instant(now)
	var waiting bool
	if err := q.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM webhook_feed)`).Scan(&waiting); err != nil || !waiting {
		return 0, err
	}
	err = inTx(ctx, q.pool, func(tx pgx.Tx) error {
		var first bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, feedLock).Scan(&first); err != nil || !first {
			return err
		}
		rows, err := tx.Query(ctx, takeFeedSQL, feedBatch)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[owedEvent])
		if err != nil || len(all) == 0 {
			return err
		}
		taken = len(all)
		owed := all[:0]
		for _, o := range all {
			if o.WebhookID != "" {
				owed = append(owed, o)
			}
		}
		return q.deliver(ctx, tx, owed, now)
	})
	return taken, err
}

// deliver adds deliveries in the order of owed. One that is there already keeps its
// place: it is a replay.
func (q *webhookQueue) deliver(ctx context.Context, tx pgx.Tx, owed []owedEvent, now time.Time) error {
	if len(owed) == 0 {
		return nil
	}
	var ids, webhooks, accounts, events, types, lanes []string
	var jobs []webhook.Lane
	urgent := map[webhook.Lane]bool{}
	for _, o := range owed {
		ids, webhooks, accounts = append(ids, newID("whd")), append(webhooks, o.WebhookID), append(accounts, o.AccountID)
		events, types, lanes = append(events, o.EventID), append(types, o.EventType), append(lanes, o.Lane)
		lane := webhook.Lane{WebhookID: o.WebhookID, Item: o.Lane}
		if _, known := urgent[lane]; !known {
			jobs = append(jobs, lane)
		}
		urgent[lane] = urgent[lane] || o.Named
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(key) FROM (
			SELECT DISTINCT `+laneKey+` AS key FROM unnest($1::text[], $2::text[]) AS t(webhook_id, lane) ORDER BY 1) keys`, webhooks, lanes); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO webhook_deliveries (id, webhook_id, account_id, event_id, event_type, lane, due_at, retry_until, created_at)
		SELECT id, webhook_id, account_id, event_id, event_type, lane, $7, $8, $7
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
			WITH ORDINALITY AS t(id, webhook_id, account_id, event_id, event_type, lane, n) ORDER BY n
		ON CONFLICT (webhook_id, event_id) DO NOTHING`,
		ids, webhooks, accounts, events, types, lanes, now, now.Add(webhook.Day)); err != nil {
		return err
	}
	busy, err := q.wakeLanes(ctx, tx, jobs, urgent)
	if err != nil {
		return err
	}
	for _, o := range owed {
		if o.Named && busy[webhook.Lane{WebhookID: o.WebhookID, Item: o.Lane}] {
			if err := feedWebhook(ctx, tx, o.EventID, o.WebhookID); err != nil {
				return err
			}
		}
	}
	return nil
}

// wakeLanes sees to it that each lane has a job. One that sleeps until the next
// attempt sleeps on, unless the lane is urgent. Of a job that is at work it is not known
// whether it has seen what is urgent, or is about to go to sleep: those lanes are busy,
// to be woken again at the next look.
func (q *webhookQueue) wakeLanes(ctx context.Context, tx pgx.Tx, lanes []webhook.Lane, urgent map[webhook.Lane]bool) (busy map[webhook.Lane]bool, err error) {
	if len(lanes) == 0 {
		return nil, nil
	}
	inserts := make([]river.InsertManyParams, 0, len(lanes))
	for _, lane := range lanes {
		inserts = append(inserts, river.InsertManyParams{Args: laneJob(lane)})
	}
	results, err := q.jobs.InsertManyTx(ctx, tx, inserts)
	if err != nil {
		return nil, err
	}
	busy = map[webhook.Lane]bool{}
	for n, result := range results {
		switch {
		case !result.UniqueSkippedAsDuplicate || !urgent[lanes[n]]:
		case result.Job.State == rivertype.JobStateRunning:
			busy[lanes[n]] = true
		default:
			if _, err := q.jobs.JobRetryTx(ctx, tx, result.Job.ID); err != nil {
				return nil, err
			}
		}
	}
	return busy, nil
}

// sweep forgets deliveries and secrets that have served their time, jobs of deleted
// endpoints, and gives a job to lanes that have lost theirs, which only a hand in the
// queue's tables could do.
func (q *webhookQueue) sweep(ctx context.Context, now time.Time) error {
	now = instant(now)
	if _, err := q.pool.Exec(ctx, `DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE ended_at < $1 LIMIT 5000)`, now.Add(-endedLife)); err != nil {
		return err
	}
	if _, err := q.pool.Exec(ctx, `DELETE FROM webhook_secrets WHERE retires_at < $1`, now); err != nil {
		return err
	}
	if _, err := q.jobs.JobDeleteMany(ctx, river.NewJobDeleteManyParams().First(5000).Where(`queue NOT IN (SELECT id FROM webhooks)`)); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, q.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT webhook_id, lane FROM (
				SELECT DISTINCT webhook_id, lane FROM webhook_deliveries WHERE state = 'pending' AND due_at < $1) waiting
			WHERE NOT EXISTS (SELECT FROM river.river_job j WHERE j.kind = $2 AND j.queue = webhook_id AND j.args ->> 'item' = lane
				AND j.state IN ('available', 'pending', 'running', 'retryable', 'scheduled'))
			LIMIT 1000`, now.Add(-time.Minute), laneJob{}.Kind())
		if err != nil {
			return err
		}
		lost, err := pgx.CollectRows(rows, pgx.RowToStructByPos[webhook.Lane])
		if err != nil {
			return err
		}
		_, err = q.wakeLanes(ctx, tx, lost, nil)
		return err
	})
}
