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

// unlockLease is how long an unlock may be under way before a repetition of its
// key takes it up again: longer than a command's round trip, shorter than a
// person's patience.
const unlockLease = 3 * time.Second

// ClaimUnlock implements [activities.Unlocks]: the first of the two commits of an
// unlock. It reads facts, decides with [access.Decide] and either records the
// refusal or claims the command, together with the idempotency key if there is one.
func (s *Store) ClaimUnlock(ctx context.Context, q activities.UnlockRequest, now time.Time) (claim activities.Claim, err error) {
	now = instant(now)
	if q.Key == nil { // one read and one write: a transaction around them would add nothing but round trips
		return s.claimUnlock(ctx, s.pool, q, now, now.Add(activities.CommandTTL))
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		earlier, err := s.earlierCommand(ctx, tx, q.Keyed, now)
		if err != nil || earlier != nil {
			if earlier != nil {
				claim = *earlier
			}
			return err
		}
		claim, err = s.claimUnlock(ctx, tx, q, now, now.Add(activities.CommandTTL))
		return err
	})
	return claim, err
}

func (s *Store) claimUnlock(ctx context.Context, db querier, q activities.UnlockRequest, now, expires time.Time) (claim activities.Claim, err error) {
	d, err := s.door(ctx, db, q)
	if err != nil {
		return claim, err
	}
	decision := access.Decide(d.facts, d.entrance, now)
	switch {
	case !decision.Allowed:
		claim.Outcome, err = s.recordDenial(ctx, db, q, d, decision, now)
		return claim, err
	case d.bootID == "" || !reachable(d.address, d.polledAt, now):
		claim.Outcome = &activities.Outcome{Result: activities.ResultUnreachable}
		return claim, forgetCommandKey(ctx, db, q.Keyed)
	}
	claim.Command = d.command(q.EntranceID, expires)
	return claim, insertCommand(ctx, db, d, claim.Command, "unlock", q, now)
}

// earlierCommand claims the key and answers for it if it was used before.
func (s *Store) earlierCommand(ctx context.Context, tx pgx.Tx, q activities.Keyed, now time.Time) (*activities.Claim, error) {
	k, err := s.claimIdempotency(ctx, tx, q.Scope, q.Key, q.RequestHash, unlockLease, now)
	if err != nil {
		return nil, err
	}
	switch k.State {
	case IdempotencyFresh:
		if k.ResourceID == "" {
			return nil, nil
		}
		c, known, err := s.commandAgain(ctx, tx, k.ResourceID)
		if err != nil || !known {
			return nil, err
		}
		return c, nil
	case IdempotencyDone:
		var outcome activities.Outcome
		return &activities.Claim{Outcome: &outcome}, json.Unmarshal(k.Response, &outcome)
	case IdempotencyUnderWay:
		return nil, ErrInProgress
	case IdempotencyOtherBody:
		return nil, ErrKeyReused
	}
	return nil, nil
}

