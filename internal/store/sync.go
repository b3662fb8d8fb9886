package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/internal/access"
)

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

// standingColumns are what is known about one panel n and one item: the grant g and
// the policy document d.
const standingColumns = `n.name, n.kind, n.enrolled_at IS NOT NULL, n.disowned_at IS NOT NULL, n.sync_error, n.lease_until,
	g.desired, g.confirmed, g.desired_revision, g.confirmed_revision, g.attempts, g.pending_since, g.reach,
	d.desired, d.confirmed, d.desired_version, d.confirmed_version, d.attempts, d.pending_since`

// standing is a row of them.
type standing struct {
	name, kind         string
	enrolled, disowned bool
	failure            string
	lease              *time.Time
	grant, policy      delivery
	reach              *time.Time
}

// delivery is how far a panel is with one document.
type delivery struct {
	desired, confirmed []byte
	wanted, held       *int64
	attempts           *int
	since              *time.Time
}

func (d *delivery) pending() bool { return d.wanted != nil && *d.held < *d.wanted }

func (d *delivery) failing() bool { return d.pending() && *d.attempts > 0 }

func (st *standing) columns() []any {
	g, d := &st.grant, &st.policy
	return []any{
		&st.name, &st.kind, &st.enrolled, &st.disowned, &st.failure, &st.lease,
		&g.desired, &g.confirmed, &g.wanted, &g.held, &g.attempts, &g.since, &st.reach,
		&d.desired, &d.confirmed, &d.wanted, &d.held, &d.attempts, &d.since,
	}
}

// syncedItem is the item that a panel is asked about.
type syncedItem struct {
	over       bool
	revoked    bool
	passesTill time.Time // the latest expiry of its offline passes (P9)
	zone       *time.Location
	now        time.Time
}

// sync says in words how a panel stands with an item (P5): what is pending, since
// when and why, and, where something is taken away, until when at the latest a panel
// that is cut off could still admit. It is the same for doors and boxes.
func (st *standing) sync(item syncedItem) (Sync, error) {
	if item.over { // what is over is not held by opening times
		st.policy = delivery{}
	}
	switch {
	case st.grant.wanted == nil && item.over:
		return Sync{SyncConfirmed, ""}, nil
	case !st.enrolled && !st.disowned:
		return Sync{SyncPending, st.name + " has not enrolled yet."}, nil
	case st.grant.wanted == nil:
		return Sync{SyncPending, "The panel is told when the guest accepts."}, nil
	case !st.grant.pending() && !st.policy.pending():
		return Sync{SyncConfirmed, ""}, nil
	}
	var known told
	var policy, knownPolicy *access.PanelPolicy
	err := decodeAll(st.grant.desired, &known.desired, st.grant.confirmed, &known.confirmed, st.policy.desired, &policy, st.policy.confirmed, &knownPolicy)
	if err != nil {
		return Sync{}, err
	}
	state := SyncPending
	if st.grant.failing() || st.policy.failing() {
		state = SyncFailing
	}
	detail := fmt.Sprintf("%s; %s not confirmed", st.why(item), st.what(item, known, policy, knownPolicy))
	narrowed := st.grant.pending() && (st.narrowed(known) || item.over)
	if narrowed || st.policy.pending() && policy.Narrows(knownPolicy) {
		detail += "; " + st.stillAdmits(item, known, narrowed)
	}
	return Sync{state, detail + "."}, nil
}

// why is what keeps the panel from confirming, and since when.
func (st *standing) why(item syncedItem) string {
	since := st.grant.since
	if !st.grant.pending() || st.policy.pending() && st.policy.since != nil && since != nil && st.policy.since.Before(*since) {
		since = st.policy.since
	}
	when := ""
	if since != nil {
		when = " since " + item.clock(*since)
	}
	switch {
	case st.disowned:
		return st.name + " was disowned and is told nothing any more"
	case !st.grant.failing() && !st.policy.failing():
		return st.name + " is being told" + when
	case st.failure == "unreachable":
		return st.name + " unreachable" + when
	case st.failure == "refused":
		return st.name + " has refused what it is told" + when
	default:
		return st.name + " has not answered" + when
	}
}

