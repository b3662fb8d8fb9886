package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Invitation is one invitation as a reader sees it: the facts that decisions
// read, with the people, the entrances and what their panels have confirmed.
type Invitation struct {
	access.Facts
	PropertyName string
	InviterID    string
	Inviter      directory.Person
	Guest        directory.Person
	Entrances    []SharedEntrance
}

// SharedEntrance is an entrance of an invitation and how its panel stands with it.
type SharedEntrance struct {
	access.Entrance
	Name       string
	Directions string
	Sync       Sync
}

// SyncState says whether a panel has confirmed what it should hold (P5).
type SyncState string

// The sync states, as on the wire.
const (
	SyncPending   SyncState = "pending"
	SyncConfirmed SyncState = "confirmed"
	SyncFailing   SyncState = "failing"
)

// Sync is how far a panel is with an item.
type Sync struct {
	State  SyncState
	Detail string
}

// InvitationFilter narrows a list. Empty fields do not.
type InvitationFilter struct {
	AccountID    string
	State        access.InvitationState
	PropertyID   string
	GuestEmail   string
	InviterEmail string
	GuestIndex   []byte // a signed-in guest: theirs in every account
	Token        string // the secret of an invitation link
	ID           string
	liveOf       string // the live ones of this inviter
	engine       bool   // the engine itself asks, across accounts
}

// Invitation reads one invitation of an account.
func (s *Store) Invitation(ctx context.Context, accountID, id string, now time.Time) (Invitation, error) {
	return s.oneInvitation(ctx, InvitationFilter{AccountID: accountID, ID: id}, id, now)
}

// InvitationOfGuest reads one invitation that was sent to the address behind
// guestIndex, in whatever account.
func (s *Store) InvitationOfGuest(ctx context.Context, guestIndex []byte, id string, now time.Time) (Invitation, error) {
	return s.oneInvitation(ctx, InvitationFilter{GuestIndex: guestIndex, ID: id}, id, now)
}

