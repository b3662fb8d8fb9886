package panel

import (
	"crypto/ed25519"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Type says what a message is, so that one signed for one purpose cannot be used
// for another.
type Type string

// The types of messages. Each request has an answer of the type beside it.
const (
	TypeEnrol            Type = "enrol"
	TypeEnrolled         Type = "enrolled"
	TypeGrant            Type = "grant"
	TypeGrantAck         Type = "grant_ack"
	TypeCommand          Type = "command"
	TypeResult           Type = "result"
	TypeStatusQuery      Type = "status_query"
	TypeStatus           Type = "status"
	TypeEvents           Type = "events"
	TypeEventsAck        Type = "events_ack"
	TypeTap              Type = "tap"
	TypeTapAnswer        Type = "tap_answer"
	TypeSync             Type = "sync"
	TypeSyncAnswer       Type = "sync_answer"
	engineName                = "latchkey"
	unenrolled                = "unenrolled"
	maxMessage                = 1 << 20
	clockTolerance            = 30 * time.Second
	messageTTL                = time.Minute
	enrolmentCodeTTL          = 24 * time.Hour
	fingerprintBytes          = 10
	enrolmentSecretBytes      = 16
	contentType               = "application/jose"
	maxID                     = 64     // the longest jti, in bytes
	sweepFrom                 = 10_000 // ids
)

// EngineName is the iss and aud of the engine.
const EngineName = engineName

// ContentType is the media type of every body.
const ContentType = contentType

// MaxMessage is the largest body that either side reads, in bytes.
const MaxMessage = maxMessage

// EnrolmentCodeTTL is how long an enrolment code is good for (P1).
const EnrolmentCodeTTL = enrolmentCodeTTL

// Grant is what a panel is told about one item (P3). A newer revision replaces an
// older one; a tombstone opens nothing and stays.
type Grant struct {
	GrantID     string     `json:"grant_id"`
	Kind        string     `json:"kind"` // "invitation" or "reservation"
	Revision    int64      `json:"revision"`
	StartsAt    *time.Time `json:"starts_at,omitempty"` // none: from the beginning
	EndsAt      *time.Time `json:"ends_at,omitempty"`   // none: until revoked
	EntranceIDs []string   `json:"entrance_ids"`
	Tombstone   bool       `json:"tombstone"`
	// LeaseUntil is the lease of the panel, of which this message renews it: until when
	// it admits by itself, by whatever grant (P2). It is no part of the grant.
	LeaseUntil *time.Time `json:"lease_until,omitempty"`
	// PassesSince voids passes that were issued before it (P9); none: no pass is void.
	PassesSince *time.Time `json:"passes_since,omitempty"`

	// Of a reservation, which every SmartBox of the account holds: KeyID is the key
	// that may be picked up inside the window, unless NoPickup says why not. CodeJWE is
	// the booking code, encrypted to the box (see [SealCode]); with it a key can be
	// returned whatever the time, until the tombstone.
	KeyID    string `json:"key_id,omitempty"`
	CodeJWE  string `json:"code_jwe,omitempty"`
	NoPickup string `json:"no_pickup,omitempty"` // reservation_ended, reservation_revoked or visitor_id_required
}

// Ack says which revision of a grant the panel holds now.
type Ack struct {
	GrantID  string `json:"grant_id"`
	Revision int64  `json:"revision"`
}

// Op is what a command does.
type Op string

// The operations.
const (
	OpUnlock   Op = "unlock"    // an entrance of a door panel
	OpOpenSlot Op = "open_slot" // a slot of a SmartBox
)

// Purpose is what a slot is opened for.
type Purpose string

// The purposes of [OpOpenSlot].
const (
	PurposePickup  Purpose = "pickup"  // the slot that holds the key
	PurposeDropOff Purpose = "dropoff" // a free slot
)

// Command is a momentary command (P4): to be carried out now, once, or never.
type Command struct {
	CommandID     string    `json:"command_id"`
	Op            Op        `json:"op"`
	EntranceID    string    `json:"entrance_id,omitempty"` // for OpUnlock
	Slot          int       `json:"slot,omitempty"`        // for OpOpenSlot, from 1; none: the box finds it
	GrantID       string    `json:"grant_id"`
	GrantRevision int64     `json:"grant_revision"`
	PolicyVersion int64     `json:"policy_version,omitempty"` // of the entrance's [Policy] by which it was decided; 0: none
	BootID        string    `json:"boot_id"`
	ExpiresAt     time.Time `json:"expires_at"`

	Purpose   Purpose `json:"purpose,omitempty"`    // for OpOpenSlot
	KeyID     string  `json:"key_id,omitempty"`     // the key to be picked up or returned
	PanelCode string  `json:"panel_code,omitempty"` // the number that the box shows (P10)
}

// Result is what a panel did with a command.
type Result string

// The results of a command. Only ResultOpened opened anything.
const (
	ResultOpened        Result = "opened"
	ResultExpired       Result = "expired"        // past expires_at on the panel's clock
	ResultStaleBoot     Result = "stale_boot"     // boot_id is not the current one
	ResultStaleRevision Result = "stale_revision" // the panel holds a newer revision, or a tombstone
	ResultOutsideWindow Result = "outside_window" // by the panel's own clock
	ResultNotShared     Result = "not_shared"     // no such entrance here, or not in the grant
	ResultRefused       Result = "refused"        // for a reason of its own

	ResultWrongPanelCode Result = "wrong_panel_code" // not the number that the box shows (P10)
	ResultKeyNotHere     Result = "key_not_here"     // no slot holds the key
	ResultNoFreeSlot     Result = "no_free_slot"     // nothing can be returned here now
	ResultPickupDenied   Result = "pickup_denied"    // by the no_pickup of the grant
)

// CommandResult answers a command. A repeated command_id gets the first result
// again and never a second action.
type CommandResult struct {
	CommandID string    `json:"command_id"`
	Result    Result    `json:"result"`
	Slot      int       `json:"slot,omitempty"`   // that opened, of a SmartBox
	Reason    string    `json:"reason,omitempty"` // a sentence for the engine's operator, where nothing opened
	At        time.Time `json:"at"`
}

// StatusQuery asks a panel how it is.
type StatusQuery struct{}

// Status is how a panel is.
type Status struct {
	PanelID string    `json:"panel_id"`
	Kind    string    `json:"kind"` // "door" or "smartbox"
	BootID  string    `json:"boot_id"`
	At      time.Time `json:"at"`     // its own clock
	Grants  int       `json:"grants"` // how many it holds, tombstones included
}

// Event is one thing that happened at a panel (P6). Seq grows by one per boot.
type Event struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Type       string    `json:"type"` // opened, denied, tamper, battery; of a SmartBox also key_taken, key_returned, lockout; others are ignored
	EntranceID string    `json:"entrance_id,omitempty"`
	CommandID  string    `json:"command_id,omitempty"`
	GrantID    string    `json:"grant_id,omitempty"`
	Code       string    `json:"code,omitempty"`  // of "denied": the [Result], or why a typed code opened nothing
	Level      *int      `json:"level,omitempty"` // of "battery": percent

	// Of a SmartBox. A typed code itself is in no event.
	Slot  int        `json:"slot,omitempty"`
	KeyID string     `json:"key_id,omitempty"` // of key_taken and key_returned: what the slot's sensor reads
	Op    Purpose    `json:"op,omitempty"`
	Via   string     `json:"via,omitempty"`   // "code", "command" or, of a door panel, "pass"
	Until *time.Time `json:"until,omitempty"` // of lockout

	PassID string `json:"pass_id,omitempty"` // with via "pass" (P9)
}

