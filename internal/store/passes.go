package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Pass is an offline pass that was given to a phone (P9).
type Pass struct {
	ID            string
	InvitationID  string
	GrantRevision int64
	EngineKeyID   string // the key that signs it
	Entrances     []string
	DeviceKey     []byte // a JWK
	IssuedAt      time.Time
	ExpiresAt     time.Time
}

// passAgain is how long asking again gives the same pass, so that a phone that asks
// often does not fill the table.
const passAgain = time.Minute

// keepPasses is how long after its end a pass is remembered: longer than a panel is
// usually cut off, because the use of a pass counts only while it is known.
const keepPasses = 30 * 24 * time.Hour

// IssuePass gives the phone of a session a pass for an invitation of its guest, or
// says by which rule not (a [*DecisionError]). The pass is signed with the newest
// engine key that every panel of its doors is known to trust.
func (s *Store) IssuePass(ctx context.Context, q activities.UnlockRequest, sessionID string, now time.Time) (p Pass, err error) {
	now = instant(now)
	ring, err := s.EngineKeyring(ctx, now)
	if err != nil {
		return p, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		phone, err := device(ctx, tx, sessionID)
		if err != nil {
			return err
		}
		f, err := s.factsFor(ctx, tx, q)
		if err != nil {
			return err
		}
		decision, until := access.DecidePass(f, now)
		if !decision.Allowed {
			return &DecisionError{Decision: decision}
		}
		inv := &f.Invitation
		keyID, err := passKey(ctx, tx, ring, inv.Entrances)
		if err != nil {
			return err
		}
		p = Pass{InvitationID: inv.ID, GrantRevision: inv.Revision, EngineKeyID: keyID, Entrances: inv.Entrances, DeviceKey: phone.PublicKey,
			IssuedAt: inv.PassIssuedAt(now), ExpiresAt: until.Truncate(time.Second)}
		return givePass(ctx, tx, inv, &p, phone.Thumbprint, now)
	})
	return p, err
}

// passKey is the newest engine key that all panels of some entrances trust.
func passKey(ctx context.Context, tx pgx.Tx, ring []EngineKey, entrances []string) (string, error) {
	for n := len(ring) - 1; n > 0; n-- {
		var strangers int
		err := tx.QueryRow(ctx, `SELECT count(*) FROM panels n WHERE n.disowned_at IS NULL AND NOT $2 = ANY(n.engine_key_ids)
			AND EXISTS (SELECT FROM entrances e WHERE e.panel_id = n.id AND e.id = ANY($1))`, entrances, ring[n].ID).Scan(&strangers)
		if err != nil || strangers == 0 {
			return ring[n].ID, err
		}
	}
	return ring[0].ID, nil
}

// givePass writes the pass down, or takes up the one that the same phone was given
// a moment ago.
func givePass(ctx context.Context, tx pgx.Tx, inv *access.Invitation, p *Pass, thumbprint string, now time.Time) error {
	err := tx.QueryRow(ctx, `SELECT id, issued_at, expires_at FROM passes WHERE invitation_id = $1 AND thumbprint = $2 AND grant_revision = $3
			AND engine_key_id = $4 AND issued_at > $5 AND expires_at <= $6 ORDER BY issued_at DESC LIMIT 1`,
		inv.ID, thumbprint, p.GrantRevision, p.EngineKeyID, now.Add(-passAgain), p.ExpiresAt).Scan(&p.ID, &p.IssuedAt, &p.ExpiresAt)
	p.IssuedAt, p.ExpiresAt = p.IssuedAt.UTC(), p.ExpiresAt.UTC()
	if !isNoRows(err) {
		return err
	}
	p.ID = newID("pass")
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO passes (id, account_id, invitation_id, thumbprint, grant_revision, engine_key_id, issued_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, p.ID, inv.AccountID, inv.ID, thumbprint, p.GrantRevision, p.EngineKeyID, p.IssuedAt, p.ExpiresAt)
	queueEvent(batch, directory.Event{
		ID: newID("evt"), AccountID: inv.AccountID, Type: access.EventPassIssued, At: now, RecordedAt: now, PropertyID: inv.PropertyID, ItemID: inv.ID,
		ActorID: inv.GuestID, Rule: "P9", DedupKey: p.ID + "/issued", Detail: map[string]any{"pass_id": p.ID, "expires_at": p.ExpiresAt},
	})
	return tx.SendBatch(ctx, batch).Close()
}

