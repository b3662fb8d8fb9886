package access

// Party is the person whom a message is for, by their part in an item.
type Party string

// The parties of an invitation.
const (
	PartyGuest   Party = "guest"
	PartyInviter Party = "inviter"
)

// Template names a kind of message.
type Template string

// The messages of an invitation's life and of signing in.
const (
	TemplateInvitation           Template = "invitation"
	TemplateInvitationAccepted   Template = "invitation_accepted"
	TemplateInvitationDeclined   Template = "invitation_declined"
	TemplateInvitationExpired    Template = "invitation_expired"
	TemplateInvitationRevoked    Template = "invitation_revoked"
	TemplateEntranceUnlocked     Template = "entrance_unlocked"
	TemplateVerificationRequired Template = "verification_required"
	TemplateSignInCode           Template = "sign_in_code"
)

// Notice is a message that a change owes to a person.
type Notice struct {
	To       Party
	Template Template
}

// Notices says who is told what about a change: the guest of a new or revoked
// invitation (I2, I13) and of a demand to verify again (I10), the inviter of an
// answer (I4), of silence (I5) and of an opened door (I7).
func Notices(t EventType) []Notice {
	notice, ok := notices[t]
	if !ok {
		return nil
	}
	return []Notice{notice}
}

var notices = map[EventType]Notice{
	EventInvitationSent:     {PartyGuest, TemplateInvitation},
	EventInvitationAccepted: {PartyInviter, TemplateInvitationAccepted},
	EventInvitationDeclined: {PartyInviter, TemplateInvitationDeclined},
	EventInvitationExpired:  {PartyInviter, TemplateInvitationExpired},
	EventInvitationRevoked:  {PartyGuest, TemplateInvitationRevoked},
	EventEntranceOpened:     {PartyInviter, TemplateEntranceUnlocked},
	EventVerificationLapsed: {PartyGuest, TemplateVerificationRequired},
}