// InvitationExists reports whether any account has an invitation with this id.
func (s *Store) InvitationExists(ctx context.Context, id string) (exists bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM invitations WHERE id = $1 AND state <> 'creating')`, id).Scan(&exists)
	return exists, err
}

// InvitationByToken reads the invitation behind a link. A link that was replaced
// finds nothing (I5).
func (s *Store) InvitationByToken(ctx context.Context, token string, now time.Time) (Invitation, error) {
	return s.oneInvitation(ctx, InvitationFilter{Token: token}, "", now)
}

func (s *Store) oneInvitation(ctx context.Context, f InvitationFilter, id string, now time.Time) (Invitation, error) {
	list, _, err := s.ListInvitations(ctx, f, Page{Limit: 1}, now)
	if err != nil {
		return Invitation{}, err
	}
	if len(list) == 0 {
		return Invitation{}, directory.NotFound("invitation", id)
	}
	return list[0], nil
}

// stateFilter is T0 in SQL: the derived state at an instant, so that a list never
// shows what a timer has yet to change.
const stateFilter = `CASE
	WHEN i.state = 'invited' AND i.expires_at <= $2 THEN 'expired'
	WHEN i.state = 'accepted' AND i.ends_at <= $2 THEN 'ended'
	ELSE i.state END`

// ListInvitations lists invitations, newest first. A filter without account,
// guest or link lists nothing.
func (s *Store) ListInvitations(ctx context.Context, f InvitationFilter, page Page, now time.Time) (list []Invitation, next string, err error) {
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	guest, err := s.filterIndex(f.GuestEmail)
	if err != nil {
		return nil, "", directory.Invalid("query.guest_email", "guest_email is not an email address.")
	}
	inviter, err := s.filterIndex(f.InviterEmail)
	if err != nil {
		return nil, "", directory.Invalid("query.inviter_email", "inviter_email is not an email address.")
	}
	if f.GuestIndex != nil {
		guest = f.GuestIndex
	}
	var token []byte
	if f.Token != "" {
		token = s.keys.Index("invitation-token", f.Token)
	}
	limit := page.limit()
	rows, err := s.pool.Query(ctx, `SELECT i.facts, i.verified_at, i.last_used_at, p.policy, p.time_zone, p.name, i.inviter_id, m.person_id, m.removed_at IS NOT NULL
		FROM invitations i JOIN properties p ON p.id = i.property_id JOIN members m ON m.id = i.inviter_id
		WHERE i.state <> 'creating' AND ($1 = '' OR i.account_id = $1) AND ($3 = '' OR `+stateFilter+` = $3)
			AND ($4 = '' OR i.property_id = $4) AND ($5::bytea IS NULL OR i.guest_index = $5) AND ($6::bytea IS NULL OR i.inviter_index = $6)
			AND ($7::bytea IS NULL OR i.token_hash = $7) AND ($8 = '' OR i.id = $8) AND ($9 = '' OR i.id < $9)
			AND ($1 <> '' OR $10::bytea IS NOT NULL OR $7::bytea IS NOT NULL OR $12) AND ($13 = '' OR i.inviter_id = $13 AND `+liveInvitation+`)
		ORDER BY i.id DESC LIMIT $11`,
		f.AccountID, instant(now), string(f.State), f.PropertyID, guest, inviter, token, f.ID, after, f.GuestIndex, limit+1, f.engine, f.liveOf)
	if err != nil {
		return nil, "", err
	}
	var people []string
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Invitation, error) {
		var inv Invitation
		var facts, policy []byte
		var zone, person string
		var verified, used *time.Time
		if err := row.Scan(&facts, &verified, &used, &policy, &zone, &inv.PropertyName, &inv.InviterID, &person, &inv.InviterRemoved); err != nil {
			return inv, err
		}
		people = append(people, person)
		return inv, fillFacts(&inv.Facts, facts, policy, zone, verified, used)
	})
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursorAfter(list[limit-1].Invitation.ID)
	}
	for n := range list {
		if list[n].Inviter, err = s.person(ctx, s.pool, people[n]); err != nil {
			return nil, "", fmt.Errorf("inviter of %s: %w", list[n].Invitation.ID, err)
		}
		if list[n].Guest, err = s.person(ctx, s.pool, list[n].Invitation.GuestID); err != nil {
			return nil, "", fmt.Errorf("guest of %s: %w", list[n].Invitation.ID, err)
		}
	}
	return list, next, s.addEntrances(ctx, list)
}

func (s *Store) filterIndex(address string) ([]byte, error) {
	if address == "" {
		return nil, nil
	}
	return s.emailIndexOf(address)
}

// addEntrances fills in the entrances of a page of invitations with one query.
func (s *Store) addEntrances(ctx context.Context, list []Invitation) error {
	if len(list) == 0 {
		return nil
	}
	var itemIDs, entranceIDs []string
	byID := map[string]*Invitation{}
	for n := range list {
		inv := &list[n]
		byID[inv.Invitation.ID] = inv
		for _, entranceID := range inv.Invitation.Entrances {
			itemIDs, entranceIDs = append(itemIDs, inv.Invitation.ID), append(entranceIDs, entranceID)
		}
	}
	rows, err := s.pool.Query(ctx, `SELECT w.item_id, e.id, e.property_id, e.shareable, e.schedules, e.name, e.directions, n.name, n.last_seen_at,
			n.enrolled_at IS NOT NULL AND n.disowned_at IS NULL, g.desired_revision, g.confirmed_revision, g.attempts, g.last_error, g.pending_since
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(item_id, entrance_id, place)
		JOIN entrances e ON e.id = w.entrance_id JOIN panels n ON n.id = e.panel_id
		LEFT JOIN grants g ON g.panel_id = n.id AND g.grant_id = w.item_id ORDER BY w.place`, itemIDs, entranceIDs)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var itemID, panelName string
		var e SharedEntrance
		var schedules []byte
		var p panelStanding
		if err := rows.Scan(&itemID, &e.ID, &e.PropertyID, &e.Shareable, &schedules, &e.Name, &e.Directions, &panelName, &p.lastSeen,
			&p.enrolled, &p.desired, &p.confirmed, &p.attempts, &p.lastError, &p.since); err != nil {
			return err
		}
		if err := json.Unmarshal(schedules, &e.Schedules); err != nil {
			return err
		}
		inv := byID[itemID]
		what := "access not confirmed"
		if inv.Invitation.State.Final() {
			what = "end of access not confirmed; the door opens only on the engine's command, which is refused already"
		}
		e.Sync = p.sync(panelName, what, inv.Invitation.State.Final())
		inv.Entrances = append(inv.Entrances, e)
	}
	return rows.Err()
}

// panelStanding is what is known about one panel and one item.
type panelStanding struct {
	lastSeen           *time.Time
	enrolled           bool
	desired, confirmed *int64
	attempts           *int
	lastError          *string
	since              *time.Time
}

// sync says in words how a panel stands with an item: which is pending, since
// when, and why (P5). What is what the panel has yet to confirm.
func (p *panelStanding) sync(panel, what string, over bool) Sync {
	switch {
	case !p.enrolled:
		return Sync{SyncPending, panel + " has not enrolled yet."}
	case p.desired == nil && over:
		return Sync{SyncConfirmed, ""}
	case p.desired == nil:
		return Sync{SyncPending, "The panel is told when the guest accepts."}
	case *p.confirmed >= *p.desired:
		return Sync{SyncConfirmed, ""}
	case *p.attempts == 0:
		return Sync{SyncPending, panel + ": " + what + " yet."}
	default:
		since := ""
		if p.since != nil {
			since = " since " + p.since.UTC().Format(time.RFC3339)
		}
		return Sync{SyncFailing, fmt.Sprintf("%s: %s%s; %s.", panel, *p.lastError, since, what)}
	}
}
