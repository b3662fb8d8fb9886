package access

// EventType names an entry of the event log and of webhooks (E3, E4).
type EventType string

// The event types that invitations, verification and panels produce.
const (
	EventInvitationSent     EventType = "invitation.sent"
	EventInvitationAccepted EventType = "invitation.accepted"
	EventInvitationDeclined EventType = "invitation.declined"
	EventInvitationExpired  EventType = "invitation.expired"
	EventInvitationEdited   EventType = "invitation.edited"
	EventInvitationRevoked  EventType = "invitation.revoked"
	EventInvitationEnded    EventType = "invitation.ended"

	EventVerificationStarted       EventType = "verification.started"
	EventVerificationSucceeded     EventType = "verification.succeeded"
	EventVerificationWrongEntrance EventType = "verification.wrong_entrance"
	EventVerificationLapsed        EventType = "verification.lapsed"

	EventEntranceOpened EventType = "entrance.opened"
	EventEntranceDenied EventType = "entrance.denied"

	EventGrantConfirmed EventType = "grant.confirmed"
	EventGrantFailing   EventType = "grant.failing"
	EventPanelEnrolled  EventType = "panel.enrolled"
	EventPanelGap       EventType = "panel.gap"
	EventMessageSent    EventType = "message.sent"
	EventMessageFailed  EventType = "message.failed"
	EventPolicyChanged  EventType = "policy.changed"
)
