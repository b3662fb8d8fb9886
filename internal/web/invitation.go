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
		template: "invitation.html", status: invitationStatus(v.State), styles: ownStyles,
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
}

// content says for each state what it means and what the guest can do.
func (v InvitationView) content(say *wording.Voice) invitationContent {
	section := string(v.State)
	c := invitationContent{
		Language: say.Language(),
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
	if v.State == access.InvitationExpired {
		c.Facts = append(c.Facts, fact{say.Say("fact.expired", nil), instantOr(say, v.ExpiresAt, v.Zone, "fact.ends_never")})
	}
	return c
}
