package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrWithdrawn says that a panel did not fetch a message in time: it was withdrawn
	// and will not arrive any more.
	ErrWithdrawn = errors.New("the panel did not fetch the message")
	// ErrNoAnswer says that a panel fetched a message and did not answer in time.
	ErrNoAnswer = errors.New("the panel fetched the message and did not answer")
)

const (
	// pollAlive is how long after its last poll a panel is taken to be there.
	pollAlive = time.Minute
	// deliveryWait bounds a delivery whose caller sets no deadline.
	deliveryWait = 10 * time.Second
	// deliveriesMost is how many messages one poll gets: well under the largest message.
	deliveriesMost = 20
)

// Polls reports whether a panel that last polled at an instant is taken to be
// polling still.
func Polls(polledAt, now time.Time) bool { return !polledAt.IsZero() && now.Sub(polledAt) < pollAlive }

// reachable reports whether there is a way to a panel: its address, or its polls.
func reachable(address string, polledAt, now time.Time) bool {
	return address != "" || Polls(polledAt, now)
}

// Deliver leaves a message for a panel that polls, in whichever process it does,
// and waits for the answer until ctx ends. Then it takes the message back: one row
// is either fetched or withdrawn, never both, so [ErrWithdrawn] is certain.
func (s *Store) Deliver(ctx context.Context, panelID, messageID, message string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryWait)
	defer cancel()
	answered, forget := s.exchange.wait(s.dsn, answerOf+messageID)
	defer forget()
	if ctx.Err() != nil {
		return "", ErrWithdrawn // it is not even left there
	}
	if err := s.leave(ctx, panelID, messageID, message); err != nil {
		return "", errors.Join(ErrNoAnswer, err) // nobody knows; it expires by itself
	}
	for err == nil {
		err = s.pool.QueryRow(ctx, `DELETE FROM panel_deliveries WHERE id = $1 AND answer IS NOT NULL RETURNING answer`, messageID).Scan(&answer)
		if err == nil {
			return answer, nil
		}
		if isNoRows(err) {
			err = waitFor(ctx, answered, exchangeLook)
		}
	}
	return s.takeBack(ctx, messageID)
}

// leave leaves a message there. The commit must be known: one that was cut off could
// still come about after the message was taken back.
func (s *Store) leave(ctx context.Context, panelID, messageID, message string) error {
	deadline, _ := ctx.Deadline() // Deliver sets one
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, err := s.pool.Exec(ctx, `WITH left_there AS (
			INSERT INTO panel_deliveries (id, panel_id, message, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) RETURNING panel_id)
		SELECT pg_notify($6, $7 || panel_id) FROM left_there`, messageID, panelID, message, instant(time.Now()), instant(deadline), deliveryChannel, messageFor)
	return err
}

// takeBack ends a delivery: what was not fetched is withdrawn.
func (s *Store) takeBack(ctx context.Context, messageID string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var fetched bool
	var answer *string
	err := s.pool.QueryRow(ctx, `DELETE FROM panel_deliveries WHERE id = $1 RETURNING picked_at IS NOT NULL, answer`, messageID).Scan(&fetched, &answer)
	switch {
	case err != nil: // nobody knows; it expires by itself
		return "", errors.Join(ErrNoAnswer, err)
	case answer != nil:
		return *answer, nil
	case fetched:
		return "", ErrNoAnswer
	default:
		return "", ErrWithdrawn
	}
}

// Poll waits until messages for a panel are there, at most as long as wait says,
// and fetches them. A newer poll of the panel ends it. When ctx ends, the panel has
// gone: what was fetched for it is put back, because it was surely not sent. clock
// says when the panel polled; how long messages wait is real time.
func (s *Store) Poll(ctx context.Context, panelID, pollID, bootID string, wait time.Duration, clock func() time.Time) (messages []string, err error) {
	arrived, forget := s.exchange.wait(s.dsn, messageFor+panelID)
	defer forget()
	if err := s.beginPoll(ctx, panelID, pollID, bootID, clock()); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		messages, newest, err := s.fetch(ctx, panelID, pollID)
		if err != nil || len(messages) > 0 || !newest {
			return messages, err
		}
		if waitFor(waiting, arrived, pollLook) == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		_, err = s.pool.Exec(ctx, `UPDATE panels SET polled_at = $3 WHERE id = $1 AND poll_id = $2`, panelID, pollID, instant(clock()))
		return nil, err
	}
}

