package access

import (
	"slices"
	"time"
)

// ReservationKind says whether a reservation has an end.
type ReservationKind string

// The kinds of reservations (K1, K2).
const (
	OneTime ReservationKind = "one_time"
	Ongoing ReservationKind = "ongoing"
)

// ReservationState is where a reservation stands in its life.
type ReservationState string

// The states of a reservation. Creating is the claim that precedes the first: it
// is never shown. Active is never stored: it is what a scheduled reservation is
// from its start on (T0).
const (
	ReservationCreating  ReservationState = "creating"
	ReservationScheduled ReservationState = "scheduled"
	ReservationActive    ReservationState = "active"
	ReservationEnded     ReservationState = "ended"
	ReservationRevoked   ReservationState = "revoked"
)

// Over reports whether the key cannot be picked up any more, whatever the time.
func (s ReservationState) Over() bool { return s == ReservationEnded || s == ReservationRevoked }

// Reservation is the whole state of one reservation of a key: what its workflow
// carries, what Postgres holds, what decisions read. It has ids, instants and enums
// only; name, address, code and notes stay in the directory (E7).
type Reservation struct {
	ID         string           `json:"id"`
	AccountID  string           `json:"account_id"`
	PropertyID string           `json:"property_id"`
	KeyID      string           `json:"key_id"`
	HostID     string           `json:"host_id"`
	VisitorID  string           `json:"visitor_id"` // the person
	Kind       ReservationKind  `json:"kind"`
	State      ReservationState `json:"state"`
	Exclusive  bool             `json:"exclusive,omitzero"` // K14

	ReturnReminder bool       `json:"return_reminder,omitzero"` // K6
	Plan           Plan       `json:"plan"`
	Document       IDDocument `json:"document"`          // the visitor's photo ID (K7)
	NotesID        string     `json:"notes_id,omitzero"` // the row that holds the access notes (E7)

	CreatedAt time.Time `json:"created_at"`
	SentAt    time.Time `json:"sent_at,omitzero"`    // the last time the instructions were sent
	ResendAt  time.Time `json:"resend_at,omitzero"`  // the queued resend, if there is one (K11)
	RevokedAt time.Time `json:"revoked_at,omitzero"` // K10

	KeyOut    time.Time `json:"key_out,omitzero"`    // since when the visitor has the key; zero: they do not
	Reminded  []string  `json:"reminded,omitempty"`  // end dates for which a reminder was sent (K6)
	LateTold  time.Time `json:"late_told,omitzero"`  // when host and visitor were last told (K13)
	WarnedFor time.Time `json:"warned_for,omitzero"` // the start for which it was looked whether the key is there (K13)
	Look      bool      `json:"look,omitzero"`       // rows have changed that the workflow has not read yet
	Place     int       `json:"place,omitzero"`      // how many end in the same instant and come first

	Ledger
}

// IDState is how far a visitor's photo ID is (K7).
type IDState string

// The states of a photo ID, named as on the wire.
const (
	IDNotRequired IDState = "not_required"
	IDNeeded      IDState = "needed"
	IDSubmitted   IDState = "submitted"
	IDConfirmed   IDState = "confirmed"
	IDRejected    IDState = "rejected"
)

// IDDocument is the visitor's photo ID as far as rules are concerned: whether it
// is asked for, and how far it is.
type IDDocument struct {
	Required bool    `json:"required,omitzero"`
	Progress IDState `json:"progress,omitzero"` // empty until something was submitted
	NoteID   string  `json:"note_id,omitzero"`  // why it was rejected
}

// State is the document's state as it is shown.
func (d IDDocument) State() IDState {
	switch {
	case !d.Required:
		return IDNotRequired
	case d.Progress == "":
		return IDNeeded
	default:
		return d.Progress
	}
}

// StateAt is the state that holds at an instant, whether or not a timer has yet
// noticed it (T0).
func (r *Reservation) StateAt(now time.Time) ReservationState {
	switch {
	case r.State != ReservationScheduled:
		return r.State
	case r.Plan.Window.Over(now):
		return ReservationEnded
	case r.Plan.Window.NotYet(now):
		return ReservationScheduled
	default:
		return ReservationActive
	}
}

// OverSince is when picking up ended: at the end or with the revocation,
// whichever came first. Zero while it has not.
func (r *Reservation) OverSince(now time.Time) time.Time {
	end := r.Plan.Window.End
	if r.State == ReservationRevoked {
		return earliest(r.RevokedAt, end)
	}
	if r.StateAt(now) == ReservationEnded {
		return end
	}
	return time.Time{}
}

