package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"latchkey/internal/webhook"
)

// jobSchema is where the job queue has its tables.
const jobSchema = "river"

// migrateJobs brings the tables of the job queue up to date. It runs under the lock of
// [Migrate] and after it, since the schema is made there.
func migrateJobs(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: jobSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// laneJob is the job that works on one lane. A lane has one at most, wherever it is
// worked on: that keeps its deliveries in order. It ends when the lane is empty and
// sleeps between attempts; what is to be delivered is in our own tables.
type laneJob webhook.Lane

// Kind implements river.JobArgs.
func (laneJob) Kind() string { return "webhook_lane" }

// InsertOpts implements river.JobArgs. Every endpoint has a queue of its own, so that one
// that is slow or away keeps no other waiting.
func (j laneJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: j.WebhookID, MaxAttempts: 30_000, // failures of ours; those of endpoints are counted with the delivery
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled}},
	}
}

const (
	// lanesAtOnce is how many requests an endpoint gets at once from one process.
	lanesAtOnce = 8
	// jobLimit is longer than the turn of a lane and one more attempt.
	jobLimit = 40 * time.Second
	// orphanedAfter is when a job is taken up by another process because its own has died.
	orphanedAfter = time.Minute
	// webhookPool is apart from the pool of the doors, which a backlog must not empty.
	webhookPool = 8

	feedEvery      = 200 * time.Millisecond
	endpointsEvery = time.Second
	sweepJobsEvery = 10 * time.Minute
	stopJobsWithin = 3 * time.Second
)

// webhookQueue delivers events to endpoints. It implements webhook.Deliveries.
type webhookQueue struct {
	store *Store
	pool  *pgxpool.Pool
	jobs  *river.Client[pgx.Tx]
	log   *slog.Logger

	work   func(ctx context.Context, lane webhook.Lane) (empty bool, again time.Duration, err error)
	queues []string // of the endpoints that are worked on
}

// ServeWebhooks delivers events to endpoints until ctx ends (E4). deliver makes the
// worker of a lane on the deliveries that it is given. Any number of processes may do
// so at once.
func (s *Store) ServeWebhooks(ctx context.Context, deliver func(webhook.Deliveries) *webhook.Courier, log *slog.Logger) error {
	config, err := pgxpool.ParseConfig(s.dsn)
	if err != nil {
		return err
	}
	config.MaxConns, config.MinConns = webhookPool, 0
	restConnections(config)
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.RuntimeParams["application_name"] = "latchkey webhooks"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := &webhookQueue{store: s, pool: pool, log: log}
	courier := deliver(q)
	q.work = courier.Deliver
	if q.jobs, err = q.client(); err != nil {
		return err
	}
	return q.run(ctx, courier.Clock)
}

// client makes the client of the job queue. It needs a queue to be one that works at
// all; those of endpoints come and go.
func (q *webhookQueue) client() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &laneWorker{queue: q}); err != nil {
		return nil, err
	}
	return river.NewClient(riverpgxv5.New(q.pool), &river.Config{
		Schema: jobSchema, Workers: workers, Logger: slog.New(quiet{q.log.Handler()}),
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1, FetchPollInterval: time.Minute}},
		JobTimeout: jobLimit, RescueStuckJobsAfter: orphanedAfter, SoftStopTimeout: stopJobsWithin,
		CompletedJobRetentionPeriod: time.Minute, // there is nothing in them to look up
	})
}

// run works until ctx ends, whatever happens to the database meanwhile.
func (q *webhookQueue) run(ctx context.Context, clock func() time.Time) error {
	var endpoints, swept time.Time
	started := false
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		now := clock()
		taken, err := q.fanOut(ctx, now)
		if err == nil && now.Sub(endpoints) >= endpointsEvery {
			endpoints = now
			err = q.follow(ctx, &started)
		}
		if err == nil && now.Sub(swept) >= sweepJobsEvery {
			swept = now
			err = q.sweep(ctx, now)
		}
		if err != nil && ctx.Err() == nil {
			q.log.LogAttrs(ctx, slog.LevelWarn, "webhooks wait because the database is away", slog.Any("error", err))
		}
		if err == nil && taken >= feedBatch {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	if started {
		<-q.jobs.Stopped()
	}
	return nil
}

// follow works on the queues of the endpoints that there are. Where there is none, the
// job queue rests.
func (q *webhookQueue) follow(ctx context.Context, started *bool) error {
	rows, err := q.pool.Query(ctx, `SELECT id FROM webhooks ORDER BY id`)
	if err != nil {
		return err
	}
	endpoints, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if !*started && len(endpoints) > 0 {
		if err := q.jobs.Start(ctx); err != nil {
			return err
		}
		*started = true
	}
	for _, id := range endpoints {
		if slices.Contains(q.queues, id) {
			continue
		}
		err := q.jobs.Queues().Add(id, river.QueueConfig{MaxWorkers: lanesAtOnce, FetchCooldown: 20 * time.Millisecond, FetchPollInterval: time.Second})
		if err != nil && !errors.Is(err, &river.QueueAlreadyAddedError{Name: id}) {
			return err
		}
		q.queues = append(q.queues, id)
	}
	q.queues = slices.DeleteFunc(q.queues, func(id string) bool { return !slices.Contains(endpoints, id) && q.leave(ctx, id) })
	return nil
}

// leave stops working on the queue of a deleted endpoint. While a request to it is under
// way it does not, so that nobody waits for that; the next look tries again.
func (q *webhookQueue) leave(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, feedEvery)
	defer cancel()
	return q.jobs.Queues().Remove(ctx, id) == nil
}

// laneWorker works on a lane for its turn.
type laneWorker struct {
	river.WorkerDefaults[laneJob]

	queue *webhookQueue
}

// NextRetry is after the database was away.
func (*laneWorker) NextRetry(*river.Job[laneJob]) time.Time { return time.Now().Add(5 * time.Second) }

// Work implements river.Worker.
func (w *laneWorker) Work(ctx context.Context, job *river.Job[laneJob]) error {
	empty, again, err := w.queue.work(ctx, webhook.Lane(job.Args))
	switch {
	case ctx.Err() != nil:
		return river.JobSnooze(0) // stopped: goes on in the next process
	case err != nil:
		return err
	case !empty:
		return river.JobSnooze(again)
	}
	ended, err := w.queue.endLane(ctx, job)
	if err == nil && !ended {
		return river.JobSnooze(0)
	}
	return err
}

// endLane ends the job of an empty lane, unless something came into it meanwhile. The lock
// makes the fan-out wait that is about to add something and finds the lane's job still there.
func (q *webhookQueue) endLane(ctx context.Context, job *river.Job[laneJob]) (ended bool, err error) {
	err = pgx.BeginFunc(ctx, q.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+laneKey+`) FROM (VALUES ($1::text, $2::text)) AS t(webhook_id, lane)`,
			job.Args.WebhookID, job.Args.Item); err != nil {
			return err
		}
		var more bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM webhook_deliveries WHERE webhook_id = $1 AND lane = $2 AND state = 'pending')`,
			job.Args.WebhookID, job.Args.Item).Scan(&more); err != nil || more {
			return err
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		ended = err == nil
		return err
	})
	return ended, err
}

// quiet lets only warnings through: the job queue tells of its ordinary life at info.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h quiet) WithGroup(name string) slog.Handler { return quiet{h.Handler.WithGroup(name)} }
