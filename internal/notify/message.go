package notify

import (
	"context"
	"fmt"
	"time"

	"latchkey/internal/access"
)

// Template names a kind of message; access.Notices says which change owes which.
type Template = access.Template

// Templates lists every template that Render knows.
func Templates() []Template {
	return []Template{
		access.TemplateInvitation,
		access.TemplateInvitationAccepted,
		access.TemplateInvitationDeclined,
		access.TemplateInvitationExpired,
		access.TemplateInvitationRevoked,
		access.TemplateEntranceUnlocked,
		access.TemplateVerificationRequired,
		access.TemplateVerificationLapsing,
		access.TemplateInvitationChanged,
		access.TemplateInvitationLeft,
		access.TemplateInvitationsMoved,
		access.TemplateAccessRulesChanged,
		access.TemplateSignInCode,
		access.TemplateAccessInstructions,
		access.TemplateAccessChanged,
		access.TemplateAccessRevoked,
		access.TemplateReturnKeyReminder,
		access.TemplateKeyLate,
		access.TemplateKeyLateHost,
		access.TemplateKeyMissing,
		access.TemplateVisitorIDNeeded,
		access.TemplateVisitorIDSubmitted,
		access.TemplateVisitorIDConfirmed,
		access.TemplateVisitorIDRejected,
		access.TemplatePanelLockout,
		access.TemplatePanelTamper,
	}
}

// Reaches says whether a kind of message can go by a channel. Everything can go by
// email. A sign-in code proves an address and an invitation is for one (I3), so
// neither goes to a number. Phones are notified of unlocks (I7).
func Reaches(c Channel, t Template) bool {
	switch c {
	case ChannelEmail:
		return true
	case ChannelSMS:
		return t != access.TemplateSignInCode && t != access.TemplateInvitation
	case ChannelPush:
		return t == access.TemplateEntranceUnlocked
	}
	return false
}

// Others are the channels that stand in for one, the best first. Nothing is moved to
// a phone's notifications: who wants those says so.
func Others(c Channel) []Channel {
	switch c {
	case ChannelPush:
		return []Channel{ChannelSMS, ChannelEmail}
	case ChannelSMS:
		return []Channel{ChannelEmail}
	case ChannelEmail:
		return []Channel{ChannelSMS}
	}
	return nil
}

// Texted lists the templates with an SMS of their own wording: those for visitors, who
// may have a number and no address (K1, K3). By SMS the others say their first
// sentence and their link.
func Texted() []Template {
	return []Template{
		access.TemplateAccessInstructions,
		access.TemplateAccessChanged,
		access.TemplateAccessRevoked,
		access.TemplateReturnKeyReminder,
		access.TemplateKeyLate,
		access.TemplateVisitorIDNeeded,
		access.TemplateVisitorIDConfirmed,
		access.TemplateVisitorIDRejected,
		access.TemplateAccessRulesChanged,
	}
}

// Channel is the way by which a message travels.
type Channel string

// The channels.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
	ChannelPush  Channel = "push"
)

// Message is what one person is told, ready to be sent. To is an address or
// number, Locale the BCP 47 tag of the language it is written in, At the instant
// (UTC) at which it was due. Links are the web addresses in it, in order.
//
// A push notification has its title in Subject and goes to a person, who may have
// several phones or none: To is the person's id.
type Message struct {
	ID       string
	To       string
	Channel  Channel
	Template Template
	Locale   string
	Subject  string
	Text     string
	HTML     string
	Links    []string
	At       time.Time

	// Unsubscribe is where a person switches messages of this kind off, if it is one
	// that they may do without: an unlock notice (I7). It goes into List-Unsubscribe.
	Unsubscribe string `json:",omitzero"`
	// Calendar is an entry for the reader's calendar, if the message is about a time
	// of theirs: an invitation for a window.
	Calendar string `json:",omitzero"`
}

// Sender gives a message to whoever delivers it. A message that was not sent is an
// error with a [Refusal] in it. Sends are at least once: a sender that returned an
// error may be asked again with the same Message.ID.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Repeatable is a sender that takes the same message twice as if it were once, so
// that nothing has to be remembered about a send that was cut off.
type Repeatable interface{ Repeatable() }

// Witness is a sender whose vendor can be asked, after the answer was lost,
// whether it has taken a message since an instant.
type Witness interface {
	Took(ctx context.Context, m Message, since time.Time) (bool, error)
}

// Senders are the configured senders. A channel without one is not used.
type Senders map[Channel]Sender

// Outbox keeps messages. Keeping one with an ID that is already kept changes
// nothing and is no error.
type Outbox interface {
	Keep(ctx context.Context, m Message) error
}

// OutboxSender is the sender of development: messages are kept to be read at
// /dev/outbox and leave the machine by no way.
type OutboxSender struct {
	Outbox Outbox
}

// Repeatable says that a message is kept once, however often it is sent.
func (OutboxSender) Repeatable() {}

// Send keeps the message.
func (s OutboxSender) Send(ctx context.Context, m Message) error {
	if err := s.Outbox.Keep(ctx, m); err != nil {
		return fmt.Errorf("keep message %s in the outbox: %w", m.ID, err)
	}
	return nil
}