// beginPoll notes that a panel polls, ends its older polls, and wakes what waited
// for it if it was away.
func (s *Store) beginPoll(ctx context.Context, panelID, pollID, bootID string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var before *time.Time
		err := tx.QueryRow(ctx, `SELECT polled_at FROM panels WHERE id = $1 FOR UPDATE`, panelID).Scan(&before)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE panels SET polled_at = $2, poll_id = $3, boot_id = CASE WHEN boot_id = '' THEN $4 ELSE boot_id END WHERE id = $1`,
			panelID, instant(now), pollID, bootID)
		batch.Queue(`SELECT pg_notify($1, $2)`, deliveryChannel, messageFor+panelID)
		if !Polls(orZero(before), now) {
			batch.Queue(`INSERT INTO wakeups (workflow_id, due_at) SELECT $1, $3 WHERE EXISTS (
				SELECT 1 FROM grants WHERE panel_id = $2 AND confirmed_revision < desired_revision)`, panelWorkflow+panelID, panelID, instant(now))
			batch.Queue(`SELECT pg_notify($1, $2)`, wakeupChannel, panelWorkflow+panelID)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// fetchSQL takes what waits for a panel, for its newest poll only. A message that
// is being withdrawn is left alone.
const fetchSQL = `WITH due AS (
		SELECT d.id FROM panel_deliveries d JOIN panels n ON n.id = d.panel_id AND n.poll_id = $2 AND n.disowned_at IS NULL
		WHERE d.panel_id = $1 AND d.picked_at IS NULL AND d.expires_at > $3 ORDER BY d.created_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED)
	UPDATE panel_deliveries d SET picked_at = $3 FROM due WHERE d.id = due.id RETURNING d.id, d.message`

// fetch takes the messages that wait, and says whether the poll is the panel's
// newest.
func (s *Store) fetch(ctx context.Context, panelID, pollID string) (messages []string, newest bool, err error) {
	// The commit must be known: a query cut off by the panel's going would leave open
	// whether the messages were taken.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	rows, err := s.pool.Query(whole, fetchSQL, panelID, pollID, instant(time.Now()), deliveriesMost)
	if err != nil {
		return nil, false, err
	}
	var ids []string
	var id, message string
	if _, err := pgx.ForEachRow(rows, []any{&id, &message}, func() error {
		ids, messages = append(ids, id), append(messages, message)
		return nil
	}); err != nil {
		return nil, false, err
	}
	if len(ids) == 0 {
		err = s.pool.QueryRow(whole, `SELECT poll_id = $2 FROM panels WHERE id = $1`, panelID, pollID).Scan(&newest)
		return nil, newest, err
	}
	if ctx.Err() != nil {
		_, err := s.pool.Exec(whole, `WITH back AS (UPDATE panel_deliveries SET picked_at = NULL WHERE id = ANY($1) RETURNING panel_id)
			SELECT pg_notify($2, $3 || panel_id) FROM back`, ids, deliveryChannel, messageFor)
		return nil, false, errors.Join(ctx.Err(), err)
	}
	return messages, true, nil
}

// TakeAnswers hands what a panel says to those who wait for it: by message, its
// answer. The answer to a message of another panel, or one that nobody waits for
// any more, is dropped.
func (s *Store) TakeAnswers(ctx context.Context, panelID string, answers map[string]string) error {
	batch := &pgx.Batch{}
	for id, answer := range answers {
		batch.Queue(`WITH given AS (
				UPDATE panel_deliveries SET answer = $3 WHERE id = $1 AND panel_id = $2 AND picked_at IS NOT NULL AND answer IS NULL RETURNING id)
			SELECT pg_notify($4, $5 || id) FROM given`, id, panelID, answer, deliveryChannel, answerOf)
	}
	return s.pool.SendBatch(ctx, batch).Close()
}
