package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// ErrEnrolmentRefused says that an enrolment code is unknown, was used with
// another key or is older than 24 hours (P1). Which of them is not told.
var ErrEnrolmentRefused = &directory.Error{Code: "enrolment_refused",
	Detail: "This enrolment code is not valid (any more). Ask for a new one with POST /v1/panels/{id}/enrolment-code."}

// EnrolPanel binds a panel to its key (P1). The same code with the same key
// repeats the answer; with another key it is refused. A SmartBox brings a second
// key, to which booking codes are encrypted.
func (s *Store) EnrolPanel(ctx context.Context, codeHash, publicKey, encryptionKey []byte, address string, now time.Time) (panelID string, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var accountID, propertyID string
		var known []byte
		var expires *time.Time
		err := tx.QueryRow(ctx, `SELECT id, account_id, property_id, public_key, enrolment_expires_at FROM panels
			WHERE enrolment_hash = $1 AND disowned_at IS NULL FOR UPDATE`, codeHash).Scan(&panelID, &accountID, &propertyID, &known, &expires)
		switch {
		case isNoRows(err):
			return ErrEnrolmentRefused
		case err != nil:
			return err
		case orZero(expires).Before(now), known != nil && string(known) != string(publicKey):
			return ErrEnrolmentRefused
		}
		if _, err := tx.Exec(ctx, `UPDATE panels SET public_key = $2, enrolled_at = coalesce(enrolled_at, $3), last_seen_at = $3,
				address = CASE WHEN address_fixed OR $4 = '' THEN address ELSE $4 END, encryption_key = $5 WHERE id = $1`,
			panelID, publicKey, now, address, encryptionKey); err != nil {
			return err
		}
		if err := desireAtNewBox(ctx, tx, accountID, panelID, now); err != nil {
			return err
		}
		if err := desirePolicies(ctx, tx, propertyID, now); err != nil { // before the documents' rows are touched, so that who has the lock never waits for us
			return err
		}
		if err := s.tellPanelAll(ctx, tx, panelID, now); err != nil {
			return err
		}
		return appendEvent(ctx, tx, directory.Event{
			AccountID: accountID, Type: access.EventPanelEnrolled, At: now, RecordedAt: now, PropertyID: propertyID, PanelID: panelID,
			DedupKey: fmt.Sprintf("%s/enrolled/%x", panelID, publicKey),
		})
	})
	return panelID, err
}

