package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Reservation is one reservation as a reader sees it: the facts that decisions
// read, with people, key, code and link, and what the boxes have confirmed.
type Reservation struct {
	access.KeyFacts
	Zone         *time.Location
	PropertyName string
	KeyName      string
	Host         directory.Person
	Visitor      directory.Person
	Channel      Channel
	Code         string // empty once it was given up (P3)
	Retired      bool   // over for 30 days: boxes have forgotten the code, and it may be somebody else's
	Token        string // the secret of the booking URL
	AccessNotes  string
	IDReason     string // why the photo ID was rejected (K7)
	Sync         Sync
}

// ReservationFilter narrows a list. Empty fields do not.
type ReservationFilter struct {
	AccountID  string
	State      access.ReservationState
	KeyID      string
	PropertyID string
	Visitor    string // an address, a number, or the id of a person
	Token      string // the secret of a booking URL
	ID         string
	engine     bool // the engine itself asks, across accounts
}

// ReservationOf reads one reservation of an account.
func (s *Store) ReservationOf(ctx context.Context, accountID, id string, now time.Time) (Reservation, error) {
	return s.oneReservation(ctx, ReservationFilter{AccountID: accountID, ID: id}, id, now)
}

// ReservationByToken reads the reservation behind a booking URL.
func (s *Store) ReservationByToken(ctx context.Context, token string, now time.Time) (Reservation, error) {
	return s.oneReservation(ctx, ReservationFilter{Token: token}, "", now)
}

// ReservationMessage reads what a message about a reservation says.
func (s *Store) ReservationMessage(ctx context.Context, id string, now time.Time) (Reservation, error) {
	return s.oneReservation(ctx, ReservationFilter{ID: id, engine: true}, id, now)
}

func (s *Store) oneReservation(ctx context.Context, f ReservationFilter, id string, now time.Time) (Reservation, error) {
	list, _, err := s.ListReservations(ctx, f, Page{Limit: 1}, now)
	if err != nil {
		return Reservation{}, err
	}
	if len(list) == 0 {
		return Reservation{}, directory.NotFound("reservation", id)
	}
	return list[0], nil
}

// reservationStateFilter is T0 in SQL: the derived state at an instant.
const reservationStateFilter = `CASE
	WHEN r.state = 'scheduled' AND r.ends_at <= $2 THEN 'ended'
	WHEN r.state = 'scheduled' AND (r.starts_at IS NULL OR r.starts_at <= $2) THEN 'active'
	ELSE r.state END`

// ListReservations lists reservations, newest first. A filter without account or
// link lists nothing.
func (s *Store) ListReservations(ctx context.Context, f ReservationFilter, page Page, now time.Time) (list []Reservation, next string, err error) {
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	emailIndex, mobileIndex, personID := s.visitorFilter(f.Visitor)
	var token []byte
	if f.Token != "" {
		token = s.keys.Index("visit-token", f.Token)
	}
	limit := page.limit()
	rows, err := s.pool.Query(ctx, `SELECT r.facts, r.channel, r.code, r.token, p.time_zone, p.name, k.name, m.person_id,
			c.state, c.panel_id, c.slot, c.holder_id, c.since, c.revision, r.retired_at IS NOT NULL, `+lockedKeySQL+`
		FROM reservations r JOIN properties p ON p.id = r.property_id JOIN keys k ON k.id = r.key_id JOIN members m ON m.id = r.host_id
		JOIN custody c ON c.key_id = r.key_id
		WHERE r.state <> 'creating' AND ($1 = '' OR r.account_id = $1) AND ($3 = '' OR `+reservationStateFilter+` = $3)
			AND ($4 = '' OR r.property_id = $4) AND ($5 = '' OR r.key_id = $5)
			AND ($6::bytea IS NULL OR r.email_index = $6) AND ($7::bytea IS NULL OR r.mobile_index = $7) AND ($8 = '' OR r.visitor_id = $8)
			AND ($9::bytea IS NULL OR r.token_hash = $9) AND ($10 = '' OR r.id = $10) AND ($11 = '' OR r.id < $11)
			AND ($1 <> '' OR $9::bytea IS NOT NULL OR $13)
		ORDER BY r.id DESC LIMIT $12`,
		f.AccountID, instant(now), string(f.State), f.PropertyID, f.KeyID, emailIndex, mobileIndex, personID, token, f.ID, after, limit+1, f.engine)
	if err != nil {
		return nil, "", err
	}
	sealed, err := pgx.CollectRows(rows, scanReservation)
	if err != nil {
		return nil, "", err
	}
	sealed, next = cut(sealed, limit, func(r sealedReservation) string { return r.Reservation.Reservation.ID })
	for _, row := range sealed {
		r, err := s.unsealReservation(ctx, row)
		if err != nil {
			return nil, "", fmt.Errorf("reservation %s: %w", row.Reservation.Reservation.ID, err)
		}
		list = append(list, r)
	}
	return list, next, s.addBoxSync(ctx, list)
}

// visitorFilter reads what a visitor is looked up by. What is neither an address,
// nor a number, nor an id finds nobody.
func (s *Store) visitorFilter(visitor string) (emailIndex, mobileIndex []byte, personID string) {
	switch {
	case visitor == "":
		return nil, nil, ""
	case strings.HasPrefix(visitor, "+"):
		return nil, s.mobileIndexOf(visitor), ""
	}
	if index, err := s.emailIndexOf(visitor); err == nil {
		return index, nil, ""
	}
	return nil, nil, visitor
}

// sealedReservation is a row whose secrets are still encrypted.
type sealedReservation struct {
	Reservation
	code, token []byte
	hostPerson  string
}

