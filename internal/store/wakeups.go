package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
)

// wakeupChannel is where commits announce that a workflow has work.
const wakeupChannel = "latchkey_wakeups"

const wakeSQL = `INSERT INTO wakeups (workflow_id, due_at) VALUES ($1, $2)`

// wake leaves word for a workflow in the transaction that made work for it.
func wake(ctx context.Context, tx pgx.Tx, workflowID string, at time.Time) error {
	batch := &pgx.Batch{}
	queueWake(batch, workflowID, at)
	return tx.SendBatch(ctx, batch).Close()
}

// queueWake is [wake] as part of a batch.
func queueWake(batch *pgx.Batch, workflowID string, at time.Time) {
	batch.Queue(wakeSQL, workflowID, instant(at))
	batch.Queue(`SELECT pg_notify('`+wakeupChannel+`', $1)`, workflowID)
}

// dueWakeupsSQL marks what this look is the first to see with the number of its
// transaction. Serials would not do to tell what was seen: they are given out
// before the commit, so a smaller one can appear after a larger one. What a look
// with a smaller number saw was committed before a look with a larger one ended.
const dueWakeupsSQL = `WITH first AS (
		UPDATE wakeups SET seen_by = pg_current_xact_id()::text::bigint WHERE seen_by IS NULL AND due_at <= $1
		RETURNING workflow_id, due_at, seen_by)
	SELECT workflow_id, max(seen_by) FROM (
		SELECT * FROM first UNION ALL SELECT workflow_id, due_at, seen_by FROM wakeups WHERE seen_by IS NOT NULL AND due_at <= $1) due
	GROUP BY workflow_id ORDER BY min(due_at) LIMIT $2`

// DueWakeups implements worker.Wakeups.
func (s *Store) DueWakeups(ctx context.Context, limit int, now time.Time) ([]activities.Wakeup, error) {
	rows, err := s.pool.Query(ctx, dueWakeupsSQL, instant(now), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[activities.Wakeup])
}

// ClearWakeup implements worker.Wakeups. It removes only what the look saw: a
// wake-up that was committed since stays, and wakes the workflow once more.
func (s *Store) ClearWakeup(ctx context.Context, workflowID string, serial int64) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM wakeups WHERE workflow_id = $1 AND seen_by <= $2`, workflowID, serial)
	return err
}

// ListenWakeups implements worker.Wakeups. It holds a connection of its own.
func (s *Store) ListenWakeups(ctx context.Context, committed func(workflowID string)) (err error) {
	connection, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, connection.Close(closeCtx))
	}()
	if _, err := connection.Exec(ctx, "LISTEN "+wakeupChannel); err != nil {
		return err
	}
	for {
		notification, err := connection.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		committed(notification.Payload)
	}
}