// tellPanelAll marks every grant of a panel as not confirmed, because the panel
// says that it has lost or never had them, and wakes its workflow.
func (s *Store) tellPanelAll(ctx context.Context, tx pgx.Tx, panelID string, now time.Time) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE grants SET confirmed_revision = 0, confirmed = NULL, reach = NULL, pending_since = coalesce(pending_since, $2), attempts = 0
		WHERE panel_id = $1`, panelID, now)
	batch.Queue(`UPDATE panel_policies SET confirmed_version = 0, confirmed = NULL, pending_since = coalesce(pending_since, $2), attempts = 0
		WHERE panel_id = $1`, panelID, now)
	queueWake(batch, panelWorkflow+panelID, now)
	return tx.SendBatch(ctx, batch).Close()
}

// PanelIdentity is what the engine needs to talk to a panel.
type PanelIdentity struct {
	ID            string
	AccountID     string
	Kind          directory.PanelKind
	Slots         int
	Address       string
	PublicKey     []byte
	EncryptionKey []byte // a JWK; SmartBoxes only
	TimeZone      string
	OfflineLease  time.Duration // of its property (P2)
	LeaseUntil    time.Time     // the latest lease that it may hold
	EngineKeyIDs  []string      // the engine's keys that it trusts, sorted
	PolledAt      time.Time     // when it last asked for messages by itself; zero: never
}

// PanelIdentity finds an enrolled panel that has not been disowned.
func (s *Store) PanelIdentity(ctx context.Context, panelID string) (PanelIdentity, error) {
	p := PanelIdentity{ID: panelID}
	var lease, polled *time.Time
	err := s.pool.QueryRow(ctx, `SELECT n.account_id, n.kind, n.slots, n.address, n.public_key, n.encryption_key, p.time_zone,
			(p.policy ->> 'offline_lease')::bigint, n.lease_until, n.engine_key_ids, n.polled_at
		FROM panels n JOIN properties p ON p.id = n.property_id WHERE n.id = $1 AND n.public_key IS NOT NULL AND n.disowned_at IS NULL`, panelID).
		Scan(&p.AccountID, &p.Kind, &p.Slots, &p.Address, &p.PublicKey, &p.EncryptionKey, &p.TimeZone, &p.OfflineLease, &lease, &p.EngineKeyIDs, &polled)
	p.LeaseUntil, p.PolledAt = orZero(lease), orZero(polled)
	if isNoRows(err) {
		return p, directory.NotFound("panel", panelID)
	}
	return p, err
}

// PanelKey is a key and the slot of a box in which it is.
type PanelKey struct {
	KeyID string
	Slot  int
}

// PanelKeys lists the keys that are in a box, as far as is known here.
func (s *Store) PanelKeys(ctx context.Context, panelID string) ([]PanelKey, error) {
	rows, err := s.pool.Query(ctx, `SELECT key_id, slot FROM custody WHERE panel_id = $1 AND state = 'in_box' ORDER BY slot`, panelID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PanelKey])
}

// SeenBefore remembers the id of a panel's message and reports whether it was
// there already: it implements panel.ReplayGuard for all processes together (P1).
func (s *Store) SeenBefore(ctx context.Context, issuer, messageID string, expires time.Time) (bool, error) {
	// Not waiting for the disk: what a power cut could let through again within a
	// minute is an event or a tap that has an id of its own.
	tag, err := s.pool.Exec(ctx, `WITH hasty AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
		INSERT INTO panel_messages (issuer, message_id, expires_at) SELECT $1, $2, $3 FROM hasty ON CONFLICT DO NOTHING`,
		issuer, messageID, instant(expires))
	return err == nil && tag.RowsAffected() == 0, err
}

// PanelEvent is one event as a panel reports it (P6).
type PanelEvent struct {
	Seq        int64
	At         time.Time
	Type       string
	EntranceID string
	CommandID  string
	GrantID    string
	Code       string
	Slot       int
	KeyID      string
	Op         string
	Via        string
	PassID     string
	Until      time.Time
	Level      int // percent, of battery
}

// reporter is the panel that reports, and where it stands.
type reporter struct{ accountID, propertyID, panelID, bootID string }

// PanelReport is a batch of a panel's events, and how it is.
type PanelReport struct {
	BootID     string
	Events     []PanelEvent
	At         time.Time // its own clock; zero: it does not say
	LeaseUntil time.Time // the lease that it holds; zero: none (P2)
}

// Intake is what a panel is answered to a report. LeaseUntil is its next lease.
type Intake struct {
	Seq        int64 // the last of the boot that is safe here
	ResendFrom int64 // what is missing before the events that came; 0: nothing
	LeaseUntil time.Time
}

// IntakeEvents takes in a batch of a panel's events: at least once from the panel,
// exactly once in the log (P6). What is missing before them is asked for once; if it
// does not come, the gap is noted. It keeps the panel's boot id for commands (P4).
func (s *Store) IntakeEvents(ctx context.Context, panelID string, report PanelReport, now time.Time) (answer Intake, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		from := reporter{panelID: panelID, bootID: report.BootID}
		contact, err := lockContact(ctx, tx, &from)
		if err != nil {
			return err
		}
		var last, asked int64
		err = tx.QueryRow(ctx, `SELECT last_seq, asked_from FROM panel_boots WHERE panel_id = $1 AND boot_id = $2`, panelID, report.BootID).Scan(&last, &asked)
		if err != nil && !isNoRows(err) {
			return err
		}
		isNew := isNoRows(err)
		answer = Intake{Seq: last}
		for _, e := range report.Events {
			if e.Seq <= answer.Seq {
				continue
			}
			if e.Seq > answer.Seq+1 {
				if asked != answer.Seq+1 {
					asked = answer.Seq + 1
					answer.ResendFrom = asked
					break
				}
				if err := appendEvent(ctx, tx, from.gap(answer.Seq, e.Seq, now)); err != nil {
					return err
				}
			}
			if err := s.intakeEvent(ctx, tx, from, e, now); err != nil {
				return fmt.Errorf("event %d of boot %s: %w", e.Seq, report.BootID, err)
			}
			answer.Seq = e.Seq
		}
		batch := &pgx.Batch{}
		if isNew || len(report.Events) > 0 {
			batch.Queue(`INSERT INTO panel_boots (panel_id, boot_id, last_seq, asked_from, seen_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (panel_id, boot_id) DO UPDATE SET last_seq = excluded.last_seq, asked_from = excluded.asked_from`,
				panelID, report.BootID, answer.Seq, asked, now)
		}
		answer.LeaseUntil = contact.queue(batch, from, report, now)
		batch.Queue(`INSERT INTO wakeups (workflow_id, due_at) SELECT $1, $3 WHERE EXISTS (
			SELECT FROM grants WHERE panel_id = $2 AND confirmed_revision < desired_revision AND attempts > 0) OR EXISTS (
			SELECT FROM panel_policies WHERE panel_id = $2 AND confirmed_version < desired_version AND attempts > 0)`,
			panelWorkflow+panelID, panelID, now) // it is back: do not wait for the end of a pause
		return tx.SendBatch(ctx, batch).Close()
	})
	return answer, err
}

func (f reporter) gap(last, seq int64, now time.Time) directory.Event {
	return directory.Event{
		AccountID: f.accountID, Type: access.EventPanelGap, At: now, RecordedAt: now, PropertyID: f.propertyID, PanelID: f.panelID,
		DedupKey: fmt.Sprintf("%s/%s/gap/%d", f.panelID, f.bootID, seq), Detail: map[string]any{"after": last, "before": seq, "boot_id": f.bootID},
	}
}

// lateReport is how late an opening is reported that may have been taken for a time
// without use: its invitation looks again when verification lapses (P6, I10).
const lateReport = time.Minute

// intakeEvent turns one event of a panel into what it means here.
func (s *Store) intakeEvent(ctx context.Context, tx pgx.Tx, from reporter, e PanelEvent, now time.Time) error {
	switch {
	case e.Type == "opened" && e.Slot > 0:
		return slotOpened(ctx, tx, from, e, now)
	case e.Type == "opened" && e.Via == "pass":
		return passOpened(ctx, tx, from, e, now)
	case e.Type == "opened":
		err := s.recordOpened(ctx, tx, e.CommandID, from.panelID, notAfter(e.At, now), now)
		if isNoRows(err) { // a command that this engine never gave: it is recorded as what it is
			return appendEvent(ctx, tx, from.event(access.EventEntranceOpened, e, now))
		}
		if err == nil && now.Sub(e.At) > lateReport {
			_, err = tx.Exec(ctx, `INSERT INTO wakeups (workflow_id, due_at) SELECT $1 || item_id, $2 FROM commands WHERE id = $3 AND op = 'unlock'`, invitationWorkflow, now, e.CommandID)
		}
		return err
	case e.Type == "denied" && e.Op != "":
		return appendEvent(ctx, tx, from.event(access.EventSlotDenied, e, now))
	case e.Type == "denied":
		return appendEvent(ctx, tx, from.event(access.EventEntranceDenied, e, now))
	case e.Type == "key_taken", e.Type == "key_returned":
		return keyMoved(ctx, tx, from, e, now)
	case e.Type == "lockout":
		return boxLocked(ctx, tx, from, e, now)
	case e.Type == "tamper":
		return panelTampered(ctx, tx, from, e, now)
	case e.Type == "battery":
		return batteryReported(ctx, tx, from, e, now)
	default: // taps and heartbeats are recorded by what they lead to
		return nil
	}
}

func (f reporter) event(t access.EventType, e PanelEvent, now time.Time) directory.Event {
	event := directory.Event{
		AccountID: f.accountID, Type: t, At: notAfter(e.At, now), RecordedAt: now, PropertyID: f.propertyID, PanelID: f.panelID, ItemID: e.GrantID,
		EntranceID: e.EntranceID, Code: access.Code(e.Code), Rule: "P2", DedupKey: f.dedup(e),
		Detail: map[string]any{"reported_by": "panel"},
	}
	for name, value := range map[string]string{"key_id": e.KeyID, "purpose": e.Op, "via": e.Via, "pass_id": e.PassID} {
		if value != "" {
			event.Detail[name] = value
		}
	}
	if e.Slot > 0 {
		event.Detail["slot"] = e.Slot
	}
	return event
}

// notAfter keeps a panel whose clock runs ahead from writing the future.
func notAfter(at, now time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return instant(at)
}

// PanelGrants lists what a panel should hold, for a panel that asks (P1, P3): at
// most limit, in the order of their ids, after one.
func (s *Store) PanelGrants(ctx context.Context, panelID, after string, limit int) ([]access.Grant, error) {
	rows, err := s.pool.Query(ctx, `SELECT desired FROM grants WHERE panel_id = $1 AND grant_id > $2 ORDER BY grant_id LIMIT $3`, panelID, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g access.Grant, err error) { return g, scanJSON(row, &g) })
}

// PanelLostGrants notes that a panel has lost what it once confirmed: everything
// is to be confirmed anew.
func (s *Store) PanelLostGrants(ctx context.Context, panelID string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error { return s.tellPanelAll(ctx, tx, panelID, instant(now)) })
}

// PanelEntrance is an entrance as its panel knows it.
type PanelEntrance struct{ ID, Name string }

// PanelEntrances lists the entrances behind a panel.
func (s *Store) PanelEntrances(ctx context.Context, panelID string) ([]PanelEntrance, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, name FROM entrances WHERE panel_id = $1 ORDER BY id`, panelID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PanelEntrance])
}

// SweepExpired implements worker.Claims: it forgets what has served its time.
func (s *Store) SweepExpired(ctx context.Context, now time.Time) error {
	now = instant(now)
	_, messages := s.pool.Exec(ctx, `DELETE FROM panel_messages WHERE expires_at < $1`, now)
	_, attempts := s.pool.Exec(ctx, `DELETE FROM sign_in_attempts WHERE expires_at < $1`, now.Add(-24*time.Hour))
	_, requests := s.pool.Exec(ctx, `DELETE FROM sign_in_requests WHERE created_at < $1`, now.Add(-time.Hour))
	_, sessions := s.pool.Exec(ctx, `DELETE FROM sessions WHERE expires_at < $1`, now)
	_, keys := s.pool.Exec(ctx, `DELETE FROM idempotency WHERE created_at < $1`, now.Add(-24*time.Hour))
	_, windows := s.pool.Exec(ctx, `DELETE FROM key_windows WHERE claimed_until < $1`, now)
	return errors.Join(messages, attempts, requests, sessions, keys, windows, s.sweepPasses(ctx, now))
}