// what is the change that the panel has yet to confirm.
func (st *standing) what(item syncedItem, known told, policy, knownPolicy *access.PanelPolicy) string {
	var parts []string
	if st.grant.pending() {
		switch {
		case item.revoked:
			parts = append(parts, "revocation")
		case item.over, known.desired.Tombstone:
			parts = append(parts, "end of access")
		case known.confirmed == nil:
			parts = append(parts, "access")
		default:
			parts = append(parts, "change")
		}
	}
	if st.policy.pending() {
		if policy.LockedDown != (knownPolicy != nil && knownPolicy.LockedDown) {
			parts = append(parts, "lock-down")
		} else {
			parts = append(parts, "opening times")
		}
	}
	return strings.Join(parts, " and ")
}

// narrowed reports whether what the panel may still hold gives more than it should.
func (st *standing) narrowed(known told) bool {
	return known.desired.Tombstone || narrows(known.confirmed, *known.desired)
}

// stillAdmits is until when the panel could admit by itself somebody whom the engine
// refuses. A door admits by offline passes alone, a box by codes.
func (st *standing) stillAdmits(item syncedItem, known told, narrowed bool) string {
	until := orZero(st.reach)
	if end := admitsUntil(known.desired); !narrowed && end != nil && end.After(until) {
		until = *end
	}
	if st.kind == "door" {
		until = earlier(until, item.passesTill)
	}
	if st.lease != nil {
		until = earlier(until, *st.lease)
	}
	switch {
	case !until.After(item.now):
		return "it admits nobody by itself"
	case until.Equal(withoutEnd): // it was told before there were leases
		return "it could still admit until it is reached"
	default:
		return "it could still admit until " + item.clock(until) + " at the latest"
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// clock shows an instant as the clocks at the property do, with its date if that is
// not today.
func (item syncedItem) clock(at time.Time) string {
	local, today := at.In(item.zone), item.now.In(item.zone)
	if local.YearDay() == today.YearDay() && local.Year() == today.Year() {
		return local.Format("15:04")
	}
	return local.Format("2 Jan 15:04")
}

// addWithdrawn fills in the panels that an edit has taken from invitations and that do
// not know it yet.
func (s *Store) addWithdrawn(ctx context.Context, byID map[string]*Invitation, passes map[string]time.Time, now time.Time) error {
	rows, err := s.pool.Query(ctx, `SELECT i.id, n.id, `+standingColumns+`
		FROM invitations i JOIN grants g ON g.grant_id = i.id JOIN panels n ON n.id = g.panel_id
		LEFT JOIN panel_policies d ON false
		WHERE i.id = ANY($1) AND g.confirmed_revision < g.desired_revision
			AND NOT EXISTS (SELECT FROM entrances e WHERE e.panel_id = n.id AND i.facts -> 'entrances' ? e.id)
		ORDER BY n.name, n.id`, slices.Collect(maps.Keys(byID)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var itemID string
		var p WithdrawnPanel
		var st standing
		if err := rows.Scan(append([]any{&itemID, &p.ID}, st.columns()...)...); err != nil {
			return err
		}
		inv := byID[itemID]
		state := inv.Invitation.StateAt(now)
		item := syncedItem{over: state.Final(), revoked: state == access.InvitationRevoked, passesTill: passes[itemID], zone: inv.Zone, now: now}
		if p.Name = st.name; !st.enrolled && !st.disowned { // it never held anything
			continue
		}
		if p.Sync, err = st.sync(item); err != nil {
			return err
		}
		inv.Withdrawn = append(inv.Withdrawn, p)
	}
	return rows.Err()
}
