package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// box is what opening a slot reads: the facts and the SmartBox.
type box struct {
	facts         access.KeyFacts
	panelID       string
	bootID        string
	address       string
	publicKey     []byte
	polledAt      time.Time
	engineKeyIDs  []string
	grantRevision int64
	policyVersion int64
}

// ClaimSlot implements [activities.Slots]: it reads facts, decides with
// [access.DecidePickup] or [access.DecideDropOff] and either records the refusal or
// claims the command, together with the idempotency key if there is one.
func (s *Store) ClaimSlot(ctx context.Context, q activities.SlotRequest, now time.Time) (claim activities.Claim, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if q.Key != nil {
			earlier, err := s.earlierCommand(ctx, tx, q.Keyed, now)
			if err != nil {
				return err
			}
			if earlier != nil {
				claim = *earlier
				claim.Command.PanelCode = q.PanelCode
				return nil
			}
		}
		claim, err = s.claimSlot(ctx, tx, q, now, now.Add(activities.CommandTTL))
		return err
	})
	return claim, err
}

func (s *Store) claimSlot(ctx context.Context, tx pgx.Tx, q activities.SlotRequest, now, expires time.Time) (claim activities.Claim, err error) {
	b, err := s.boxFor(ctx, tx, q)
	if err != nil {
		return claim, err
	}
	decision := access.DecideDropOff(b.facts)
	if q.Purpose == activities.Pickup {
		decision = access.DecidePickup(b.facts, now)
	}
	r := &b.facts.Reservation
	switch {
	case !decision.Allowed:
		claim.Outcome, err = s.recordSlotDenial(ctx, tx, q, b, decision, now)
		return claim, err
	case b.bootID == "" || !reachable(b.address, b.polledAt, now):
		claim.Outcome = &activities.Outcome{Result: activities.ResultUnreachable}
		return claim, forgetCommandKey(ctx, tx, q.Keyed)
	}
	claim.Command = activities.Command{
		ID: newID("cmd"), PanelID: b.panelID, Address: b.address, PublicKey: b.publicKey, PolledAt: b.polledAt, EngineKeyIDs: b.engineKeyIDs,
		GrantID: r.ID, GrantRevision: b.grantRevision, PolicyVersion: b.policyVersion, BootID: b.bootID, ExpiresAt: expires,
		Purpose: q.Purpose, KeyID: r.KeyID, PanelCode: q.PanelCode,
	}
	c := &claim.Command
	_, err = tx.Exec(ctx, `WITH keyed AS (UPDATE idempotency SET resource_id = $1 WHERE account_id = $11 AND key_hash = $12)
		INSERT INTO commands (id, account_id, panel_id, item_id, op, purpose, key_id, grant_revision, boot_id, via, created_at, expires_at, policy_version)
		VALUES ($1, $2, $3, $4, 'open_slot', $5, $6, $7, $8, 'remote', $9, $10, $13)`,
		c.ID, r.AccountID, c.PanelID, r.ID, c.Purpose, c.KeyID, c.GrantRevision, c.BootID, now, c.ExpiresAt, q.Scope, q.Key, c.PolicyVersion)
	return claim, err
}

