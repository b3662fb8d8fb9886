package web

import (
	"net/http"
	"slices"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify/wording"
)

// GuestView is what a signed-in guest sees of theirs: invitations that wait for an
// answer, and the locations with every entrance that is shared with them (I6). All of it
// holds at this instant (T0). Instants are UTC, shown in each property's zone. Locale
// is the guest's; if empty the browser's languages decide.
type GuestView struct {
	Email     string
	Locale    string
	Waiting   []WaitingInvitation
	Locations []GuestLocation
	Notice    GuestNotice
	// Press is unlike that of every other rendering: sending a form again is the same
	// press of the button, and opens nothing twice (E2).
	Press string
}

// WaitingInvitation is an invitation that the guest has yet to answer (I4).
type WaitingInvitation struct {
	ID            string
	InviterName   string
	PropertyName  string
	EntranceNames []string
	StartsAt      time.Time
	EndsAt        time.Time
	ExpiresAt     time.Time
	Zone          *time.Location
}

// GuestLocation is a property and what the guest has there.
type GuestLocation struct {
	ID   string
	Name string
	Keys []GuestKey
}

// GuestKey is an accepted invitation.
type GuestKey struct {
	InvitationID string
	InviterName  string
	StartsAt     time.Time
	EndsAt       time.Time
	Zone         *time.Location
	Verification access.VerificationStatus
	Entrances    []GuestEntrance
}

// GuestEntrance is a door, how to find it and whether it opens now.
type GuestEntrance struct {
	ID         string
	Name       string
	Directions string
	Decision   access.Decision
}

// GuestNotice is what came of the button that was pressed: a code of the API, or one
// of the notices below. The zero value is none.
type GuestNotice struct {
	Code     string
	Entrance string // its name
	Status   int    // of the answer; 0: 200
}

// Notices that are no refusals.
const (
	NoticeUnlocked = "unlocked"
	NoticeAccepted = "accepted"
	NoticeDeclined = "declined"
	NoticeVerified = "verified"
)

var (
	guestGood = []string{NoticeUnlocked, NoticeAccepted, NoticeDeclined, NoticeVerified}
	// guestReasons are why an entrance does not open; they have a sentence beside the
	// entrance and, like all that a button can be answered, one as a notice.
	guestReasons = []string{
		string(access.CodeVerificationRequired), string(access.CodeOutsideWindow), string(access.CodeOutsideSchedule), string(access.CodeNotShared),
		string(access.CodeNotActive), string(access.CodeLockedDown),
	}
	guestRefusals = append([]string{
		string(access.CodeAlreadyAccepted), string(access.CodeAlreadyDeclined), string(access.CodeInvitationExpired),
		string(access.CodeInvitationRevoked), string(access.CodeInvitationEnded), "panel_unreachable", "outcome_unknown", "email_mismatch",
	}, guestReasons...)
)

// GuestPage shows a guest's keys: a page that a phone can keep on its home screen
// (I16). It works without JavaScript; every button is a form.
func GuestPage(w http.ResponseWriter, r *http.Request, v GuestView) {
	say, err := voice(r, v.Locale)
	if err != nil {
		fail(w, r, "guest", err)
		return
	}
	c := v.content(say)
	if err := say.Err(); err != nil {
		fail(w, r, "guest", err)
		return
	}
	page{template: "guest.html", status: max(v.Notice.Status, http.StatusOK), styles: ownStyles, forms: true, language: say.Language(), data: c}.show(w, r)
}

type guestContent struct {
	Language  string
	Title     string
	Notice    string
	Good      bool
	View      GuestView
	SignedIn  string
	Labels    map[string]string
	Waiting   []waitingContent
	Locations []locationContent
}

type waitingContent struct {
	ID    string
	Title string
	Facts []fact
}

type locationContent struct {
	ID   string
	Name string
	Keys []keyContent
}

type keyContent struct {
	ID        string
	Lead      string
	Verified  string
	Verify    bool // the guest is asked to verify
	Entrances []entranceContent
}

type entranceContent struct {
	ID         string
	Name       string
	Directions string
	Open       bool
	Reason     string
	Unlock     string // the button's name for who cannot see it
}

