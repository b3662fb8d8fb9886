package web

import (
	"net/http"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify/wording"
)

// InvitationView is an invitation as its guest may see it through the link in the
// email. State is the state at this instant (T0). Instants are UTC; a zero
// StartsAt reads "now", a zero EndsAt "no end date". Zone is the property's. Locale is
// the guest's; if empty the browser's languages decide.
type InvitationView struct {
	State         access.InvitationState
	InviterName   string
	PropertyName  string
	EntranceNames []string
	StartsAt      time.Time
	EndsAt        time.Time
	ExpiresAt     time.Time
	Zone          *time.Location
	Locale        string

	// Path is the page's own address; its forms are sent to paths below it.
	Path string
	// SignedInAs is the address that the browser is signed in with, empty if none;
	// Theirs says whether it is the invited one (I3).
	SignedInAs string
	Theirs     bool
}

// InvitationPage shows who invites, to what, when, where the invitation stands and
// how it is answered. The status is 200 while there is something to answer or use
// and after declining, 410 once it has expired, was revoked or is over, and 404
// while it is still being made.
func InvitationPage(w http.ResponseWriter, r *http.Request, v InvitationView) {
	if v.State == access.InvitationCreating {
		InvitationNotFoundPage(w, r)
		return
	}
	say, err := voice(r, v.Locale)
	if err != nil {
		fail(w, r, "invitation", err)
		return
	}
	shown := v.content(say)
	if err := say.Err(); err != nil {
		fail(w, r, "invitation", err)
		return
	}
	page{
		template: "invitation.html", status: invitationStatus(v.State), styles: ownStyles, forms: shown.Ask != "",
		language: say.Language(), data: shown,
	}.show(w, r)
}

// InvitationNotFoundPage says that a link leads nowhere, with status 404. It does
// not tell a link that never was from one that was replaced (I5).
func InvitationNotFoundPage(w http.ResponseWriter, r *http.Request) { notFoundPage(w, r, "unknown") }

func invitationStatus(s access.InvitationState) int {
	switch s {
	case access.InvitationExpired, access.InvitationRevoked, access.InvitationEnded:
		return http.StatusGone
	case access.InvitationCreating:
		return http.StatusNotFound
	case access.InvitationInvited, access.InvitationAccepted, access.InvitationDeclined:
	}
	return http.StatusOK
}

// invitationContent is the page in the reader's language.
type invitationContent struct {
	Language string
	State    string // names the badge's colour
	Badge    string
	Title    string
	Facts    []fact
	Next     []string

	View   InvitationView
	Ask    string // what the guest can do: sign_in, answer, another or open; empty: nothing
	Labels map[string]string
}

// content says for each state what it means and what the guest can do.
func (v InvitationView) content(say *wording.Voice) invitationContent {
	section := string(v.State)
	c := invitationContent{
		Language: say.Language(),
		View:     v,
		Ask:      v.ask(),
		Labels:   map[string]string{},
		State:    section,
		Badge:    say.Say(section+".badge", nil),
		Title:    say.Say("title", v),
		Next:     []string{say.Say(section+".lead", v)},
		Facts: []fact{
			{say.Say("fact.inviter", nil), v.InviterName},
			{say.Say("fact.property", nil), v.PropertyName},
			{say.Count("fact.entrances", len(v.EntranceNames), nil), say.List(v.EntranceNames)},
			{say.Say("fact.starts", nil), instantOr(say, v.StartsAt, v.Zone, "fact.starts_now")},
			{say.Say("fact.ends", nil), instantOr(say, v.EndsAt, v.Zone, "fact.ends_never")},
		},
	}
	if v.State == access.InvitationInvited {
		c.Facts = append(c.Facts, fact{say.Say("fact.answer_by", nil), instantOr(say, v.ExpiresAt, v.Zone, "fact.ends_never")})
		c.Next = append(c.Next, say.Say("invited.address", v))
	}
	for _, label := range []string{"email", "send_code"} {
		c.Labels[label] = say.Say("sign_in.label."+label, nil)
	}
	for _, label := range []string{"accept", "decline", "sign_out"} {
		c.Labels[label] = say.Say("guest.label."+label, nil)
	}
	for _, label := range []string{"sign_in", "another", "open"} {
		c.Labels[label] = say.Say("answer."+label, v)
	}
	if v.State == access.InvitationExpired {
		c.Facts = append(c.Facts, fact{say.Say("fact.expired", nil), instantOr(say, v.ExpiresAt, v.Zone, "fact.ends_never")})
	}
	return c
}

// ask is what the page asks of whoever looks at it.
func (v InvitationView) ask() string {
	switch {
	case v.State != access.InvitationInvited && v.State != access.InvitationAccepted:
		return ""
	case v.SignedInAs == "":
		return "sign_in"
	case !v.Theirs:
		return "another"
	case v.State == access.InvitationInvited:
		return "answer"
	default:
		return "open"
	}
}