// passOpenedSQL is what a panel's report of a door that a pass opened does: the use
// that restarts the period of inactivity (I10), the event and the inviter's message
// unless they have muted it (I7). Only an invitation that the panel was told of is
// touched, and the use counts inside the life of a pass that was really given: a
// panel's clock must not make a lapsed verification good again.
const passOpenedSQL = `WITH item AS (
		SELECT i.id, i.account_id, i.property_id, i.guest_id, i.inviter_id FROM invitations i
		WHERE i.id = $1 AND i.account_id = $2 AND EXISTS (SELECT FROM grants g WHERE g.panel_id = $3 AND g.grant_id = i.id)),
	logged AS (
		INSERT INTO events (id, account_id, type, at, recorded_at, property_id, item_id, entrance_id, panel_id, actor_id, rule, detail, dedup_key)
		SELECT $4, account_id, $5, $6, $7, property_id, id, $8, $3, guest_id, 'P9',
			jsonb_build_object('via', 'pass', 'pass_id', $9::text, 'reported_by', 'panel'), $10 FROM item ON CONFLICT DO NOTHING RETURNING id),
	used AS (
		UPDATE invitations i SET last_used_at = greatest(i.last_used_at, least($6, p.expires_at)) FROM item, passes p, logged
		WHERE i.id = item.id AND p.id = $9 AND p.invitation_id = item.id AND $6 >= p.issued_at - interval '30 seconds' RETURNING i.id),
	told AS (
		INSERT INTO messages (id, account_id, person_id, channel, template, item_id, params, dedup_key, not_before, created_at)
		SELECT $11, item.account_id, m.person_id, ` + unlockChannelSQL + `, $12, item.id, jsonb_build_object('at', $13::text, 'entrance_id', $8::text), $10 || '/' || $12, $7, $7
		FROM item, logged JOIN members m ON m.id = (SELECT inviter_id FROM item) WHERE m.preferences ->> 'unlocks' IS DISTINCT FROM 'muted'
		ON CONFLICT DO NOTHING RETURNING id)
	SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM used), (SELECT count(*) FROM told)`

// passOpened takes in that a pass opened a door, at the time that the panel says. A
// use counts from then; the workflow is woken, because it may have noticed a lapse
// that now turns out not to have been one.
func passOpened(ctx context.Context, tx pgx.Tx, from reporter, e PanelEvent, now time.Time) error {
	at := notAfter(e.At, now)
	var known, used, told int
	err := tx.QueryRow(ctx, passOpenedSQL, e.GrantID, from.accountID, from.panelID, newID("evt"), string(access.EventEntranceOpened), at, now,
		e.EntranceID, e.PassID, from.dedup(e), newID("msg"), string(access.TemplateEntranceUnlocked), at.Format(time.RFC3339Nano)).
		Scan(&known, &used, &told)
	if err == nil && known == 0 { // an item that this panel was never told of: it is recorded as what it is
		return appendEvent(ctx, tx, from.event(access.EventEntranceOpened, e, now))
	}
	if err == nil && used > 0 {
		err = wake(ctx, tx, invitationWorkflow+e.GrantID, now)
	}
	if err == nil && told > 0 {
		err = wake(ctx, tx, outboxWorkflowID, now)
	}
	return err
}

// dedup is the key under which an event of a panel is in the log once.
func (f reporter) dedup(e PanelEvent) string {
	return fmt.Sprintf("%s/%s/%d", f.panelID, f.bootID, e.Seq)
}

// passesUntil is until when the passes of each invitation are good at most, where it
// has any: until then a door that is cut off may admit the guest (P5, P9).
func (s *Store) passesUntil(ctx context.Context, invitationIDs []string) (map[string]time.Time, error) {
	rows, err := s.pool.Query(ctx, `SELECT invitation_id, max(expires_at) FROM passes WHERE invitation_id = ANY($1) GROUP BY invitation_id`, invitationIDs)
	if err != nil {
		return nil, err
	}
	until := map[string]time.Time{}
	var id string
	var expires time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &expires}, func() error {
		until[id] = expires.UTC()
		return nil
	})
	return until, err
}

// sweepPasses forgets passes whose use nobody will report any more, and messages
// to panels whose sender is gone.
func (s *Store) sweepPasses(ctx context.Context, now time.Time) error {
	_, passes := s.pool.Exec(ctx, `DELETE FROM passes WHERE expires_at < $1`, now.Add(-keepPasses))
	_, deliveries := s.pool.Exec(ctx, `DELETE FROM panel_deliveries WHERE expires_at < $1`, now.Add(-time.Minute))
	return errors.Join(passes, deliveries)
}
