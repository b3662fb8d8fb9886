package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

const (
	// skewTolerated is how far a panel's clock may be off before that enters the log:
	// the life of a command (P4).
	skewTolerated = 10 * time.Second
	// leaseSteps is how many different leases the time of one has, so that not every
	// message moves the row of its panel.
	leaseSteps = 1000
)

// lease is the lease that a message of this instant gives a panel (P2).
func lease(lasts time.Duration, now time.Time) time.Time {
	return instant(now.Add(lasts).Truncate(max(lasts/leaseSteps, time.Millisecond)))
}

// RenewLease gives a panel the lease that a message of this instant carries, and
// remembers it before the panel can hold it.
func (s *Store) RenewLease(ctx context.Context, p PanelIdentity, now time.Time) (time.Time, error) {
	until := lease(p.OfflineLease, now)
	if !until.After(p.LeaseUntil) {
		return until, nil
	}
	_, err := s.pool.Exec(ctx, `UPDATE panels SET lease_until = greatest(lease_until, $2) WHERE id = $1 AND lease_until IS DISTINCT FROM $2`, p.ID, until)
	return until, err
}

// contact is what is known of a panel that reports.
type contact struct {
	offlineLease time.Duration
	offlineSince time.Time
	skewKnown    bool
	clockWrong   bool
}

// lockContact reads the panel that reports, and keeps its other reports waiting.
func lockContact(ctx context.Context, tx pgx.Tx, from *reporter) (c contact, err error) {
	var offline *time.Time
	var skew *int64
	err = tx.QueryRow(ctx, `SELECT n.account_id, n.property_id, n.offline_since, n.clock_skew_ms, n.clock_wrong, (p.policy ->> 'offline_lease')::bigint
		FROM panels n JOIN properties p ON p.id = n.property_id WHERE n.id = $1 FOR UPDATE OF n`, from.panelID).
		Scan(&from.accountID, &from.propertyID, &offline, &skew, &c.clockWrong, &c.offlineLease)
	c.offlineSince, c.skewKnown = orZero(offline), skew != nil
	return c, err
}

// queue writes down that the panel was heard, and gives its next lease. It may hold
// what it says it holds, or what the answer gives it: nothing else, because it
// takes the latest. A panel reports the boots it still has events of in order, so
// the last to report is the current one.
func (c contact) queue(batch *pgx.Batch, from reporter, report PanelReport, now time.Time) (next time.Time) {
	next = lease(c.offlineLease, now)
	batch.Queue(`UPDATE panels SET boot_id = $2, last_seen_at = $3, offline_since = NULL, lease_until = greatest($4::timestamptz, $5) WHERE id = $1`,
		from.panelID, from.bootID, now, orNull(report.LeaseUntil), next)
	if !c.offlineSince.IsZero() {
		queueEvent(batch, from.panelEvent(access.EventPanelOnline, fmt.Sprintf("online/%d", c.offlineSince.UnixMicro()), now, now,
			map[string]any{"offline_since": c.offlineSince.Format(time.RFC3339)}))
	}
	if !report.At.IsZero() {
		c.queueSkew(batch, from, report.At.Sub(now), now)
	}
	return next
}

// queueSkew keeps how far a panel's clock is off, and notes once that it has gone
// wrong and once that it is right again (P6).
func (c contact) queueSkew(batch *pgx.Batch, from reporter, skew time.Duration, now time.Time) {
	wrong := skew.Abs() > skewTolerated
	batch.Queue(`UPDATE panels SET clock_skew_ms = $2, clock_wrong = $3 WHERE id = $1`, from.panelID, skew.Milliseconds(), wrong)
	if wrong != c.clockWrong {
		queueEvent(batch, from.panelEvent(access.EventPanelClockSkew, fmt.Sprintf("clock/%d", now.UnixMicro()), now, now,
			map[string]any{"skew": skew.Truncate(time.Millisecond).String()}))
	}
}

func (f reporter) panelEvent(t access.EventType, key string, at, now time.Time, detail map[string]any) directory.Event {
	return directory.Event{
		AccountID: f.accountID, Type: t, At: at, RecordedAt: now, PropertyID: f.propertyID, PanelID: f.panelID, Rule: "P8",
		DedupKey: f.panelID + "/" + key, Detail: detail,
	}
}

// MeasureRefused keeps how far the clock of a panel is off whose message was refused
// for its time. Only of a panel that is not heard otherwise: of one that is, an old
// message is somebody else's repetition.
func (s *Store) MeasureRefused(ctx context.Context, panelID string, issued, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		from := reporter{panelID: panelID}
		c, err := lockContact(ctx, tx, &from)
		if err != nil {
			return err
		}
		var heard *time.Time
		if err := tx.QueryRow(ctx, `SELECT last_seen_at FROM panels WHERE id = $1`, panelID).Scan(&heard); err != nil {
			return err
		}
		if now.Sub(orZero(heard)) < time.Minute {
			return nil
		}
		batch := &pgx.Batch{}
		c.queueSkew(batch, from, issued.Sub(now), now)
		return tx.SendBatch(ctx, batch).Close()
	})
}

// NoteSilence implements worker.Panels: it enters in the log, once, that a panel has
// gone silent, at the instant since which it counts as offline (P8).
func (s *Store) NoteSilence(ctx context.Context, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE panels SET offline_since = last_seen_at + $2 * interval '1 second' WHERE id IN (
				SELECT id FROM panels WHERE offline_since IS NULL AND enrolled_at IS NOT NULL AND disowned_at IS NULL AND last_seen_at < $1
				ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED)
			RETURNING id, account_id, property_id, offline_since`, now.Add(-directory.PanelSilentAfter), directory.PanelSilentAfter.Seconds())
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		var from reporter
		var since time.Time
		_, err = pgx.ForEachRow(rows, []any{&from.panelID, &from.accountID, &from.propertyID, &since}, func() error {
			queueEvent(batch, from.panelEvent(access.EventPanelOffline, fmt.Sprintf("offline/%d", since.UnixMicro()), since.UTC(), now,
				map[string]any{"last_seen_at": since.Add(-directory.PanelSilentAfter).UTC().Format(time.RFC3339)}))
			return nil
		})
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// PanelTotals is how all panels are, for the operator.
type PanelTotals struct{ Online, Offline, PendingGrants, PendingPolicies int }

// CountPanels counts over all accounts.
func (s *Store) CountPanels(ctx context.Context, now time.Time) (t PanelTotals, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE last_seen_at >= $1), count(*) FILTER (WHERE last_seen_at < $1),
			(SELECT count(*) FROM grants WHERE confirmed_revision < desired_revision),
			(SELECT count(*) FROM panel_policies WHERE confirmed_version < desired_version)
		FROM panels WHERE enrolled_at IS NOT NULL AND disowned_at IS NULL`, instant(now).Add(-directory.PanelSilentAfter)).
		Scan(&t.Online, &t.Offline, &t.PendingGrants, &t.PendingPolicies)
	return t, err
}
