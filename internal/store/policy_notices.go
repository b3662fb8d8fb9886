package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// policyChange is a change that not everybody has been told of.
type policyChange struct {
	id, propertyID, entranceID      string
	before, after                   access.Policy // of the property
	doorBefore, doorAfter           access.Entrance
	zone                            *time.Location
	at                              time.Time
	lastInvitation, lastReservation string
}

// differences is what the change means for an invitation.
func (c *policyChange) differences(f access.Facts) []access.Difference {
	if c.entranceID != "" {
		return access.EntranceDifferences(c.doorBefore, c.doorAfter)
	}
	f.Policy, f.Zone = c.after, c.zone
	return access.PolicyDifferences(f, c.before, c.at)
}

// TellOfChange tells some more of those whom the oldest change of a property
// concerns, at most limit, and reports how many it has looked at; zero says that
// everybody has been told of everything. Each step is a transaction that writes the
// messages and how far it has come, so that a crash neither loses nor repeats one
// (I12). Several processes may do it at once.
func (s *Store) TellOfChange(ctx context.Context, limit int, now time.Time) (looked int, err error) {
	now = instant(now)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		looked = 0
		c, err := nextChange(ctx, tx)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		invitations, err := s.tellGuests(ctx, tx, batch, c, limit, now)
		if err != nil {
			return err
		}
		reservations := 0
		if invitations < limit {
			if reservations, err = s.tellVisitors(ctx, tx, batch, c, limit-invitations, now); err != nil {
				return err
			}
		}
		if invitations+reservations < limit { // everybody has been told
			batch.Queue(`DELETE FROM policy_changes WHERE id = $1`, c.id)
		} else {
			batch.Queue(`UPDATE policy_changes SET last_invitation = $2, last_reservation = $3 WHERE id = $1`, c.id, c.lastInvitation, c.lastReservation)
		}
		looked = invitations + reservations + 1
		return tx.SendBatch(ctx, batch).Close()
	})
	return looked, err
}

func nextChange(ctx context.Context, tx pgx.Tx) (*policyChange, error) {
	c := &policyChange{}
	var before, after []byte
	var zone string
	err := tx.QueryRow(ctx, `SELECT c.id, c.property_id, c.entrance_id, c.before, c.after, p.time_zone, c.changed_at, c.last_invitation, c.last_reservation
		FROM policy_changes c JOIN properties p ON p.id = c.property_id
		ORDER BY c.changed_at, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED`).
		Scan(&c.id, &c.propertyID, &c.entranceID, &before, &after, &zone, &c.at, &c.lastInvitation, &c.lastReservation)
	if err != nil {
		return nil, err
	}
	c.at = c.at.UTC()
	if c.zone, err = time.LoadLocation(zone); err != nil {
		return nil, err
	}
	if c.entranceID != "" {
		return c, errors.Join(json.Unmarshal(before, &c.doorBefore), json.Unmarshal(after, &c.doorAfter))
	}
	return c, errors.Join(json.Unmarshal(before, &c.before), json.Unmarshal(after, &c.after))
}

// tellGuests writes the messages to the guests of a page of live invitations and to
// their inviters, and wakes those whose verification has changed.
func (s *Store) tellGuests(ctx context.Context, tx pgx.Tx, batch *pgx.Batch, c *policyChange, limit int, now time.Time) (looked int, err error) {
	rows, err := tx.Query(ctx, `SELECT i.id, i.facts, i.verified_at, i.last_used_at, i.guest_index, i.inviter_id FROM invitations i
		WHERE i.property_id = $1 AND i.id > $3 AND i.state IN ('invited', 'accepted') AND i.created_at <= $4 AND `+liveInvitation+`
			AND ($5 = '' OR i.facts -> 'entrances' ? $5)
		ORDER BY i.id LIMIT $6`, c.propertyID, now, c.lastInvitation, c.at, c.entranceID, limit)
	if err != nil {
		return 0, err
	}
	type live struct {
		access.Facts
		guestIndex []byte
		inviterID  string
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l live, err error) {
		var facts []byte
		var verified, used *time.Time
		if err = row.Scan(&c.lastInvitation, &facts, &verified, &used, &l.guestIndex, &l.inviterID); err != nil {
			return l, err
		}
		l.Use = access.Use{VerifiedAt: orZero(verified), LastUsedAt: orZero(used)}
		return l, json.Unmarshal(facts, &l.Invitation)
	})
	if err != nil {
		return 0, err
	}
	members := map[string]bool{}
	for _, l := range page {
		changes := c.differences(l.Facts)
		if len(changes) == 0 {
			continue
		}
		inv := &l.Invitation
		queueTold(batch, "inv", inv.ID, "guest/"+hex.EncodeToString(l.guestIndex)+"/"+digest(changes), c, messageParams{At: c.at, Changes: changes}, now)
		if !members[l.inviterID] {
			members[l.inviterID] = true
			if err := s.tellMember(ctx, tx, batch, c, l.inviterID, inv.ID, now); err != nil {
				return 0, err
			}
		}
		if inv.State == access.InvitationAccepted && c.entranceID == "" && c.after.VerificationChangedAt.Equal(c.at) {
			queueWake(batch, invitationWorkflow+inv.ID, now)
		}
	}
	return len(page), nil
}

