package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// ReviewVerification implements [activities.Records]: it records the warning before
// a lapse and the lapse itself, each once (I10, I11), and says when to look again.
// Unlocks restart the period without telling anybody, so it looks at the last use.
func (s *Store) ReviewVerification(ctx context.Context, invitationID string, now time.Time) (next time.Time, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		next = time.Time{}
		f, err := s.facts(ctx, tx, invitationID)
		if err != nil || f.Invitation.StateAt(now) != access.InvitationAccepted {
			return err
		}
		status := access.VerificationAt(f, now)
		switch status.State {
		case access.VerificationDone:
			next = status.ValidUntil
			if status.WarnAt.After(now) {
				next = status.WarnAt
			} else if !status.WarnAt.IsZero() {
				return recordReview(ctx, tx, &f.Invitation, access.EventVerificationLapsing, "I11", status.WarnAt, status.ValidUntil, now)
			}
		case access.VerificationMissing:
			if !status.ValidUntil.IsZero() {
				return recordReview(ctx, tx, &f.Invitation, access.EventVerificationLapsed, "I10", status.ValidUntil, status.ValidUntil, now)
			}
		case access.VerificationNotNeeded:
		}
		return nil
	})
	return next, err
}

// recordReview records one event of a validity, and its message.
func recordReview(ctx context.Context, tx pgx.Tx, inv *access.Invitation, t access.EventType, rule string, at, until, now time.Time) error {
	key := fmt.Sprintf("%s/%s/%d", inv.ID, map[access.EventType]string{
		access.EventVerificationLapsed: "lapsed", access.EventVerificationLapsing: "lapsing"}[t], until.UnixMicro())
	event := directory.Event{
		AccountID: inv.AccountID, Type: t, At: at, RecordedAt: now, PropertyID: inv.PropertyID, ItemID: inv.ID, Rule: rule, DedupKey: key,
		Detail: map[string]any{"valid_until": until},
	}
	if late := now.Sub(at); late > time.Minute {
		event.Detail["late"] = late.Round(time.Second).String() // T2
	}
	if err := appendEvent(ctx, tx, event); err != nil {
		return err
	}
	return owe(ctx, tx, inv.ID, t, key, messageParams{At: until}, now)
}