// commandAgain is the command of a key whose outcome was not recorded by the
// request that claimed it. Its panel's report may have come meanwhile.
func (s *Store) commandAgain(ctx context.Context, tx querier, commandID string) (*activities.Claim, bool, error) {
	var c activities.Command
	var result string
	var slot int
	var polled *time.Time
	err := tx.QueryRow(ctx, `SELECT c.id, c.panel_id, n.address, n.public_key, n.polled_at, n.engine_key_ids, c.entrance_id, c.item_id, c.grant_revision,
			c.policy_version, c.boot_id, c.expires_at,
			c.purpose, c.key_id, c.slot, c.result FROM commands c JOIN panels n ON n.id = c.panel_id WHERE c.id = $1`, commandID).
		Scan(&c.ID, &c.PanelID, &c.Address, &c.PublicKey, &polled, &c.EngineKeyIDs, &c.EntranceID, &c.GrantID, &c.GrantRevision, &c.PolicyVersion, &c.BootID, &c.ExpiresAt,
			&c.Purpose, &c.KeyID, &slot, &result)
	c.PolledAt = orZero(polled)
	if isNoRows(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if result == string(activities.ResultOpened) {
		o := &activities.Outcome{Result: activities.ResultOpened, EventID: activities.OpeningEventID(commandID)}
		if c.Purpose != "" {
			o.Slot, o.PanelID = slot, c.PanelID
		}
		return &activities.Claim{Outcome: o}, true, nil
	}
	return &activities.Claim{Command: c, Again: true}, true, nil
}

// door is what an unlock reads: the facts, the entrance and its panel.
type door struct {
	facts         access.Facts
	entrance      access.Entrance
	panelID       string
	bootID        string
	address       string
	publicKey     []byte
	polledAt      time.Time
	engineKeyIDs  []string
	grantRevision int64
	policyVersion int64
}

func (d *door) command(entranceID string, expires time.Time) activities.Command {
	return activities.Command{
		ID: newID("cmd"), PanelID: d.panelID, Address: d.address, PublicKey: d.publicKey, PolledAt: d.polledAt, EngineKeyIDs: d.engineKeyIDs,
		EntranceID: entranceID, GrantID: d.facts.Invitation.ID,
		GrantRevision: d.grantRevision, PolicyVersion: d.policyVersion, BootID: d.bootID, ExpiresAt: expires,
	}
}

// door reads one invitation and one entrance of the same account. An entrance of
// another account is not found (E8); one that is not shared is for the decision to say.
func (s *Store) door(ctx context.Context, db querier, q activities.UnlockRequest) (*door, error) {
	d := &door{}
	var facts, policy, schedules []byte
	var zone string
	var verified, used, polled *time.Time
	var entranceID, entranceProperty, panelID, bootID, address *string
	var shareable *bool
	var revision *int64
	err := db.QueryRow(ctx, `SELECT i.facts, i.verified_at, i.last_used_at, p.policy, p.time_zone,
			EXISTS (SELECT 1 FROM members m WHERE m.id = i.inviter_id AND m.removed_at IS NOT NULL),
			e.id, e.property_id, e.shareable, e.schedules, n.id, CASE WHEN n.disowned_at IS NULL THEN n.boot_id END, n.address, n.public_key,
			n.polled_at, n.engine_key_ids, g.desired_revision, coalesce(d.desired_version, 0)
		FROM invitations i
		JOIN properties p ON p.id = i.property_id
		LEFT JOIN entrances e ON e.id = $2 AND e.account_id = i.account_id
		LEFT JOIN panels n ON n.id = e.panel_id
		LEFT JOIN grants g ON g.panel_id = n.id AND g.grant_id = i.id
		LEFT JOIN panel_policies d ON d.panel_id = n.id AND d.entrance_id = e.id
		WHERE i.id = $1 AND ($3 = '' OR i.account_id = $3) AND ($4::bytea IS NULL OR i.guest_index = $4) AND i.state <> 'creating'`,
		q.InvitationID, q.EntranceID, q.AccountID, q.GuestIndex).
		Scan(&facts, &verified, &used, &policy, &zone, &d.facts.InviterRemoved, &entranceID, &entranceProperty, &shareable, &schedules, &panelID, &bootID,
			&address, &d.publicKey, &polled, &d.engineKeyIDs, &revision, &d.policyVersion)
	if isNoRows(err) {
		return nil, directory.NotFound("invitation", q.InvitationID)
	}
	if err != nil {
		return nil, err
	}
	if entranceID == nil {
		return nil, directory.NotFound("entrance", q.EntranceID)
	}
	d.entrance = access.Entrance{ID: *entranceID, PropertyID: *entranceProperty, Shareable: *shareable}
	if err := json.Unmarshal(schedules, &d.entrance.Schedules); err != nil {
		return nil, err
	}
	d.panelID, d.bootID, d.address, d.polledAt = deref(panelID), deref(bootID), deref(address), orZero(polled)
	if revision != nil {
		d.grantRevision = *revision
	}
	return d, fillFacts(&d.facts, facts, policy, zone, verified, used)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func insertCommand(ctx context.Context, db querier, d *door, c activities.Command, via string, q activities.UnlockRequest, now time.Time) error {
	_, err := db.Exec(ctx, `WITH keyed AS (UPDATE idempotency SET resource_id = $1 WHERE account_id = $11 AND key_hash = $12)
		INSERT INTO commands (id, account_id, panel_id, item_id, entrance_id, grant_revision, boot_id, via, created_at, expires_at, policy_version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $13)`,
		c.ID, d.facts.Invitation.AccountID, c.PanelID, c.GrantID, c.EntranceID, c.GrantRevision, c.BootID, via, now, c.ExpiresAt, q.Scope, q.Key, c.PolicyVersion)
	return err
}

func (s *Store) recordDenial(ctx context.Context, tx querier, q activities.UnlockRequest, d *door, decision access.Decision, now time.Time) (*activities.Outcome, error) {
	inv := &d.facts.Invitation
	event := directory.Event{
		ID: newID("evt"), AccountID: inv.AccountID, Type: access.EventEntranceDenied, At: now, RecordedAt: now, PropertyID: inv.PropertyID,
		ItemID: inv.ID, EntranceID: q.EntranceID, PanelID: d.panelID, ActorID: inv.GuestID, Code: decision.Code, Rule: decision.Rule,
	}
	event.DedupKey = event.ID
	if err := appendEvent(ctx, tx, event); err != nil {
		return nil, err
	}
	outcome := &activities.Outcome{Result: activities.ResultDenied, EventID: event.ID, Code: string(decision.Code), Decision: decision}
	return outcome, s.finishCommandKey(ctx, tx, q.Keyed, *outcome)
}

// keepCommandKey leaves the key of an unknown outcome to be used again at once, for
// the same command (P4).
func keepCommandKey(ctx context.Context, tx querier, q activities.Keyed, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE idempotency SET lease_until = $3 WHERE account_id = $1 AND key_hash = $2`, q.Scope, q.Key, now)
	return err
}

// forgetCommandKey frees the key of a request that surely opened nothing, so that
// the same request can be tried anew.
func forgetCommandKey(ctx context.Context, tx querier, q activities.Keyed) error {
	_, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE account_id = $1 AND key_hash = $2`, q.Scope, q.Key)
	return err
}

// finishCommandKey keeps the answer for the key (E2).
func (s *Store) finishCommandKey(ctx context.Context, tx querier, q activities.Keyed, o activities.Outcome) error {
	if q.Key == nil {
		return nil
	}
	response, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.completeIdempotency(ctx, tx, q.Scope, q.Key, 200, response)
}

// RecordUnlock implements [activities.Unlocks]: the second commit.
func (s *Store) RecordUnlock(ctx context.Context, q activities.UnlockRequest, c activities.Command, o activities.Outcome, at, now time.Time) (activities.Outcome, error) {
	at, now = instant(at), instant(now)
	if q.Key == nil && o.Result == activities.ResultOpened { // one statement, see recordOpened
		return o, s.recordOpened(ctx, s.pool, c.ID, c.PanelID, at, now)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		switch o.Result {
		case activities.ResultOpened:
			if err := s.recordOpened(ctx, tx, c.ID, c.PanelID, at, now); err != nil {
				return err
			}
			return s.finishCommandKey(ctx, tx, q.Keyed, o)
		case activities.ResultUnknown:
			return keepCommandKey(ctx, tx, q.Keyed, now)
		case activities.ResultDenied, activities.ResultRefused, activities.ResultUnreachable:
			return s.recordNotOpened(ctx, tx, q, c, &o, now)
		}
		return nil
	})
	return o, err
}