// boxFor reads the reservation, where its key is, and the box: for a pickup the one
// that has the key, for a drop-off the one that was named or else the key's own.
func (s *Store) boxFor(ctx context.Context, tx pgx.Tx, q activities.SlotRequest) (*box, error) {
	b := &box{}
	var facts, token []byte
	if q.Token != "" {
		token = s.keys.Index("visit-token", q.Token)
	}
	c := &b.facts.Custody
	var home string
	var heldAt *string
	err := tx.QueryRow(ctx, `SELECT r.facts, c.state, c.panel_id, c.holder_id, c.since, k.panel_id, `+lockedKeySQL+`
		FROM reservations r JOIN custody c ON c.key_id = r.key_id JOIN keys k ON k.id = r.key_id
		WHERE r.state <> 'creating' AND (r.id = $1 AND r.account_id = $2 OR r.token_hash = $3)`, q.ReservationID, q.AccountID, token).
		Scan(&facts, &c.State, &heldAt, &c.HolderID, &c.Since, &home, &b.facts.LockedDown)
	if isNoRows(err) {
		return nil, directory.NotFound("reservation", q.ReservationID)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(facts, &b.facts.Reservation); err != nil {
		return nil, err
	}
	c.PanelID = deref(heldAt)
	switch {
	case q.Purpose == activities.Pickup && c.State == access.CustodyInBox:
		b.panelID = c.PanelID
	case q.Purpose == activities.DropOff && q.PanelID != "":
		b.panelID = q.PanelID
	default:
		b.panelID = home
	}
	var revision *int64
	var polled *time.Time
	err = tx.QueryRow(ctx, `SELECT CASE WHEN n.disowned_at IS NULL THEN n.boot_id ELSE '' END, n.address, n.public_key, n.polled_at, n.engine_key_ids,
			g.desired_revision, coalesce(d.desired_version, 0)
		FROM panels n LEFT JOIN grants g ON g.panel_id = n.id AND g.grant_id = $3
		LEFT JOIN panel_policies d ON d.panel_id = n.id AND d.entrance_id = n.id
		WHERE n.id = $1 AND n.account_id = $2 AND n.kind = 'smartbox'`, b.panelID, b.facts.Reservation.AccountID, b.facts.Reservation.ID).
		Scan(&b.bootID, &b.address, &b.publicKey, &polled, &b.engineKeyIDs, &revision, &b.policyVersion)
	b.polledAt = orZero(polled)
	if isNoRows(err) {
		return nil, directory.NotFound("panel", b.panelID)
	}
	if revision != nil {
		b.grantRevision = *revision
	}
	return b, err
}

func (s *Store) recordSlotDenial(ctx context.Context, tx pgx.Tx, q activities.SlotRequest, b *box, decision access.Decision, now time.Time) (*activities.Outcome, error) {
	event := slotEvent(&b.facts.Reservation, access.EventSlotDenied, b.panelID, string(q.Purpose), now)
	event.ID = newID("evt")
	event.Code, event.Rule, event.DedupKey = decision.Code, decision.Rule, event.ID
	if err := appendEvent(ctx, tx, event); err != nil {
		return nil, err
	}
	outcome := &activities.Outcome{Result: activities.ResultDenied, EventID: event.ID, Code: string(decision.Code), Decision: decision}
	return outcome, s.finishCommandKey(ctx, tx, q.Keyed, *outcome)
}

func slotEvent(r *access.Reservation, t access.EventType, panelID, purpose string, now time.Time) directory.Event {
	return directory.Event{
		AccountID: r.AccountID, Type: t, At: now, RecordedAt: now, PropertyID: r.PropertyID, ItemID: r.ID, PanelID: panelID, ActorID: r.VisitorID,
		Detail: map[string]any{"key_id": r.KeyID, "purpose": purpose, "via": "remote"},
	}
}

// RecordSlot implements [activities.Slots]: the second commit.
func (s *Store) RecordSlot(ctx context.Context, q activities.SlotRequest, c activities.Command, o activities.Outcome, at, now time.Time) (activities.Outcome, error) {
	at, now = instant(at), instant(now)
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		switch o.Result {
		case activities.ResultOpened:
			if err := recordSlotOpened(ctx, tx, c.ID, c.PanelID, o.Slot, at, now); err != nil {
				return err
			}
			return s.finishCommandKey(ctx, tx, q.Keyed, o)
		case activities.ResultUnknown:
			return keepCommandKey(ctx, tx, q.Keyed, now)
		case activities.ResultDenied, activities.ResultRefused, activities.ResultUnreachable:
			return s.recordSlotNotOpened(ctx, tx, q, c, &o, now)
		}
		return nil
	})
	return o, err
}

// recordSlotNotOpened notes that a box refused or could not be reached. If its own
// report says that it opened after all, that stands.
func (s *Store) recordSlotNotOpened(ctx context.Context, tx pgx.Tx, q activities.SlotRequest, c activities.Command, o *activities.Outcome, now time.Time) error {
	if o.Code == "" {
		o.Code = string(o.Result)
	}
	var facts []byte
	err := tx.QueryRow(ctx, `UPDATE commands c SET result = $2 FROM reservations r
		WHERE c.id = $1 AND r.id = c.item_id AND c.result = '' RETURNING r.facts`, c.ID, o.Code).Scan(&facts)
	if isNoRows(err) {
		again, _, err := s.commandAgain(ctx, tx, c.ID)
		if err == nil && again != nil && again.Outcome != nil {
			*o = *again.Outcome
		}
		return err
	}
	if err != nil {
		return err
	}
	var r access.Reservation
	if err := json.Unmarshal(facts, &r); err != nil {
		return err
	}
	event := slotEvent(&r, access.EventSlotDenied, c.PanelID, string(c.Purpose), now)
	o.EventID = newID("evt")
	event.ID, event.Code, event.Rule, event.DedupKey = o.EventID, access.Code(o.Code), "P4", "command/"+c.ID+"/not_opened"
	if err := appendEvent(ctx, tx, event); err != nil {
		return err
	}
	return forgetCommandKey(ctx, tx, q.Keyed)
}

// recordSlotOpened records that a command opened a slot, once, whichever report
// comes first (P4). That a key was taken or put in is the box's own report. An
// unknown command is pgx.ErrNoRows.
func recordSlotOpened(ctx context.Context, tx querier, commandID, panelID string, slot int, at, now time.Time) error {
	var facts []byte
	var purpose string
	err := tx.QueryRow(ctx, `UPDATE commands c SET result = 'opened', opened_at = $3, slot = $4 FROM reservations r
		WHERE c.id = $1 AND c.panel_id = $2 AND c.result <> 'opened' AND c.op = 'open_slot' AND r.id = c.item_id RETURNING r.facts, c.purpose`,
		commandID, panelID, at, slot).Scan(&facts, &purpose)
	if isNoRows(err) {
		return tx.QueryRow(ctx, `SELECT 1 FROM commands WHERE id = $1 AND panel_id = $2 AND op = 'open_slot'`, commandID, panelID).Scan(new(int))
	}
	if err != nil {
		return err
	}
	var r access.Reservation
	if err := json.Unmarshal(facts, &r); err != nil {
		return err
	}
	event := slotEvent(&r, access.EventSlotOpened, panelID, purpose, now)
	event.ID, event.At, event.Rule, event.DedupKey = activities.OpeningEventID(commandID), at, "K3", "command/"+commandID+"/opened"
	if purpose == string(activities.DropOff) {
		event.Rule = "K8"
	}
	event.Detail["slot"] = slot
	return appendEvent(ctx, tx, event)
}
