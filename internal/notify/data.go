package notify

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"latchkey/internal/access"
)

// Data is what a message can be about. A template uses the fields that concern
// it; Render refuses if one that it cannot do without is empty.
//
// All instants are UTC and shown in the property's zone. A zero StartsAt reads as
// "now", a zero EndsAt as "no end date" (I1).
type Data struct {
	InviterName   string // invitation; on a revoked one, whom to ask
	GuestName     string // greets the guest; names them to the inviter
	GuestEmail    string // the invited address (I3); stands in for a missing GuestName
	PropertyName  string // all but sign_in_code
	EntranceNames []string
	StartsAt      time.Time
	EndsAt        time.Time
	ExpiresAt     time.Time // invitation, invitation_expired: until when it can be answered (I5)
	AcceptURL     string    // invitation: absolute http or https URL
	EntranceName  string    // entrance_unlocked
	OpenedAt      time.Time // entrance_unlocked
	Reason        string    // a person's own words, if any: invitation_revoked, verification_required
	Code          string    // sign_in_code
	CodeMinutes   int       // sign_in_code: how long it works

	// Calendar names the invitation to calendars: an id, and a number that grows with
	// each change. Empty: there is no entry.
	Calendar struct {
		UID      string
		Sequence int64
		Written  time.Time
	}

	// Of a reservation.
	HostName        string
	VisitorName     string
	KeyName         string
	BookingCode     string
	BookingURL      string    // absolute http or https URL
	AccessNotes     string    // the host's own words
	VisitorIDNeeded bool      // a photo ID must be confirmed before pickup (K7)
	LateSince       time.Time // key_late, key_late_host: when access ended
	NextStart       time.Time // key_missing: when the next reservation begins
	HolderName      string    // key_missing: who had the key last, if that is known

	// Of a change (I12, I14, I17). Guests and Visitors count whom it concerns of an
	// inviter's or host's, who is the reader if ToMember is set.
	Changes    []Change
	ToMember   bool
	Guests     int
	Visitors   int
	VerifyBy   time.Time // verification_lapsing: until when the guest counts as verified
	MemberName string    // invitations_moved: who was removed

	Invitations  int // invitations_moved: how many the reader takes over
	Reservations int

	// Of a panel: a SmartBox that takes no codes (P7), or one that somebody tampers with (P6).
	PanelName   string
	LockedUntil time.Time
	TamperedAt  time.Time
}

// The most characters of a name, an address, a reason and a subject that a message
// shows.
const (
	maxEmail   = 254
	maxName    = 100
	maxReason  = 500
	maxNotes   = 2000
	maxSubject = 150
)

// clean makes what people typed safe to repeat in a message.
func (d Data) clean() Data {
	d.InviterName = plain(d.InviterName, maxName)
	d.GuestEmail = shorten(oneLine(d.GuestEmail), maxEmail)
	if d.GuestName == d.GuestEmail { // an app that knows no name repeats the address
		d.GuestName = ""
	}
	d.GuestName = plain(d.GuestName, maxName)
	d.PropertyName = plain(d.PropertyName, maxName)
	d.EntranceName = plain(d.EntranceName, maxName)
	d.Reason = plain(d.Reason, maxReason)
	changes := make([]Change, 0, len(d.Changes))
	for _, c := range d.Changes {
		c.EntranceName = plain(c.EntranceName, maxName)
		changes = append(changes, c)
	}
	d.Changes = changes
	for _, name := range []*string{&d.MemberName, &d.HostName, &d.VisitorName, &d.KeyName, &d.HolderName, &d.PanelName} {
		*name = plain(*name, maxName)
	}
	d.AccessNotes = plain(d.AccessNotes, maxNotes)
	names := make([]string, 0, len(d.EntranceNames))
	for _, name := range d.EntranceNames {
		names = append(names, plain(name, maxName))
	}
	d.EntranceNames = names
	return d
}

// Guest is how the guest is named to the inviter.
func (d Data) Guest() string {
	if d.GuestName != "" {
		return d.GuestName
	}
	return d.GuestEmail
}

