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
	}
}

// Texted lists the templates that can go by SMS: those for visitors, who may have a
// number and no address (K1, K3).
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
}

// Sender gives a message to whoever delivers it. Sends are at least once: a
// sender that returned an error is asked again with the same Message.ID.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

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

// Send keeps the message.
func (s OutboxSender) Send(ctx context.Context, m Message) error {
	if err := s.Outbox.Keep(ctx, m); err != nil {
		return fmt.Errorf("keep message %s in the outbox: %w", m.ID, err)
	}
	return nil
}
