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

// DueWakeups implements worker.Wakeups.
func (s *Store) DueWakeups(ctx context.Context, limit int, now time.Time) ([]activities.Wakeup, error) {
	rows, err := s.pool.Query(ctx, `SELECT workflow_id, max(serial) FROM wakeups WHERE due_at <= $1 GROUP BY workflow_id ORDER BY min(due_at) LIMIT $2`, instant(now), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[activities.Wakeup])
}

// ClearWakeup implements worker.Wakeups.
func (s *Store) ClearWakeup(ctx context.Context, workflowID string, serial int64) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM wakeups WHERE workflow_id = $1 AND serial <= $2`, workflowID, serial)
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