func (v GuestView) content(say *wording.Voice) guestContent {
	c := guestContent{
		Language: say.Language(), Title: say.Say("guest.title", nil), View: v, SignedIn: say.Say("guest.signed_in", v), Labels: map[string]string{},
	}
	for _, label := range []string{"sign_out", "waiting", "accept", "decline", "unlock", "verify", "empty", "empty_hint", "no_tap", "no_tap_panel", "no_tap_phone",
		"no_tap_help", "install", "install_hint"} {
		c.Labels[label] = say.Say("guest.label."+label, nil)
	}
	for _, i := range v.Waiting {
		c.Waiting = append(c.Waiting, waitingContent{ID: i.ID, Title: say.Say("title", i), Facts: []fact{
			{say.Count("fact.entrances", len(i.EntranceNames), nil), say.List(i.EntranceNames)},
			{say.Say("fact.starts", nil), instantOr(say, i.StartsAt, i.Zone, "fact.starts_now")},
			{say.Say("fact.ends", nil), instantOr(say, i.EndsAt, i.Zone, "fact.ends_never")},
			{say.Say("fact.answer_by", nil), instantOr(say, i.ExpiresAt, i.Zone, "fact.ends_never")},
		}})
	}
	for _, l := range v.Locations {
		location := locationContent{ID: l.ID, Name: l.Name}
		for _, k := range l.Keys {
			location.Keys = append(location.Keys, k.content(say))
		}
		c.Locations = append(c.Locations, location)
	}
	if code := v.Notice.Code; code != "" {
		c.Good = slices.Contains(guestGood, code)
		if !c.Good && !slices.Contains(guestRefusals, code) {
			code = noticeFailed
		}
		c.Notice = say.Say("guest.notice."+code, v.Notice)
	}
	return c
}

func (k GuestKey) content(say *wording.Voice) keyContent {
	data := map[string]string{"InviterName": k.InviterName}
	c := keyContent{ID: k.InvitationID}
	if k.EndsAt.IsZero() {
		c.Lead = say.Say("guest.key.ongoing", data)
	} else {
		data["Ends"] = instantOr(say, k.EndsAt, k.Zone, "fact.ends_never")
		c.Lead = say.Say("guest.key.until", data)
	}
	switch k.Verification.State {
	case access.VerificationMissing:
		c.Verify, c.Verified = true, say.Say("guest.verification.required", nil)
	case access.VerificationDone:
		c.Verified = say.Say("guest.verification.verified", nil)
		if !k.Verification.ValidUntil.IsZero() {
			c.Verified = say.Say("guest.verification.verified_until", map[string]string{"Until": instantOr(say, k.Verification.ValidUntil, k.Zone, "fact.ends_never")})
		}
	case access.VerificationNotNeeded:
	}
	for _, e := range k.Entrances {
		shown := entranceContent{ID: e.ID, Name: e.Name, Directions: e.Directions, Open: e.Decision.Allowed, Unlock: say.Say("guest.unlock_named", e)}
		if !e.Decision.Allowed {
			shown.Reason = e.reason(say, k.Zone)
		}
		c.Entrances = append(c.Entrances, shown)
	}
	return c
}

// reason says why an entrance does not open now, and from when it does.
func (e GuestEntrance) reason(say *wording.Voice, zone *time.Location) string {
	code := string(e.Decision.Code)
	if !slices.Contains(guestReasons, code) {
		code = string(access.CodeNotActive)
	}
	if !e.Decision.From.IsZero() {
		return say.Say("guest.from", map[string]string{"From": instantOr(say, e.Decision.From, zone, "fact.starts_now")})
	}
	return say.Say("guest.reason."+code, nil)
}

// TapView is a verification that is under way or just over (I9).
type TapView struct {
	InvitationID string
	Token        string // shown to the panel; empty once the attempt is decided
	State        string // pending, verified, wrong_entrance, expired
	Yours        []GuestEntrance
	Locale       string
}

type tapContent struct {
	Language string
	Title    string
	Lead     string
	Notice   string
	Good     bool
	Labels   map[string]string
	View     TapView
}

// TapPage says "Ready to tap", and after the tap what came of it: verified, the
// wrong entrance and which ones are the guest's, or too late (I9).
func TapPage(w http.ResponseWriter, r *http.Request, v TapView) {
	say, err := voice(r, v.Locale)
	if err != nil {
		fail(w, r, "tap", err)
		return
	}
	c := tapContent{Language: say.Language(), Title: say.Say("tap."+v.State+".title", nil), Lead: say.Say("tap."+v.State+".lead", nil), View: v, Labels: map[string]string{}}
	for _, label := range []string{"token", "done", "again", "back", "cancel"} {
		c.Labels[label] = say.Say("tap.label."+label, nil)
	}
	for _, label := range []string{"no_tap", "no_tap_panel", "no_tap_phone", "no_tap_help"} {
		c.Labels[label] = say.Say("guest.label."+label, nil)
	}
	if err := say.Err(); err != nil {
		fail(w, r, "tap", err)
		return
	}
	page{template: "tap.html", status: http.StatusOK, styles: ownStyles, forms: true, language: say.Language(), data: c}.show(w, r)
}
