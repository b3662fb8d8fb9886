package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// CodeMemberWithoutRole refuses to move items to a member who has no role where
// they are.
const CodeMemberWithoutRole = "member_without_role"

// liveReservation is the condition under which a reservation (as r) still needs a
// host after the instant $2: it can be picked up, or its key is out.
const liveReservation = `(r.state IN ('creating', 'scheduled') AND (r.ends_at IS NULL OR r.ends_at > $2)
	OR EXISTS (SELECT 1 FROM custody c WHERE c.key_id = r.key_id AND c.state = 'out' AND c.holder_id = r.id))`

// Removal is what removing a member would take away or move (I17).
type Removal struct {
	Invitations  []Invitation // the newest of them
	Total        int          // live invitations
	Reservations int          // live reservations
}

// PreviewRemoval says which live items a member has given (I17). It changes nothing.
func (s *Store) PreviewRemoval(ctx context.Context, accountID, id string, now time.Time) (r Removal, err error) {
	if _, err := s.Member(ctx, accountID, id); err != nil {
		return r, err
	}
	if r.Total, r.Reservations, _, err = itemsOfMember(ctx, s.pool, id, now); err != nil {
		return r, err
	}
	r.Invitations, _, err = s.ListInvitations(ctx, InvitationFilter{AccountID: accountID, liveOf: id}, Page{Limit: 200}, now)
	return r, err
}

func itemsOfMember(ctx context.Context, q querier, memberID string, now time.Time) (invitations, reservations, all int, err error) {
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM invitations i WHERE i.inviter_id = $1 AND `+liveInvitation+`),
			(SELECT count(*) FROM reservations r WHERE r.host_id = $1 AND `+liveReservation+`),
			(SELECT count(*) FROM invitations WHERE inviter_id = $1) + (SELECT count(*) FROM reservations WHERE host_id = $1)
				+ (SELECT count(*) FROM member_removals WHERE moved_to = $1)`, memberID, instant(now)).
		Scan(&invitations, &reservations, &all)
	return invitations, reservations, all, err
}

// RemoveMember removes a member (I17). From the commit on they are not found, their
// address is free, and what they have given is refused or, with moveTo, another
// member's; the workflows of the items follow. Live reservations need somebody to move
// to. A member of whom no history speaks is erased.
func (s *Store) RemoveMember(ctx context.Context, accountID, id, moveTo string, now time.Time) error {
	now = instant(now)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		m, err := s.member(ctx, tx, accountID, id, " FOR UPDATE")
		if err != nil {
			return err
		}
		invitations, reservations, all, err := itemsOfMember(ctx, tx, id, now)
		if err != nil {
			return err
		}
		if moveTo != "" {
			if err := s.checkSuccessor(ctx, tx, m, moveTo, now); err != nil {
				return err
			}
		} else if reservations > 0 {
			return inUse("member", reservations, "Those are live reservations. Name in move_to the member who takes them over, or revoke them first.")
		}
		if all == 0 {
			return eraseMember(ctx, tx, m, now)
		}
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE members SET removed_at = $2, updated_at = $2, revision = revision + 1 WHERE id = $1`, id, now)
		if moveTo != "" {
			batch.Queue(`UPDATE invitations i SET inviter_id = $3, inviter_index = (SELECT email_index FROM members WHERE id = $3) WHERE i.inviter_id = $1 AND `+liveInvitation,
				id, now, moveTo)
			batch.Queue(`UPDATE reservations r SET host_id = $3 WHERE r.host_id = $1 AND `+liveReservation, id, now, moveTo)
		}
		removal := newID("rem")
		batch.Queue(`INSERT INTO member_removals (id, account_id, member_id, moved_to, removed_at) VALUES ($1, $2, $3, nullif($4, ''), $5)`,
			removal, accountID, id, moveTo, now)
		queueEvent(batch, directory.Event{
			AccountID: accountID, Type: access.EventMemberRemoved, At: now, RecordedAt: now, Rule: "I17", DedupKey: removal,
			Detail: map[string]any{"member_id": id, "moved_to": moveTo, "invitations": invitations, "reservations": reservations},
		})
		if moveTo != "" && invitations+reservations > 0 {
			if err := queueMoved(batch, removal, id, moveTo, messageParams{At: now, MemberID: id, Guests: invitations, Visitors: reservations}, now); err != nil {
				return err
			}
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// checkSuccessor refuses to move items to who is no member, or has no role where
// they are.
func (s *Store) checkSuccessor(ctx context.Context, tx pgx.Tx, m directory.Member, moveTo string, now time.Time) error {
	if moveTo == m.ID {
		return directory.Invalid("query.move_to", "move_to must be another member than the one who is removed.")
	}
	successor, err := s.member(ctx, tx, m.AccountID, moveTo, " FOR KEY SHARE")
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT i.property_id FROM invitations i WHERE i.inviter_id = $1 AND `+liveInvitation+`
		UNION SELECT r.property_id FROM reservations r WHERE r.host_id = $1 AND `+liveReservation, m.ID, now)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, place := range places {
		if !slices.Contains(successor.PropertyIDs, place) {
			return &directory.Error{Code: CodeMemberWithoutRole,
				Detail: "The member in move_to has no role at every property of what is to be moved. Add the property to that member first, or name another.",
				Fields: []directory.Field{{Location: "query.move_to", Message: "no role at " + place}}}
		}
	}
	return nil
}

// eraseMember forgets a member who appears nowhere (E7).
func eraseMember(ctx context.Context, tx pgx.Tx, m directory.Member, now time.Time) error {
	if _, err := tx.Exec(ctx, `DELETE FROM members WHERE id = $1`, m.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE people SET data_key = NULL, name = NULL, email = NULL, mobile = NULL, email_index = NULL, erased_at = $2 WHERE id = $1`,
		m.Person.ID, now)
	return err
}