func scanReservation(row pgx.CollectableRow) (r sealedReservation, err error) {
	var facts []byte
	var zone string
	c := &r.Custody
	if err = row.Scan(&facts, &r.Channel, &r.code, &r.token, &zone, &r.PropertyName, &r.KeyName, &r.hostPerson,
		&c.State, &c.PanelID, &c.Slot, &c.HolderID, &c.Since, &c.Revision, &r.Retired, &r.LockedDown); err != nil {
		return r, err
	}
	c.Since = c.Since.UTC()
	if err = json.Unmarshal(facts, &r.KeyFacts.Reservation); err != nil {
		return r, err
	}
	c.KeyID = r.KeyFacts.Reservation.KeyID
	r.Zone, err = time.LoadLocation(zone)
	return r, err
}

func (s *Store) unsealReservation(ctx context.Context, row sealedReservation) (r Reservation, err error) {
	r = row.Reservation
	code, err := s.keys.Unseal("booking-code", row.code)
	if err != nil {
		return r, err
	}
	token, err := s.keys.Unseal("visit-token", row.token)
	if err != nil {
		return r, err
	}
	r.Token = string(token)
	if !r.Retired {
		r.Code = string(code)
	}
	if r.Host, err = s.person(ctx, s.pool, row.hostPerson); err != nil {
		return r, err
	}
	if r.Visitor, err = s.person(ctx, s.pool, r.Reservation.VisitorID); err != nil {
		return r, err
	}
	if id := r.Reservation.NotesID; id != "" {
		r.AccessNotes, err = s.Note(ctx, id)
	}
	if id := r.Reservation.Document.NoteID; id != "" && err == nil {
		r.IDReason, err = s.Note(ctx, id)
	}
	return r, err
}

// addBoxSync says of a page of reservations how far the boxes are with them (P5):
// the worst of an account's boxes counts, since each of them could open.
func (s *Store) addBoxSync(ctx context.Context, list []Reservation) error {
	if len(list) == 0 {
		return nil
	}
	byID := map[string]*Reservation{}
	ids := make([]string, 0, len(list))
	for n := range list {
		id := list[n].Reservation.ID
		byID[id], ids = &list[n], append(ids, id)
		list[n].Sync = Sync{SyncPending, "The account has no SmartBox yet."}
	}
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT ON (g.grant_id) g.grant_id, n.name, n.last_seen_at, n.enrolled_at IS NOT NULL AND n.disowned_at IS NULL,
			g.desired_revision, g.confirmed_revision, g.attempts, g.last_error, g.pending_since
		FROM grants g JOIN panels n ON n.id = g.panel_id WHERE g.grant_id = ANY($1)
		ORDER BY g.grant_id, g.confirmed_revision >= g.desired_revision, g.attempts DESC, n.id`, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, box string
		var p panelStanding
		if err := rows.Scan(&id, &box, &p.lastSeen, &p.enrolled, &p.desired, &p.confirmed, &p.attempts, &p.lastError, &p.since); err != nil {
			return err
		}
		r := byID[id]
		what := "access not confirmed"
		if r.Reservation.State.Over() {
			what = "end of access not confirmed; until then the box knows the times it confirmed last"
		}
		r.Sync = p.sync(box, what, r.Reservation.State.Over())
	}
	return rows.Err()
}

// SmartBox is a box that takes keys back (K8).
type SmartBox struct{ ID, Name string }

// SmartBoxes lists an account's boxes that have enrolled, by name.
func (s *Store) SmartBoxes(ctx context.Context, accountID string) ([]SmartBox, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, name FROM panels WHERE account_id = $1 AND kind = 'smartbox' AND enrolled_at IS NOT NULL AND disowned_at IS NULL
		ORDER BY name, id LIMIT 200`, accountID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[SmartBox])
}

// VisitorName is the name of a reservation's visitor, for the engine's own use.
func (s *Store) VisitorName(ctx context.Context, reservationID string) (string, error) {
	var personID string
	err := s.pool.QueryRow(ctx, `SELECT visitor_id FROM reservations WHERE id = $1`, reservationID).Scan(&personID)
	if isNoRows(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	person, err := s.person(ctx, s.pool, personID)
	return person.Name, err
}

// PanelPlace is what a message says of a panel.
func (s *Store) PanelPlace(ctx context.Context, panelID string) (name, property, timeZone string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT n.name, p.name, p.time_zone FROM panels n JOIN properties p ON p.id = n.property_id WHERE n.id = $1`, panelID).
		Scan(&name, &property, &timeZone)
	return name, property, timeZone, err
}

// VisitorIDViewed notes in the log that somebody has looked at a photo ID (K7).
func (s *Store) VisitorIDViewed(ctx context.Context, r access.Reservation, actorID string, now time.Time) error {
	id := newID("evt")
	return appendEvent(ctx, s.pool, directory.Event{
		ID: id, AccountID: r.AccountID, Type: access.EventVisitorIDViewed, At: now, RecordedAt: now, PropertyID: r.PropertyID, ItemID: r.ID,
		ActorID: actorID, Rule: "K7", DedupKey: id,
	})
}

// BookingCodes opens the codes of reservations, for the boxes that must know them.
func (s *Store) BookingCodes(ctx context.Context, ids []string) (map[string]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, code FROM reservations WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	codes := make(map[string]string, len(ids))
	var id string
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &sealed}, func() error {
		code, err := s.keys.Unseal("booking-code", sealed)
		codes[id] = string(code)
		return err
	})
	return codes, err
}
