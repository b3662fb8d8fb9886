package store

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrInProgress says that the first request with an idempotency key is still
	// under way (E2).
	ErrInProgress = errors.New("the first request with this key is under way")
	// ErrKeyReused says that an idempotency key was used for another request (E2).
	ErrKeyReused = errors.New("the key was used for another request")
)

// IdempotencyState is what is known of an idempotency key.
type IdempotencyState int

// Fresh: carry the request out. Done: it was, and this is the answer. UnderWay: it
// is at this moment. OtherBody: the key belongs to another request.
const (
	IdempotencyFresh IdempotencyState = iota
	IdempotencyDone
	IdempotencyUnderWay
	IdempotencyOtherBody
)

// Idempotency is a key and what became of its request. ResourceID is what an
// earlier run claimed that did not live to answer.
type Idempotency struct {
	State      IdempotencyState
	ResourceID string
	Status     int
	Response   []byte
}

// IdempotencyClaim names a key that the caller holds, so that what it claims can be
// noted in the same transaction.
type IdempotencyClaim struct {
	Scope      string
	Key        []byte
	ResourceID string // what an earlier run with this key claimed
}

// idempotencyKept is how long an answer is given again (E2).
const idempotencyKept = 24 * time.Hour

// BeginIdempotent claims a key for as long as lease. A claim whose lease has run
// out is free for the same request.
func (s *Store) BeginIdempotent(ctx context.Context, scope string, key, request []byte, lease time.Duration, now time.Time) (k Idempotency, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		k, err = s.claimIdempotency(ctx, tx, scope, key, request, lease, instant(now))
		return err
	})
	return k, err
}

// claimIdempotency is BeginIdempotent in the caller's transaction.
func (s *Store) claimIdempotency(ctx context.Context, tx pgx.Tx, scope string, key, request []byte, lease time.Duration, now time.Time) (Idempotency, error) {
	tag, err := tx.Exec(ctx, `INSERT INTO idempotency (account_id, key_hash, request_hash, lease_until, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account_id, key_hash) DO UPDATE SET request_hash = excluded.request_hash, resource_id = '', lease_until = excluded.lease_until,
			status = 0, response = NULL, created_at = excluded.created_at WHERE idempotency.created_at < $6`,
		scope, key, request, now.Add(lease), now, now.Add(-idempotencyKept))
	if err != nil || tag.RowsAffected() == 1 {
		return Idempotency{}, err
	}
	var k Idempotency
	var known, response []byte
	var until time.Time
	err = tx.QueryRow(ctx, `SELECT request_hash, resource_id, lease_until, status, response FROM idempotency WHERE account_id = $1 AND key_hash = $2 FOR UPDATE`,
		scope, key).Scan(&known, &k.ResourceID, &until, &k.Status, &response)
	switch {
	case isNoRows(err): // given back at this very moment
		return s.claimIdempotency(ctx, tx, scope, key, request, lease, now)
	case err != nil:
		return k, err
	case string(known) != string(request):
		k.State = IdempotencyOtherBody
	case k.Status != 0:
		k.State = IdempotencyDone
		if response != nil {
			k.Response, err = s.keys.Unseal("response", response)
		}
	case until.After(now):
		k.State = IdempotencyUnderWay
	default:
		_, err = tx.Exec(ctx, `UPDATE idempotency SET lease_until = $3 WHERE account_id = $1 AND key_hash = $2`, scope, key, now.Add(lease))
	}
	return k, err
}

// CompleteIdempotent keeps the answer for repetitions. It is encrypted, since
// answers name people.
func (s *Store) CompleteIdempotent(ctx context.Context, scope string, key []byte, status int, response []byte) error {
	return s.completeIdempotency(ctx, s.pool, scope, key, status, response)
}

func (s *Store) completeIdempotency(ctx context.Context, q querier, scope string, key []byte, status int, response []byte) error {
	sealed, err := s.keys.Seal("response", response)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `UPDATE idempotency SET status = $3, response = $4 WHERE account_id = $1 AND key_hash = $2`, scope, key, status, sealed)
	return err
}

// ReleaseIdempotent frees the key of a request that failed. What it has claimed
// meanwhile stays with the key, so that a repetition goes on with that and claims
// nothing twice.
func (s *Store) ReleaseIdempotent(ctx context.Context, scope string, key []byte) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM idempotency WHERE account_id = $1 AND key_hash = $2 AND status = 0 AND resource_id = ''`, scope, key)
	batch.Queue(`UPDATE idempotency SET lease_until = created_at WHERE account_id = $1 AND key_hash = $2 AND status = 0`, scope, key)
	return s.pool.SendBatch(ctx, batch).Close()
}

// setClaimResource notes what the request has claimed, in the transaction of the
// claim, so that a repetition after a crash goes on with it.
func setClaimResource(ctx context.Context, tx pgx.Tx, claim *IdempotencyClaim, resourceID string) error {
	if claim == nil {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE idempotency SET resource_id = $3 WHERE account_id = $1 AND key_hash = $2`, claim.Scope, claim.Key, resourceID)
	return err
}

// UpdateID is the id under which a request with this key reaches a workflow. It
// says nothing about the key (DESIGN.md: update ids travel in clear).
func (s *Store) UpdateID(key []byte) string {
	return hex.EncodeToString(s.keys.Index("update", string(key))[:16])
}
