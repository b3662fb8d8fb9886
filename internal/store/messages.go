package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
)

// messageParams is what a message needs besides its item and its reader: ids and
// instants, nothing personal.
type messageParams struct {
	At         time.Time `json:"at,omitzero"`
	NoteID     string    `json:"note_id,omitzero"`
	EntranceID string    `json:"entrance_id,omitzero"`

	Changes  []access.Difference `json:"changes,omitempty"`  // I12, I14
	ToMember bool                `json:"to_member,omitzero"` // the reader is inviter or host
	Guests   int                 `json:"guests,omitzero"`    // how many of theirs it concerns
	Visitors int                 `json:"visitors,omitzero"`
	MemberID string              `json:"member_id,omitzero"` // who was removed (I17)
}

// owe writes the messages that an event owes to people, in the transaction of the
// event, and wakes the outbox. The key makes one event one message.
func owe(ctx context.Context, tx pgx.Tx, itemID string, t access.EventType, key string, params messageParams, now time.Time) error {
	batch := &pgx.Batch{}
	queueOwed(batch, itemID, t, key, params, now)
	return tx.SendBatch(ctx, batch).Close()
}

// owedSQL finds the person and the channel of a party of an item. An inviter who
// has muted unlocks is not told of them (I7); a visitor is told everything on the
// channel of the first message (K6, K11).
var owedSQL = map[access.Party]string{
	access.PartyGuest: `SELECT account_id, guest_id, 'email' FROM invitations WHERE id = $2`,
	access.PartyInviter: `SELECT i.account_id, m.person_id, CASE WHEN $3 = 'entrance_unlocked' THEN ` + unlockChannelSQL + ` ELSE 'email' END
		FROM invitations i JOIN members m ON m.id = i.inviter_id
		WHERE i.id = $2 AND m.removed_at IS NULL AND NOT ($3 = 'entrance_unlocked' AND m.preferences ->> 'unlocks' = 'muted')`,
	access.PartyVisitor: `SELECT account_id, visitor_id, channel FROM reservations WHERE id = $2`,
	access.PartyHost: `SELECT r.account_id, m.person_id, 'email' FROM reservations r JOIN members m ON m.id = r.host_id
		WHERE r.id = $2 AND m.removed_at IS NULL`,
}

// unlockChannelSQL is how a member (as m) wants to hear of unlocks. Whether they can
// be reached that way shows when the message is sent.
const unlockChannelSQL = `CASE WHEN m.preferences ->> 'unlocks' IN ('push', 'sms') THEN m.preferences ->> 'unlocks' ELSE 'email' END`

// queueOwed is [owe] as part of a batch.
func queueOwed(batch *pgx.Batch, itemID string, t access.EventType, key string, params messageParams, now time.Time) {
	document, err := json.Marshal(params)
	if err != nil { // strings and an instant always marshal
		document = []byte("{}")
	}
	for _, notice := range access.Notices(t) {
		batch.Queue(`INSERT INTO messages (id, account_id, person_id, channel, template, item_id, params, dedup_key, not_before, created_at)
			SELECT $1, owed.account_id, owed.person_id, owed.channel, $3, $2, $4, $5, $6, $6
			FROM (`+owedSQL[notice.To]+`) AS owed(account_id, person_id, channel) ON CONFLICT (dedup_key) DO NOTHING`,
			newID("msg"), itemID, notice.Template, document, key+"/"+string(notice.Template), now)
		queueWake(batch, outboxWorkflowID, now)
	}
}

// QueuedMessage is a message that waits to be sent.
type QueuedMessage struct {
	ID       string
	PersonID string
	ItemID   string
	Channel  string
	Template access.Template
	Params   messageParams
	Secret   []byte
	Attempts int
	Written  time.Time

	TriedAt  time.Time // when a vendor was first given it; zero: never
	Unknowns int       // how often the vendor's answer was lost
	Tried    []string  // the channels by which the same was tried before
	Replaces bool      // it stands in for one that another channel could not deliver
	CutOff   bool      // whoever was sending it died before the vendor's answer was recorded
}

// DueMessages lists what waits to be sent at an instant, oldest first, and when
// the next message after those is due (zero if none). What is being sent is due again
// when its claim has run out. A person's later messages wait for an earlier one that
// goes by the same channel and is being tried again.
func (s *Store) DueMessages(ctx context.Context, limit int, now time.Time) (due []QueuedMessage, next time.Time, err error) {
	rows, err := s.pool.Query(ctx, `SELECT id, person_id, coalesce(item_id, ''), channel, template, params, secret, attempts, created_at,
			tried_at, unknowns, tried, instead_of IS NOT NULL, state = 'sending' FROM messages m
		WHERE state IN ('queued', 'sending') AND (state = 'queued' AND not_before <= $1 OR state = 'sending' AND lease_until <= $1) AND NOT EXISTS (
			SELECT 1 FROM messages e WHERE e.person_id = m.person_id AND e.channel = m.channel AND e.id < m.id
				AND (e.state = 'queued' AND e.not_before > $1 OR e.state = 'sending' AND e.lease_until > $1))
		ORDER BY id LIMIT $2`, instant(now), limit)
	if err != nil {
		return nil, next, err
	}
	due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m QueuedMessage, err error) {
		var params []byte
		var triedAt *time.Time
		err = row.Scan(&m.ID, &m.PersonID, &m.ItemID, &m.Channel, &m.Template, &params, &m.Secret, &m.Attempts, &m.Written,
			&triedAt, &m.Unknowns, &m.Tried, &m.Replaces, &m.CutOff)
		if m.TriedAt = orZero(triedAt); err == nil {
			err = json.Unmarshal(params, &m.Params)
		}
		return m, err
	})
	if err != nil {
		return nil, next, err
	}
	var later *time.Time
	err = s.pool.QueryRow(ctx, `SELECT least((SELECT min(not_before) FROM messages WHERE state = 'queued' AND not_before > $1),
		(SELECT min(lease_until) FROM messages WHERE state = 'sending' AND lease_until > $1))`, instant(now)).Scan(&later)
	return due, orZero(later), err
}

// InvitationMessage reads what a message about an invitation says: the invitation
// and the secret of its link.
func (s *Store) InvitationMessage(ctx context.Context, invitationID string, now time.Time) (inv Invitation, token string, err error) {
	inv, err = s.oneInvitation(ctx, InvitationFilter{ID: invitationID, engine: true}, invitationID, now)
	if err != nil {
		return inv, "", err
	}
	var sealed []byte
	if err := s.pool.QueryRow(ctx, `SELECT token FROM invitations WHERE id = $1`, invitationID).Scan(&sealed); err != nil {
		return inv, "", err
	}
	secret, err := s.keys.Unseal("invitation-token", sealed)
	return inv, string(secret), err
}

// newInvitationToken makes the secret of a link: 256 random bits, encrypted
// because a resend shows it again, and a keyed hash to find it by.
func (s *Store) newInvitationToken() (token string, sealed, hash []byte, err error) {
	secret := make([]byte, 32)
	if _, err = rand.Read(secret); err != nil {
		return "", nil, nil, err
	}
	token = base64.RawURLEncoding.EncodeToString(secret)
	sealed, err = s.keys.Seal("invitation-token", []byte(token))
	return token, sealed, s.keys.Index("invitation-token", token), err
}

// MessageSecret opens the secret of a message, such as a sign-in code.
func (s *Store) MessageSecret(m QueuedMessage) (string, error) {
	if m.Secret == nil {
		return "", nil
	}
	secret, err := s.keys.Unseal("message", m.Secret)
	return string(secret), err
}