// EventBatch reports events of one boot in order. An empty one says "I am here".
type EventBatch struct {
	BootID string `json:"boot_id"`
	// EngineKeyIDs names the engine's keys that the panel trusts (P1).
	EngineKeyIDs []string  `json:"engine_key_ids,omitempty"`
	At           time.Time `json:"at,omitzero"` // its own clock, with milliseconds
	Events       []Event   `json:"events"`
	// LeaseUntil is the lease that the panel holds; none: it holds none.
	LeaseUntil *time.Time `json:"lease_until,omitempty"`
}

// EventsAck says up to which event of the boot the engine has everything.
type EventsAck struct {
	BootID string `json:"boot_id"`
	Seq    int64  `json:"seq"`
	// ResendFrom asks for the events of the boot from this one on, because some of them
	// are missing here; 0: nothing is. What the panel no longer has is left out.
	ResendFrom int64      `json:"resend_from,omitempty"`
	LeaseUntil *time.Time `json:"lease_until,omitempty"`
	// EngineKeys replaces the engine's keys that the panel trusts (P1); none: as before.
	EngineKeys *jose.JSONWebKeySet `json:"engine_keys,omitempty"`
}

// Tap is a phone held to the panel (I9). TapID is the panel's own: a repetition
// after a lost answer has the same and gets the same answer.
type Tap struct {
	TapID      string `json:"tap_id"`
	TapToken   string `json:"tap_token"`
	EntranceID string `json:"entrance_id"`
	BootID     string `json:"boot_id"`
}

