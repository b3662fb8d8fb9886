package web

import (
	"net/http"
	"slices"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify/wording"
)

// VisitView is a reservation as its visitor sees it through the booking URL. State
// and Pickup are what holds at this instant (T0). Instants are UTC; a zero StartsAt
// reads "now", a zero EndsAt "no end date". Zone is the property's. Locale is the
// visitor's; if empty the browser's languages decide.
type VisitView struct {
	State        access.ReservationState
	PropertyName string
	KeyName      string
	HostName     string
	Code         string // to type at the box
	AccessNotes  string
	StartsAt     time.Time
	EndsAt       time.Time
	Zone         *time.Location
	Locale       string

	Pickup   access.Decision
	HasKey   bool
	Document access.IDState
	IDReason string     // why the photo ID was rejected, in the host's words
	Boxes    []VisitBox // where the key can be returned

	// Path is the page's own address; its forms are sent to paths below it.
	Path string
	// Press is unlike that of every other rendering: sending a form again is the same
	// press of the button, and opens nothing twice (E2).
	Press  string
	Notice VisitNotice
}

// VisitBox is a SmartBox that takes keys back.
type VisitBox struct{ ID, Name string }

// VisitNotice is what came of the button that was pressed: a code of the API, or
// one of the notices below. The zero value is none.
type VisitNotice struct {
	Code   string
	Slot   int // that stands open
	Status int // of the answer; 0: 200
}

// Notices that are no refusals.
const (
	NoticePickupOpened  = "pickup_opened"
	NoticeDropOffOpened = "dropoff_opened"
	NoticePhotoReceived = "photo_received"
	NoticePhotoMissing  = "photo_missing"
	noticeFailed        = "failed" // whatever there is no sentence for
)

// good are the notices of what worked; visitRefusals the codes that have a
// sentence of their own.
var (
	good          = []string{NoticePickupOpened, NoticeDropOffOpened, NoticePhotoReceived}
	visitRefusals = []string{
		string(access.CodeOutsideWindow), string(access.CodeReservationEnded), string(access.CodeReservationRevoked),
		string(access.CodeVisitorIDRequired), string(access.CodeVisitorIDUnused), string(access.CodeVisitorIDDecided),
		string(access.CodeKeyNotAvailable), string(access.CodeLockedDown), "wrong_panel_code", "no_free_slot", "panel_unreachable", "outcome_unknown",
		NoticePhotoMissing, "photo_too_large", "photo_too_many_pixels", "photo_unsupported", "photo_not_readable",
	}
)

// VisitPage shows what the visitor needs at the box (K3): code, times, whether the
// key can be picked up now and if not why, a way to open the box from the phone
// and, where it is asked for, to supply a photo ID (K7). It works without
// JavaScript. The way to return the key is there in every state (K8).
func VisitPage(w http.ResponseWriter, r *http.Request, v VisitView) {
	say, err := voice(r, v.Locale)
	if err != nil {
		fail(w, r, "visit", err)
		return
	}
	shown := v.content(say)
	if err := say.Err(); err != nil {
		fail(w, r, "visit", err)
		return
	}
	status := v.Notice.Status
	if status == 0 {
		status = http.StatusOK
	}
	page{template: "visit.html", status: status, styles: ownStyles, forms: true, language: say.Language(), data: shown}.show(w, r)
}

// VisitNotFoundPage says that a booking URL leads nowhere, with status 404.
func VisitNotFoundPage(w http.ResponseWriter, r *http.Request) { notFoundPage(w, r, "unknown_visit") }

type visitContent struct {
	Language string
	View     VisitView
	Badge    string
	Title    string
	Notice   string
	Good     bool
	Lead     []string
	Facts    []fact
	Labels   map[string]string
	PickUp   bool
	Upload   bool
}

func (v VisitView) content(say *wording.Voice) visitContent {
	c := visitContent{
		Language: say.Language(), View: v,
		Badge:  say.Say("visit."+string(v.State)+".badge", nil),
		Title:  say.Say("visit.title", v),
		Lead:   v.lead(say),
		Labels: map[string]string{},
		PickUp: v.Pickup.Allowed,
		Upload: !v.State.Over() && slices.Contains([]access.IDState{access.IDNeeded, access.IDSubmitted, access.IDRejected}, v.Document),
		Facts: []fact{
			{say.Say("fact.key", nil), v.KeyName},
			{say.Say("fact.property", nil), v.PropertyName},
			{say.Say("fact.starts", nil), instantOr(say, v.StartsAt, v.Zone, "fact.starts_now")},
			{say.Say("fact.ends", nil), instantOr(say, v.EndsAt, v.Zone, "fact.ends_never")},
		},
	}
	if v.AccessNotes != "" {
		c.Facts = append(c.Facts, fact{say.Say("fact.access_notes", nil), v.AccessNotes})
	}
	for _, label := range []string{"code", "code_hint", "number", "number_hint", "pickup", "pickup_button", "dropoff", "dropoff_button", "dropoff_hint",
		"box", "photo", "photo_hint", "photo_field", "photo_button"} {
		c.Labels[label] = say.Say("visit.label."+label, nil)
	}
	if v.State.Over() {
		c.Labels["code_hint"] = say.Say("visit.label.code_hint_over", nil)
	}
	if code := v.Notice.Code; code != "" {
		c.Good = slices.Contains(good, code)
		if !c.Good && !slices.Contains(visitRefusals, code) {
			code = noticeFailed
		}
		c.Notice = say.Say("visit.notice."+code, map[string]any{"Slot": v.Notice.Slot, "Starts": instantOr(say, v.StartsAt, v.Zone, "fact.starts_now")})
	}
	return c
}

// lead says where the visitor stands and what is next.
func (v VisitView) lead(say *wording.Voice) []string {
	data := map[string]string{"HostName": v.HostName, "Starts": instantOr(say, v.StartsAt, v.Zone, "fact.starts_now"), "Reason": v.IDReason}
	var lead []string
	add := func(id string) { lead = append(lead, say.Say("visit."+id, data)) }
	switch {
	case v.State.Over():
		add(string(v.State) + ".lead")
	case v.HasKey:
		add("has_key")
	case v.State == access.ReservationScheduled:
		add("scheduled.lead")
	case v.Pickup.Allowed:
		add("active.lead")
	case v.Pickup.Code == access.CodeLockedDown:
		add("locked_down")
	case v.Pickup.Code == access.CodeKeyNotAvailable:
		add("key_away")
	}
	if v.State.Over() {
		return lead
	}
	switch v.Document {
	case access.IDNeeded, access.IDSubmitted:
		add("document." + string(v.Document))
	case access.IDRejected:
		add("document.rejected")
		if v.IDReason != "" {
			add("document.reason")
		}
	case access.IDNotRequired, access.IDConfirmed:
	}
	return lead
}