// ResendAllowedAt is the earliest instant at which the instructions may be sent
// again: one cooldown after they were last sent (K11).
func (r *Reservation) ResendAllowedAt() time.Time { return r.SentAt.Add(r.Plan.Cooldown) }

// open refuses what is over in any way.
func (r *Reservation) open(now time.Time) error {
	switch r.StateAt(now) {
	case ReservationRevoked:
		return &Refusal{Code: CodeReservationRevoked, Detail: "The reservation was revoked. Make a new one if the visitor still needs the key."}
	case ReservationEnded:
		return &Refusal{Code: CodeReservationEnded, Detail: "The time of this reservation is over. Make a new one if the visitor still needs the key."}
	case ReservationCreating, ReservationScheduled, ReservationActive:
	}
	return nil
}

// Confirmed marks the reservation as made and its instructions as sent for the
// first time. It is what makes a claimed reservation a reservation (K3).
func (r *Reservation) Confirmed(now time.Time) {
	r.State, r.SentAt = ReservationScheduled, now
	r.skipCheckOfPast(now)
	r.change(EventReservationCreated, now, r.HostID, "")
}

// skipCheckOfPast: of a reservation that begins at once the host sees whether the
// key is there, and needs no warning (K13).
func (r *Reservation) skipCheckOfPast(now time.Time) {
	if !r.Plan.Window.NotYet(now) {
		r.WarnedFor = r.Plan.Window.Start
	}
}

// ReservationEdit is a change of a reservation (K5). Nil fields stay as they are.
type ReservationEdit struct {
	Plan           *Plan     `json:"plan,omitempty"` // with the new window and what follows from it
	ReturnReminder *bool     `json:"return_reminder,omitempty"`
	RequireID      *bool     `json:"require_id,omitempty"`
	NotesID        *string   `json:"notes_id,omitempty"` // empty: no notes any more
	Until          time.Time `json:"until,omitzero"`     // the claim of the new window holds as long (K14)
	Revision       int64     `json:"revision,omitzero"`  // the one that was read; zero: whichever it is
}

// Edit applies an edit. An end makes an ongoing reservation a one-time one, and
// taking it away the reverse, without a reminder (K6). The visitor is told of what
// changes for them (K5).
func (r *Reservation) Edit(now time.Time, e ReservationEdit, actorID string) error {
	if err := r.open(now); err != nil {
		return err
	}
	if err := r.stillAt(e.Revision); err != nil {
		return err
	}
	if !e.Until.IsZero() && now.After(e.Until) {
		return &Refusal{Code: CodeRequestTooLate, Detail: "The change was not made in time. Send it again."}
	}
	told := e.NotesID != nil
	if told {
		r.NotesID = *e.NotesID
	}
	if e.Plan != nil {
		if err := e.Plan.Window.Check(); err != nil {
			return err
		}
		told = told || !e.Plan.Window.Same(r.Plan.Window)
		r.Plan, r.Kind = *e.Plan, e.Plan.Kind()
		r.skipCheckOfPast(now)
	}
	if e.ReturnReminder != nil {
		r.ReturnReminder = *e.ReturnReminder
	}
	if r.Kind == Ongoing {
		if e.ReturnReminder != nil && *e.ReturnReminder {
			return &Refusal{Code: CodeNoReminder, Detail: "An ongoing reservation has no end to remind of. Give ends_at, or leave return_reminder off."}
		}
		r.ReturnReminder = false
	}
	needed := false
	if e.RequireID != nil && *e.RequireID != r.Document.Required {
		r.Document.Required = *e.RequireID
		needed = r.Document.State() == IDNeeded
	}
	if told {
		r.change(EventReservationEdited, now, actorID, "")
	} else {
		r.silently(EventReservationEdited, now, actorID)
	}
	if needed {
		r.change(EventVisitorIDNeeded, now, actorID, "")
	}
	return nil
}

// Revoke ends picking up at once (K10). Dropping off stays possible (K8). Revoking
// what is revoked changes nothing.
func (r *Reservation) Revoke(now time.Time, actorID, noteID string) error {
	if r.State == ReservationRevoked {
		return nil
	}
	r.State, r.RevokedAt, r.ResendAt = ReservationRevoked, now, time.Time{}
	r.change(EventReservationRevoked, now, actorID, noteID)
	return nil
}

