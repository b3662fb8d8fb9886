package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
)

// ReclaimUnlock implements [activities.Unlocks].
func (s *Store) ReclaimUnlock(ctx context.Context, q activities.UnlockRequest, raced activities.Command, code string, now time.Time) (activities.Claim, error) {
	return s.reclaim(ctx, q.Keyed, raced, code, instant(now), func(tx pgx.Tx) (activities.Claim, error) {
		return s.claimUnlock(ctx, tx, q, instant(now), raced.ExpiresAt)
	})
}

// ReclaimSlot implements [activities.Slots].
func (s *Store) ReclaimSlot(ctx context.Context, q activities.SlotRequest, raced activities.Command, code string, now time.Time) (activities.Claim, error) {
	return s.reclaim(ctx, q.Keyed, raced, code, instant(now), func(tx pgx.Tx) (activities.Claim, error) {
		return s.claimSlot(ctx, tx, q, instant(now), raced.ExpiresAt)
	})
}

// reclaim closes a command that opened nothing and decides anew, in one transaction:
// the idempotency key passes from the one to the other and is never free between
// them (E2). If the panel's own report says that the first opened after all, that
// stands.
func (s *Store) reclaim(ctx context.Context, q activities.Keyed, raced activities.Command, code string, now time.Time,
	claimAnew func(tx pgx.Tx) (activities.Claim, error),
) (claim activities.Claim, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE commands SET result = $2 WHERE id = $1 AND result = ''`, raced.ID, code)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			again, known, err := s.commandAgain(ctx, tx, raced.ID)
			if err == nil && known && again.Outcome != nil {
				claim = *again
				return s.finishCommandKey(ctx, tx, q, *again.Outcome)
			}
			if err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE idempotency SET lease_until = $3 WHERE account_id = $1 AND key_hash = $2`, q.Scope, q.Key, now.Add(unlockLease)); err != nil {
			return err
		}
		claim, err = claimAnew(tx)
		return err
	})
	return claim, err
}