// queueMoved tells the new inviter once how much has become theirs.
func queueMoved(batch *pgx.Batch, removal, memberID, moveTo string, params messageParams, now time.Time) error {
	document, err := json.Marshal(params)
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO messages (id, account_id, person_id, template, item_id, params, dedup_key, not_before, created_at)
		SELECT $1, account_id, person_id, $3, $4, $5, $6, $7, $7 FROM members WHERE id = $2 ON CONFLICT (dedup_key) DO NOTHING`,
		newID("msg"), moveTo, access.TemplateInvitationsMoved, memberID, document, removal+"/moved", now)
	queueWake(batch, outboxWorkflowID, now)
	return nil
}

// MemberName is the name of a member, removed ones included, for the engine's own use.
func (s *Store) MemberName(ctx context.Context, id string) (string, error) {
	var personID string
	if err := s.pool.QueryRow(ctx, `SELECT person_id FROM members WHERE id = $1`, id).Scan(&personID); err != nil {
		return "", fmt.Errorf("member %s: %w", id, err)
	}
	person, err := s.person(ctx, s.pool, personID)
	return person.Name, err
}

// Removals implements worker.Removals: the removed members whose items wait, the
// longest waiting first.
func (s *Store) Removals(ctx context.Context) ([]activities.Removal, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, account_id, member_id FROM member_removals WHERE ended_at IS NULL ORDER BY removed_at, id LIMIT 10`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[activities.Removal])
}

// RemovedInvitations lists invitations whose workflows still name the removed
// member, in the order of their ids, after one: with whose they are now, or empty
// if they are to be revoked.
func (s *Store) RemovedInvitations(ctx context.Context, r activities.Removal, after string, limit int, now time.Time) ([]activities.MovedItem, error) {
	rows, err := s.pool.Query(ctx, `SELECT i.id, CASE WHEN i.inviter_id = $1 THEN '' ELSE i.inviter_id END FROM invitations i
		WHERE i.account_id = $3 AND i.id > $4 AND i.state IN ('invited', 'accepted') AND i.facts ->> 'inviter_id' = $1 AND `+liveInvitation+`
		ORDER BY i.id LIMIT $5`, r.MemberID, instant(now), r.AccountID, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[activities.MovedItem])
}

// RemovedReservations is RemovedInvitations for reservations, which always have
// somebody to move to.
func (s *Store) RemovedReservations(ctx context.Context, r activities.Removal, after string, limit int) ([]activities.MovedReservation, error) {
	rows, err := s.pool.Query(ctx, `SELECT r.facts, r.host_id FROM reservations r
		WHERE r.account_id = $2 AND r.id > $3 AND r.state <> 'creating' AND r.host_id <> $1 AND r.facts ->> 'host_id' = $1
		ORDER BY r.id LIMIT $4`, r.MemberID, r.AccountID, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m activities.MovedReservation, err error) {
		var facts []byte
		if err = row.Scan(&facts, &m.To); err == nil {
			err = json.Unmarshal(facts, &m.Reservation)
		}
		return m, err
	})
}

// EndRemoval notes that everything of a removed member has followed, unless some of
// it is still being made or was left (E2).
func (s *Store) EndRemoval(ctx context.Context, r activities.Removal, now time.Time) error {
	_, err := s.pool.Exec(ctx, `UPDATE member_removals m SET ended_at = $2 WHERE m.id = $3
		AND NOT EXISTS (SELECT 1 FROM invitations i WHERE i.account_id = $4 AND $1 IN (i.facts ->> 'inviter_id', i.inviter_id) AND `+liveInvitation+`)
		AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.account_id = $4 AND r.host_id <> $1 AND r.facts ->> 'host_id' = $1)`,
		r.MemberID, instant(now), r.ID, r.AccountID)
	return err
}