// Resend sends the instructions again, now or, with whenAllowed, as soon as the
// cooldown allows (K11). It is possible after the end as well, since the code is
// needed to bring the key back (K8). A second request while one is queued changes
// nothing.
func (r *Reservation) Resend(now time.Time, whenAllowed bool, actorID string) error {
	if r.State == ReservationRevoked {
		return r.open(now)
	}
	allowed := r.ResendAllowedAt()
	switch {
	case !now.Before(allowed):
		r.SentAt, r.ResendAt = now, time.Time{}
		r.change(EventInstructionsResent, now, actorID, "")
	case !whenAllowed:
		return &Refusal{
			Code:          CodeResendCooldown,
			Detail:        "The instructions were sent a short while ago. Try again at next_allowed_at, or ask with when=allowed to have them sent then.",
			NextAllowedAt: allowed,
		}
	case r.ResendAt.IsZero():
		r.ResendAt = allowed
		r.touch(now)
	}
	return nil
}

// SubmitID notes that the visitor has supplied a photo ID (K7). A new one replaces
// one that is not decided yet or was rejected.
func (r *Reservation) SubmitID(now time.Time) error {
	if err := r.open(now); err != nil {
		return err
	}
	switch r.Document.State() {
	case IDNotRequired:
		return &Refusal{Code: CodeVisitorIDUnused, Detail: "No photo ID is needed for this reservation."}
	case IDConfirmed:
		return &Refusal{Code: CodeVisitorIDDecided, Detail: "The photo ID has been confirmed already. There is nothing more to do."}
	case IDNeeded, IDSubmitted, IDRejected:
	}
	r.Document.Progress, r.Document.NoteID = IDSubmitted, ""
	r.change(EventVisitorIDSubmitted, now, r.VisitorID, "")
	return nil
}

// DecideID confirms or rejects the photo ID (K7). The same decision twice changes
// nothing; there is no decision without a document.
func (r *Reservation) DecideID(now time.Time, confirm bool, actorID, noteID string) error {
	if err := r.open(now); err != nil {
		return err
	}
	decided, event := IDRejected, EventVisitorIDRejected
	if confirm {
		decided, event = IDConfirmed, EventVisitorIDConfirmed
	}
	switch r.Document.State() {
	case decided:
		return nil
	case IDSubmitted:
		r.Document.Progress, r.Document.NoteID = decided, noteID
		r.change(event, now, actorID, noteID)
		return nil
	case IDNotRequired:
		return &Refusal{Code: CodeVisitorIDUnused, Detail: "No photo ID is needed for this reservation."}
	case IDConfirmed:
		return &Refusal{Code: CodeVisitorIDDecided, Detail: "The photo ID has been confirmed and was deleted then. Revoke the reservation if that was a mistake."}
	case IDNeeded, IDRejected:
	}
	return &Refusal{Code: CodeVisitorIDMissing, Detail: "The visitor has not supplied a photo ID that waits for a decision."}
}

// Standing is what the rows say that others write: boxes about keys (K12).
type Standing struct {
	KeyOut time.Time `json:"key_out,omitzero"` // since when the visitor has the key; zero: they do not
	InBox  bool      `json:"in_box"`           // the key is in a slot
}

// Learn takes in where the key is (K12).
func (r *Reservation) Learn(s Standing, now time.Time) {
	r.Look = false
	if !r.KeyOut.Equal(s.KeyOut) {
		r.KeyOut = s.KeyOut
		r.touch(now)
	}
}

// GrantFor is what every SmartBox of the account should hold about the
// reservation: who has its code may drop off always, and pick up inside the window
// unless NoPickup says why not (P3, K7, K8, K10).
func (r *Reservation) GrantFor() Grant {
	g := Grant{
		ID: r.ID, Revision: r.Revision, Kind: GrantReservation, KeyID: r.KeyID,
		Start: r.Plan.Window.Start, End: r.Plan.Window.End,
	}
	switch {
	case r.State == ReservationRevoked:
		g.NoPickup = CodeReservationRevoked
	case r.State == ReservationEnded:
		g.NoPickup = CodeReservationEnded
	case !r.admittedByID():
		g.NoPickup = CodeVisitorIDRequired
	}
	return g
}

func (r *Reservation) admittedByID() bool {
	return !r.Document.Required || r.Document.Progress == IDConfirmed
}

// remindedOf reports whether the reminder for an end date was sent (K6).
func (r *Reservation) remindedOf(day string) bool { return slices.Contains(r.Reminded, day) }
