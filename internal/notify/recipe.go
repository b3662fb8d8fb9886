package notify

import (
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify/wording"
)

// content is what a message says, in reading order and in the reader's language,
// before it is laid out. Text and HTML are two layouts of the same content, so
// they cannot differ in what they say.
type content struct {
	Language string
	Subject  string
	Greeting string
	Lead     string
	Code     string
	Facts    []fact
	Action   string // the label of Link
	Link     string
	LinkHint string
	Notes    []string
	Footer   string
}

// fact is one line of the table in the middle of a message.
type fact struct{ Label, Value string }

// writer puts content together for one reader.
type writer struct {
	*wording.Voice
	zone *time.Location
	data Data
}

// compose writes what all templates share and the template's own phrases and
// facts.
func (w writer) compose(t Template) content {
	section := string(t)
	c := content{
		Language: w.Language(),
		Subject:  shorten(w.Say(section+".subject", w.data), maxSubject),
		Lead:     w.Say(section+".lead", w.data),
		Footer:   w.Say("common.footer", w.data),
	}
	switch t {
	case access.TemplateInvitation:
		c.Greeting = w.greeting()
		c.Facts = w.facts(w.inviter, w.property, w.entrances, w.starts, w.ends, w.answerBy)
		c.Action, c.Link, c.LinkHint = w.Say("invitation.action", nil), w.data.AcceptURL, w.Say("common.link_hint", nil)
		c.Notes = w.notes("invitation.address", "invitation.stranger")
	case access.TemplateInvitationAccepted:
		c.Facts = w.facts(w.guest, w.property, w.entrances, w.starts, w.ends)
		c.Notes = w.notes("invitation_accepted.control")
	case access.TemplateInvitationDeclined:
		c.Facts = w.facts(w.guest, w.property, w.entrances)
		c.Notes = w.notes("invitation_declined.nothing_to_do")
	case access.TemplateInvitationExpired:
		c.Facts = w.facts(w.address, w.property, w.entrances, w.expired)
		c.Notes = w.notes("invitation_expired.again")
	case access.TemplateInvitationRevoked:
		c.Greeting = w.greeting()
		c.Facts = w.facts(w.property, w.entrances, w.reason)
		if w.data.InviterName != "" {
			c.Notes = w.notes("invitation_revoked.ask")
		}
	case access.TemplateEntranceUnlocked:
		c.Facts = w.facts(w.guest, w.entrance, w.property, w.opened)
		c.Notes = w.notes("entrance_unlocked.control")
	case access.TemplateVerificationRequired:
		c.Greeting = w.greeting()
		c.Facts = w.facts(w.property, w.entrances, w.reason)
		c.Notes = w.notes("verification_required.how", "verification_required.why")
	case access.TemplateSignInCode:
		c.Code = w.data.Code
		c.Footer = w.Say("common.footer_without_property", nil)
		c.Notes = append([]string{w.Count("sign_in_code.minutes", w.data.CodeMinutes, w.data)},
			w.notes("sign_in_code.unasked")...)
	case access.TemplateVerificationLapsing, access.TemplateInvitationChanged, access.TemplateInvitationLeft, access.TemplateInvitationsMoved,
		access.TemplateAccessRulesChanged:
		w.composeChange(&c, t)
	default:
		w.composeReservation(&c, t)
	}
	return c
}

// greeting is empty if there is no name to greet by.
func (w writer) greeting() string {
	if w.data.GuestName == "" {
		return ""
	}
	return w.Say("common.greeting", w.data)
}

func (w writer) notes(ids ...string) []string {
	notes := make([]string, 0, len(ids))
	for _, id := range ids {
		notes = append(notes, w.Say(id, w.data))
	}
	return notes
}

// facts leaves out what there is nothing to say about.
func (w writer) facts(parts ...func() fact) []fact {
	facts := make([]fact, 0, len(parts))
	for _, part := range parts {
		if f := part(); f.Value != "" {
			facts = append(facts, f)
		}
	}
	return facts
}

func (w writer) inviter() fact  { return fact{w.Say("fact.inviter", nil), w.data.InviterName} }
func (w writer) guest() fact    { return fact{w.Say("fact.guest", nil), w.data.Guest()} }
func (w writer) address() fact  { return fact{w.Say("fact.address", nil), w.data.GuestEmail} }
func (w writer) property() fact { return fact{w.Say("fact.property", nil), w.data.PropertyName} }
func (w writer) entrance() fact { return fact{w.Count("fact.entrances", 1, nil), w.data.EntranceName} }
func (w writer) reason() fact   { return fact{w.Say("fact.reason", nil), w.data.Reason} }

func (w writer) entrances() fact {
	return fact{w.Count("fact.entrances", len(w.data.EntranceNames), nil), w.List(w.data.EntranceNames)}
}

func (w writer) starts() fact {
	return fact{w.Say("fact.starts", nil), w.instantOr(w.data.StartsAt, "fact.starts_now")}
}

func (w writer) ends() fact {
	return fact{w.Say("fact.ends", nil), w.instantOr(w.data.EndsAt, "fact.ends_never")}
}

func (w writer) answerBy() fact {
	return fact{w.Say("fact.answer_by", nil), w.Instant(w.data.ExpiresAt, w.zone)}
}

func (w writer) expired() fact {
	return fact{w.Say("fact.expired", nil), w.Instant(w.data.ExpiresAt, w.zone)}
}

func (w writer) opened() fact {
	return fact{w.Say("fact.opened", nil), w.Instant(w.data.OpenedAt, w.zone)}
}

func (w writer) instantOr(at time.Time, id string) string {
	if at.IsZero() {
		return w.Say(id, nil)
	}
	return w.Instant(at, w.zone)
}