// recordNotOpened notes that a panel refused or could not be reached. If its own
// report says that it opened after all, that stands.
func (s *Store) recordNotOpened(ctx context.Context, tx querier, q activities.UnlockRequest, c activities.Command, o *activities.Outcome, now time.Time) error {
	if o.Code == "" {
		o.Code = string(o.Result)
	}
	var accountID, propertyID, guestID string
	err := tx.QueryRow(ctx, `UPDATE commands c SET result = $2 FROM invitations i
		WHERE c.id = $1 AND i.id = c.item_id AND c.result = '' RETURNING i.account_id, i.property_id, i.guest_id`, c.ID, o.Code).
		Scan(&accountID, &propertyID, &guestID)
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
	o.EventID = newID("evt")
	event := directory.Event{
		ID: o.EventID, AccountID: accountID, Type: access.EventEntranceDenied, At: now, RecordedAt: now, PropertyID: propertyID, ItemID: c.GrantID,
		EntranceID: c.EntranceID, PanelID: c.PanelID, ActorID: guestID, Code: access.Code(o.Code), Rule: "P4", DedupKey: "command/" + c.ID + "/not_opened",
	}
	if err := appendEvent(ctx, tx, event); err != nil {
		return err
	}
	return forgetCommandKey(ctx, tx, q.Keyed)
}