// check says which fact a template cannot do without.
func (d Data) check(t Template) error {
	missing := func(field string, absent bool) error {
		if absent {
			return fmt.Errorf("render %s: Data.%s is missing", t, field)
		}
		return nil
	}
	if err := missing("PropertyName", d.PropertyName == "" && t != access.TemplateSignInCode && t != access.TemplateInvitationsMoved); err != nil {
		return err
	}
	switch t {
	case access.TemplateSignInCode:
		return first(missing("Code", d.Code == ""), missing("CodeMinutes", d.CodeMinutes <= 0))
	case access.TemplateInvitation:
		return first(missing("InviterName", d.InviterName == ""), missing("EntranceNames", len(d.EntranceNames) == 0),
			missing("GuestEmail", d.GuestEmail == ""), missing("ExpiresAt", d.ExpiresAt.IsZero()), checkURL("AcceptURL", d.AcceptURL))
	case access.TemplateInvitationAccepted, access.TemplateInvitationDeclined, access.TemplateInvitationLeft:
		return missing("GuestName", d.Guest() == "")
	case access.TemplateInvitationExpired:
		return first(missing("GuestEmail", d.GuestEmail == ""), missing("ExpiresAt", d.ExpiresAt.IsZero()))
	case access.TemplateEntranceUnlocked:
		return first(missing("GuestName", d.Guest() == ""), missing("EntranceName", d.EntranceName == ""),
			missing("OpenedAt", d.OpenedAt.IsZero()))
	case access.TemplateInvitationRevoked, access.TemplateVerificationRequired:
	case access.TemplateVerificationLapsing:
		return missing("VerifyBy", d.VerifyBy.IsZero())
	case access.TemplateInvitationChanged, access.TemplateAccessRulesChanged:
		return missing("Changes", len(d.Changes) == 0)
	case access.TemplateInvitationsMoved:
		return first(missing("MemberName", d.MemberName == ""), missing("Invitations", d.Invitations+d.Reservations == 0))
	case access.TemplatePanelLockout:
		return first(missing("PanelName", d.PanelName == ""), missing("LockedUntil", d.LockedUntil.IsZero()))
	case access.TemplatePanelTamper:
		return first(missing("PanelName", d.PanelName == ""), missing("TamperedAt", d.TamperedAt.IsZero()))
	case access.TemplateKeyLateHost, access.TemplateKeyMissing, access.TemplateVisitorIDSubmitted:
		return first(missing("KeyName", d.KeyName == ""), missing("VisitorName", d.VisitorName == ""))
	case access.TemplateAccessInstructions, access.TemplateAccessChanged, access.TemplateAccessRevoked, access.TemplateReturnKeyReminder,
		access.TemplateKeyLate, access.TemplateVisitorIDNeeded, access.TemplateVisitorIDConfirmed, access.TemplateVisitorIDRejected:
		return first(missing("KeyName", d.KeyName == ""), missing("HostName", d.HostName == ""), missing("BookingCode", d.BookingCode == ""),
			checkURL("BookingURL", d.BookingURL))
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkURL names the field but not the link, which holds a secret.
func checkURL(field, link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("render: Data.%s is not an absolute http or https URL", field)
	}
	return nil
}

var (
	scheme = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*):/+`)
	domain = regexp.MustCompile(`\.(\p{L}{2})`)
)

// plain is one line of at most limit characters in which no mail program sees a
// web address: "see http://evil.example" becomes "see http evil. example".
func plain(s string, limit int) string {
	s = scheme.ReplaceAllString(oneLine(s), "$1 ")
	return shorten(domain.ReplaceAllString(s, ". $1"), limit)
}

// oneLine drops what is not seen, controls and direction overrides above all, and
// makes every run of white space one space. Joiners stay: scripts and emoji need
// them.
func oneLine(s string) string {
	visible := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case r == '\u200c', r == '\u200d':
			return r
		case r == unicode.ReplacementChar, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			return -1
		default:
			return r
		}
	}, s)
	return strings.Join(strings.Fields(visible), " ")
}

// shorten cuts to limit characters, the last an ellipsis if something was cut.
func shorten(s string, limit int) string {
	letters := []rune(s)
	if len(letters) <= limit {
		return s
	}
	return strings.TrimSpace(string(letters[:limit-1])) + "…"
}