// tellVisitors writes the messages of a lock-down to visitors and hosts (I17). No
// other change of a policy concerns them.
func (s *Store) tellVisitors(ctx context.Context, tx pgx.Tx, batch *pgx.Batch, c *policyChange, limit int, now time.Time) (looked int, err error) {
	changes := access.LockDownDifferences(c.before, c.after)
	if c.entranceID != "" || len(changes) == 0 {
		return 0, nil
	}
	rows, err := tx.Query(ctx, `SELECT r.id, coalesce(r.email_index, r.mobile_index), r.host_id
		FROM reservations r JOIN keys k ON k.id = r.key_id JOIN custody c ON c.key_id = k.id
		WHERE r.account_id = (SELECT account_id FROM properties WHERE id = $1) AND r.id > $3 AND r.created_at <= $4
			AND r.state = 'scheduled' AND (r.ends_at IS NULL OR r.ends_at > $2)
			AND (k.property_id = $1 OR c.state = 'in_box' AND EXISTS (SELECT 1 FROM panels at WHERE at.id = c.panel_id AND at.property_id = $1))
		ORDER BY r.id LIMIT $5`, c.propertyID, now, c.lastReservation, c.at, limit)
	if err != nil {
		return 0, err
	}
	var visitor []byte
	var hostID string
	hosts := map[string]string{}
	_, err = pgx.ForEachRow(rows, []any{&c.lastReservation, &visitor, &hostID}, func() error {
		looked++
		queueTold(batch, "res", c.lastReservation, "visitor/"+hex.EncodeToString(visitor), c, messageParams{At: c.at, Changes: changes}, now)
		if _, known := hosts[hostID]; !known {
			hosts[hostID] = c.lastReservation
		}
		return nil
	})
	for hostID, itemID := range hosts {
		if err == nil {
			err = s.tellMember(ctx, tx, batch, c, hostID, itemID, now)
		}
	}
	return looked, err
}

// tellMember writes the one message of a change to a member, whether they are the
// inviter of a guest, the host of a visitor or both, with how many of theirs it
// concerns.
func (s *Store) tellMember(ctx context.Context, tx pgx.Tx, batch *pgx.Batch, c *policyChange, memberID, itemID string, now time.Time) error {
	var guests, accepted, visitors int
	err := tx.QueryRow(ctx, `SELECT count(DISTINCT i.guest_index), count(DISTINCT i.guest_index) FILTER (WHERE i.state = 'accepted')
		FROM invitations i WHERE i.inviter_id = $1 AND i.property_id = $3 AND i.state IN ('invited', 'accepted') AND i.created_at <= $4 AND `+liveInvitation+`
			AND ($5 = '' OR i.facts -> 'entrances' ? $5)`, memberID, now, c.propertyID, c.at, c.entranceID).Scan(&guests, &accepted)
	if err != nil {
		return err
	}
	if c.entranceID == "" && c.before.LockedDown() != c.after.LockedDown() {
		err = tx.QueryRow(ctx, `SELECT count(DISTINCT coalesce(r.email_index, r.mobile_index)) FROM reservations r JOIN keys k ON k.id = r.key_id JOIN custody c ON c.key_id = k.id
			WHERE r.host_id = $1 AND r.created_at <= $4 AND r.state = 'scheduled' AND (r.ends_at IS NULL OR r.ends_at > $2)
				AND (k.property_id = $3 OR c.state = 'in_box' AND EXISTS (SELECT 1 FROM panels at WHERE at.id = c.panel_id AND at.property_id = $3))`,
			memberID, now, c.propertyID, c.at).Scan(&visitors)
		if err != nil {
			return err
		}
	}
	guest := access.Invitation{State: access.InvitationInvited}
	changes := c.differences(access.Facts{Invitation: guest})
	if accepted > 0 {
		guest.State = access.InvitationAccepted
		all := c.differences(access.Facts{Invitation: guest})
		if len(changes) == 0 { // of concern only to those who have accepted
			guests = accepted
		}
		changes = all
	}
	for n := range changes {
		changes[n].Until = time.Time{} // differs from guest to guest; each is told their own
	}
	document, err := json.Marshal(messageParams{At: c.at, Changes: changes, ToMember: true, Guests: guests, Visitors: visitors})
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO messages (id, account_id, person_id, template, item_id, params, dedup_key, not_before, created_at)
		SELECT $1, m.account_id, m.person_id, $3, $4, $5, $6 || m.person_id, $7, $7 FROM members m WHERE m.id = $2 AND m.removed_at IS NULL
		ON CONFLICT (dedup_key) DO NOTHING`,
		newID("msg"), memberID, access.TemplateAccessRulesChanged, itemID, document, c.id+"/member/", now)
	return nil
}

// queueTold writes the message of a change to the guest of an invitation or the
// visitor of a reservation. Who has several is told the same thing once.
func queueTold(batch *pgx.Batch, kind, itemID, who string, c *policyChange, params messageParams, now time.Time) {
	party := access.PartyGuest
	if kind == "res" {
		party = access.PartyVisitor
	}
	document, err := json.Marshal(params)
	if err != nil { // ids, enums and instants always marshal
		document = []byte("{}")
	}
	batch.Queue(`INSERT INTO messages (id, account_id, person_id, channel, template, item_id, params, dedup_key, not_before, created_at)
		SELECT $1, owed.account_id, owed.person_id, owed.channel, $3, $2, $4, $5, $6, $6
		FROM (`+owedSQL[party]+`) AS owed(account_id, person_id, channel) ON CONFLICT (dedup_key) DO NOTHING`,
		newID("msg"), itemID, access.TemplateAccessRulesChanged, document, c.id+"/"+who, now)
	queueWake(batch, outboxWorkflowID, now)
}

// digest tells lists of differences apart.
func digest(changes []access.Difference) string {
	document, err := json.Marshal(changes)
	if err != nil { // ids, enums and instants always marshal
		return ""
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:8])
}