// recordOpenedSQL is one statement, because a person waits in front of the door:
// the command's outcome, the use that restarts the period of inactivity (I10), the
// event, the inviter's message unless they have muted it (I7), and the wake-up of
// the outbox. Only the first report of a command finds a row to change.
const recordOpenedSQL = `WITH done AS (
		UPDATE commands SET result = 'opened', opened_at = $3 WHERE id = $1 AND panel_id = $2 AND result <> 'opened' AND op = 'unlock'
		RETURNING item_id, account_id, entrance_id, via),
	used AS (
		UPDATE invitations i SET last_used_at = greatest(i.last_used_at, $3) FROM done WHERE i.id = done.item_id
		RETURNING i.id, i.property_id, i.guest_id, i.inviter_id),
	logged AS (
		INSERT INTO events (id, account_id, type, at, recorded_at, property_id, item_id, entrance_id, panel_id, actor_id, rule, detail, dedup_key)
		SELECT $4, done.account_id, $5, $3, $6, used.property_id, used.id, done.entrance_id, $2, used.guest_id, 'I7',
			jsonb_build_object('via', done.via), 'command/' || $1 || '/opened' FROM done, used ON CONFLICT DO NOTHING),
	told AS (
		INSERT INTO messages (id, account_id, person_id, channel, template, item_id, params, dedup_key, not_before, created_at)
		SELECT $7, done.account_id, m.person_id, ` + unlockChannelSQL + `, $8, used.id, jsonb_build_object('at', $9::text, 'entrance_id', done.entrance_id),
			'command/' || $1 || '/' || $8, $6, $6
		FROM done, used JOIN members m ON m.id = used.inviter_id AND m.removed_at IS NULL WHERE m.preferences ->> 'unlocks' IS DISTINCT FROM 'muted'
		ON CONFLICT DO NOTHING RETURNING id),
	woken AS (
		INSERT INTO wakeups (workflow_id, due_at) SELECT $10, $6 FROM told RETURNING workflow_id)
	SELECT (SELECT count(*) FROM done), (SELECT count(pg_notify('` + wakeupChannel + `', workflow_id)) FROM woken)`

// recordOpened records that a command opened its door, once, whichever report
// comes first: the answer to the command or the panel's own event (P4). An unknown
// command is pgx.ErrNoRows.
func (s *Store) recordOpened(ctx context.Context, db querier, commandID, panelID string, at, now time.Time) error {
	var first, woken int
	err := db.QueryRow(ctx, recordOpenedSQL, commandID, panelID, at, activities.OpeningEventID(commandID), string(access.EventEntranceOpened), now,
		newID("msg"), string(access.TemplateEntranceUnlocked), at.Format(time.RFC3339Nano), outboxWorkflowID).Scan(&first, &woken)
	if err != nil || first > 0 {
		return err
	}
	return db.QueryRow(ctx, `SELECT 1 FROM commands WHERE id = $1 AND panel_id = $2`, commandID, panelID).Scan(&first)
}
