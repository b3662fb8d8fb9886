package directory

import (
	"time"

	"latchkey/internal/access"
)

// Account is a tenant. Everything else belongs to exactly one (E8).
type Account struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

// Scope is what an API key may do.
type Scope string

// The scopes of API keys. Admin may do everything in its account, the
// management of keys included.
const (
	ScopeAdmin       Scope = "admin"
	ScopeRead        Scope = "read"
	ScopeDirectory   Scope = "directory"
	ScopeInvitations Scope = "invitations"
	ScopeUnlock      Scope = "unlock"

	ScopeReservations Scope = "reservations"
)

// APIKey is a credential of an app. The secret itself is shown once and kept
// only as a hash.
type APIKey struct {
	ID        string
	AccountID string
	Name      string
	Scopes    []Scope
	CreatedAt time.Time
}

// Property is a building or site, with the zone its wall clocks show and the
// policy its manager decided (I12).
type Property struct {
	ID        string
	AccountID string
	Name      string
	TimeZone  string // IANA name
	Policy    access.Policy
	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64
}

// Role is the part a member has at properties.
type Role string

// The roles of members.
const (
	RoleManager  Role = "manager"
	RoleHost     Role = "host"
	RoleResident Role = "resident"
	RoleStaff    Role = "staff"
)

// Person is a human being: guest, visitor, member or signed-in identity. An empty
// AccountID is an identity, which belongs to the person and to no tenant.
type Person struct {
	ID        string
	AccountID string
	Name      string
	Email     string
	Mobile    string
	Locale    string // BCP 47
	CreatedAt time.Time
}

// Preferences is how a member wants to hear of unlocks (I7).
type Preferences struct {
	Unlocks Notification `json:"unlocks"`
}

// Notification is a way to be told, or not to be.
type Notification string

// The ways to tell a member of an unlock. Who has no phone signed in is told by SMS
// instead of push, and who has no number by email.
const (
	NotifyPush  Notification = "push"
	NotifySMS   Notification = "sms"
	NotifyEmail Notification = "email"
	NotifyMuted Notification = "muted"
)

// Member is a person of the account with a role at properties.
type Member struct {
	ID          string
	AccountID   string
	Person      Person
	Role        Role
	PropertyIDs []string
	Preferences Preferences
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64
}

// PanelKind says what a panel controls.
type PanelKind string

// The kinds of panels.
const (
	PanelDoor     PanelKind = "door"
	PanelSmartBox PanelKind = "smartbox"
)

// Panel is a device at a property. PublicKey is empty until it has enrolled (P1).
type Panel struct {
	ID           string
	AccountID    string
	PropertyID   string
	Name         string
	Kind         PanelKind
	Driver       string
	Slots        int
	Address      string // where the engine reaches it, for example http://10.0.0.7:9000
	AddressFixed bool   // set on the panel resource, so that an announcement leaves it alone
	PublicKey    []byte // Ed25519
	EnrolledAt   time.Time
	DisownedAt   time.Time
	BootID       string
	LastSeenAt   time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Revision     int64

	// How it is and how far it is behind (P5, P6, P8).
	ClockSkew       time.Duration // its clock minus ours
	SkewKnown       bool
	Battery         *int      // percent; nil: it has reported none
	LockedUntil     time.Time // takes no typed codes (P7)
	LeaseUntil      time.Time // the latest lease that it may hold (P2)
	PendingGrants   int
	PendingPolicies int
}

// PanelSilentAfter is how long a panel may be silent before it is offline (P8).
const PanelSilentAfter = 3 * time.Minute

// OfflineSince is since when an enrolled panel counts as offline, zero if it is
// online or nobody expects to hear from it. It follows from when the panel was last
// heard and from nothing else (T0).
func (p Panel) OfflineSince(now time.Time) time.Time {
	silent := p.LastSeenAt.Add(PanelSilentAfter)
	if len(p.PublicKey) == 0 || !p.DisownedAt.IsZero() || p.LastSeenAt.IsZero() || now.Before(silent) {
		return time.Time{}
	}
	return silent
}

// Online reports whether the panel was heard lately (P8).
func (p Panel) Online(now time.Time) bool {
	return len(p.PublicKey) > 0 && p.DisownedAt.IsZero() && !p.LastSeenAt.IsZero() && p.OfflineSince(now).IsZero()
}

// Entrance is a door behind a door panel.
type Entrance struct {
	ID         string
	AccountID  string
	PropertyID string
	PanelID    string
	Name       string
	Directions string
	Shareable  bool
	Schedules  []access.Schedule
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Revision   int64
}

// Key is a physical key that lives in a slot of a SmartBox. Where it is at the
// moment is its custody (K12).
type Key struct {
	ID         string
	AccountID  string
	PropertyID string
	Name       string
	PanelID    string
	Slot       int // from 1
	Notes      string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Revision   int64
}

// Event is an entry of the append-only log (E3). At is when it happened,
// RecordedAt when the engine wrote it down. Detail has ids, instants and codes
// only; Note is a person's own words, decrypted for the reader.
type Event struct {
	ID         string
	AccountID  string
	Type       access.EventType
	At         time.Time
	RecordedAt time.Time
	PropertyID string
	ItemID     string
	EntranceID string
	PanelID    string
	ActorID    string
	Code       access.Code
	Rule       string
	NoteID     string
	Note       string
	Detail     map[string]any
	DedupKey   string // what makes a second record of the same thing recognisable
}
