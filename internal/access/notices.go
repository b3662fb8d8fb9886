package access

// Party is the person whom a message is for, by their part in an item.
type Party string

// The parties of an invitation and of a reservation.
const (
	PartyGuest   Party = "guest"
	PartyInviter Party = "inviter"
	PartyVisitor Party = "visitor"
	PartyHost    Party = "host"
)

// Template names a kind of message.
type Template string

// The messages of an invitation's life, of a reservation's, and of signing in.
const (
	TemplateInvitation           Template = "invitation"
	TemplateInvitationAccepted   Template = "invitation_accepted"
	TemplateInvitationDeclined   Template = "invitation_declined"
	TemplateInvitationExpired    Template = "invitation_expired"
	TemplateInvitationRevoked    Template = "invitation_revoked"
	TemplateEntranceUnlocked     Template = "entrance_unlocked"
	TemplateVerificationRequired Template = "verification_required"
	TemplateVerificationLapsing  Template = "verification_lapsing" // I11
	TemplateInvitationChanged    Template = "invitation_changed"   // new entrances or times (I14)
	TemplateInvitationLeft       Template = "invitation_left"      // to the inviter (I17)
	TemplateInvitationsMoved     Template = "invitations_moved"    // to who takes over from a removed member (I17)
	TemplateAccessRulesChanged   Template = "access_rules_changed" // to all whom a change of the property concerns (I12)
	TemplateSignInCode           Template = "sign_in_code"

	TemplateAccessInstructions Template = "access_instructions"  // code and URL (K3, K11)
	TemplateAccessChanged      Template = "access_changed"       // new times (K5)
	TemplateAccessRevoked      Template = "access_revoked"       // K10
	TemplateReturnKeyReminder  Template = "return_key_reminder"  // K6
	TemplateKeyLate            Template = "key_late"             // to the visitor (K13)
	TemplateKeyLateHost        Template = "key_late_host"        // K13
	TemplateKeyMissing         Template = "key_missing"          // to the host of the next reservation (K13)
	TemplateVisitorIDNeeded    Template = "visitor_id_needed"    // K7
	TemplateVisitorIDSubmitted Template = "visitor_id_submitted" // to the host, who reviews it (K7)
	TemplateVisitorIDConfirmed Template = "visitor_id_confirmed" // K7
	TemplateVisitorIDRejected  Template = "visitor_id_rejected"  // K7
	TemplatePanelLockout       Template = "panel_lockout"        // to the manager (P7)
)

// Notice is a message that a change owes to a person.
type Notice struct {
	To       Party
	Template Template
}

// Notices says who is told what about a change: the guest of a new or revoked
// invitation (I2, I13), of an edit (I14), of a demand to verify again (I10) and before
// it comes by itself (I11), the inviter of an answer (I4), of silence (I5), of an
// opened door (I7) and of a guest who has left (I17); the visitor of all that
// changes for them (K3, K5, K6, K7, K10), both of a late key (K13), the host of what
// waits for them (K7) or will be missing (K13).
func Notices(t EventType) []Notice { return notices[t] }

var notices = map[EventType][]Notice{
	EventInvitationSent:     {{PartyGuest, TemplateInvitation}},
	EventInvitationAccepted: {{PartyInviter, TemplateInvitationAccepted}},
	EventInvitationDeclined: {{PartyInviter, TemplateInvitationDeclined}},
	EventInvitationExpired:  {{PartyInviter, TemplateInvitationExpired}},
	EventInvitationRevoked:  {{PartyGuest, TemplateInvitationRevoked}},
	EventEntranceOpened:     {{PartyInviter, TemplateEntranceUnlocked}},
	EventVerificationLapsed: {{PartyGuest, TemplateVerificationRequired}},

	EventInvitationEdited:    {{PartyGuest, TemplateInvitationChanged}},
	EventInvitationLeft:      {{PartyInviter, TemplateInvitationLeft}},
	EventVerificationLapsing: {{PartyGuest, TemplateVerificationLapsing}},

	EventReservationCreated: {{PartyVisitor, TemplateAccessInstructions}},
	EventInstructionsResent: {{PartyVisitor, TemplateAccessInstructions}},
	EventReservationEdited:  {{PartyVisitor, TemplateAccessChanged}},
	EventReservationRevoked: {{PartyVisitor, TemplateAccessRevoked}},
	EventReturnReminderSent: {{PartyVisitor, TemplateReturnKeyReminder}},
	EventKeyLate:            {{PartyVisitor, TemplateKeyLate}, {PartyHost, TemplateKeyLateHost}},
	EventKeyMissing:         {{PartyHost, TemplateKeyMissing}},
	EventVisitorIDNeeded:    {{PartyVisitor, TemplateVisitorIDNeeded}},
	EventVisitorIDSubmitted: {{PartyHost, TemplateVisitorIDSubmitted}},
	EventVisitorIDConfirmed: {{PartyVisitor, TemplateVisitorIDConfirmed}},
	EventVisitorIDRejected:  {{PartyVisitor, TemplateVisitorIDRejected}},
}