// TapAnswer says what the tap did. Only the command in it opens.
type TapAnswer struct {
	Result  string   `json:"result"` // "verified", "wrong_entrance" or "expired"
	Command *Command `json:"command,omitempty"`
}

// Entrance is a door as its panel knows it.
type Entrance struct {
	EntranceID string `json:"entrance_id"`
	Name       string `json:"name"`
}

// EnrolRequest asks to be trusted (P1). It is signed by the key it carries.
type EnrolRequest struct {
	EnrolmentCode string          `json:"enrolment_code"` // whole, as it was typed
	PublicKey     jose.JSONWebKey `json:"public_key"`
	Address       string          `json:"address,omitempty"` // where the engine reaches the panel
	// EncryptionKey is a P-256 key as a JWK, to which booking codes are encrypted. A
	// SmartBox needs one.
	EncryptionKey *jose.JSONWebKey `json:"encryption_key,omitempty"`
}

// EnrolAnswer tells a panel who it is and what it should hold.
type EnrolAnswer struct {
	PanelID    string             `json:"panel_id"`
	EngineKeys jose.JSONWebKeySet `json:"engine_keys"`
	Grants     []Grant            `json:"grants"`
	Entrances  []Entrance         `json:"entrances"`
	TimeZone   string             `json:"time_zone"`
	Policies   []Policy           `json:"policies,omitempty"`
	LeaseUntil *time.Time         `json:"lease_until,omitempty"`
	Kind       string             `json:"kind,omitempty"`  // "door" or "smartbox"; none: door
	Slots      int                `json:"slots,omitempty"` // of a SmartBox
	Keys       []KeyPlace         `json:"keys,omitempty"`
}

// KeyPlace says where the engine believes a key to be. The box's own sensors know
// better.
type KeyPlace struct {
	KeyID string `json:"key_id"`
	Slot  int    `json:"slot"`
}

// SyncRequest asks for everything anew. With Lost the panel says that it no longer
// holds what it once confirmed. After is the next of the answer before; none: from
// the beginning.
type SyncRequest struct {
	BootID string `json:"boot_id"`
	Lost   bool   `json:"lost"`
	After  string `json:"after,omitempty"`
	// EngineKeyIDs names the engine's keys that the panel trusts (P1).
	EngineKeyIDs []string `json:"engine_key_ids,omitempty"`
}

// SyncAnswer is everything a panel should hold, in parts: while Next is there, the
// panel asks on. A grant that is in no part is not one the engine knows.
type SyncAnswer struct {
	Grants     []Grant    `json:"grants"`
	Entrances  []Entrance `json:"entrances"`
	Policies   []Policy   `json:"policies,omitempty"` // all of them, in each part
	LeaseUntil *time.Time `json:"lease_until,omitempty"`
	TimeZone   string     `json:"time_zone"`
	Kind       string     `json:"kind,omitempty"`
	Slots      int        `json:"slots,omitempty"`
	Keys       []KeyPlace `json:"keys,omitempty"`
	Next       string     `json:"next,omitempty"`
	// EngineKeys replaces the engine's keys that the panel trusts (P1); none: as before.
	EngineKeys *jose.JSONWebKeySet `json:"engine_keys,omitempty"`
}

// Engine is the engine's identity.
type Engine struct {
	KeyID string
	Key   ed25519.PrivateKey
}
