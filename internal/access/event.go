package access

// EventType names an entry of the event log and of webhooks (E3, E4).
type EventType string

// The event types that invitations, reservations, verification and panels produce.
const (
	EventInvitationSent     EventType = "invitation.sent"
	EventInvitationAccepted EventType = "invitation.accepted"
	EventInvitationDeclined EventType = "invitation.declined"
	EventInvitationExpired  EventType = "invitation.expired"
	EventInvitationEdited   EventType = "invitation.edited"
	EventInvitationRevoked  EventType = "invitation.revoked"
	EventInvitationEnded    EventType = "invitation.ended"
	EventInvitationLeft     EventType = "invitation.left" // the guest gave the access up (I17)

	EventVerificationStarted       EventType = "verification.started"
	EventVerificationSucceeded     EventType = "verification.succeeded"
	EventVerificationWrongEntrance EventType = "verification.wrong_entrance"
	EventVerificationLapsing       EventType = "verification.lapsing" // the warning (I11)
	EventVerificationLapsed        EventType = "verification.lapsed"

	EventEntranceOpened EventType = "entrance.opened"
	EventEntranceDenied EventType = "entrance.denied"
	EventPassIssued     EventType = "pass.issued" // P9

	EventReservationCreated EventType = "reservation.created"
	EventReservationEdited  EventType = "reservation.edited"
	EventReservationRevoked EventType = "reservation.revoked"
	EventReservationEnded   EventType = "reservation.ended"
	EventInstructionsResent EventType = "reservation.instructions_resent"
	EventReturnReminderSent EventType = "reminder.return_key_sent"

	EventKeyPickedUp  EventType = "key.picked_up"
	EventKeyReturned  EventType = "key.returned"
	EventKeyLate      EventType = "key.late"
	EventKeyMissing   EventType = "key.missing"   // out two hours before the next reservation begins (K13)
	EventKeyCorrected EventType = "key.corrected" // a host has said where a key is (K12)

	EventVisitorIDNeeded    EventType = "visitor_id.needed"
	EventVisitorIDSubmitted EventType = "visitor_id.submitted"
	EventVisitorIDViewed    EventType = "visitor_id.viewed"
	EventVisitorIDConfirmed EventType = "visitor_id.confirmed"
	EventVisitorIDRejected  EventType = "visitor_id.rejected"

	EventSlotOpened EventType = "slot.opened"
	EventSlotDenied EventType = "slot.denied"

	EventGrantConfirmed EventType = "grant.confirmed"
	EventGrantFailing   EventType = "grant.failing"
	EventPanelEnrolled  EventType = "panel.enrolled"
	EventPanelGap       EventType = "panel.gap"
	EventPanelLockout   EventType = "panel.lockout"

	EventPanelOffline    EventType = "panel.offline"
	EventPanelOnline     EventType = "panel.online"
	EventPanelTamper     EventType = "panel.tamper"
	EventPanelBatteryLow EventType = "panel.battery_low"
	EventPanelClockSkew  EventType = "panel.clock_skew" // its clock has gone wrong, or is right again

	EventMessageSent    EventType = "message.sent"
	EventMessageFailed  EventType = "message.failed"
	EventMessageBounced EventType = "message.bounced" // taken by a vendor and sent back
	EventPolicyChanged  EventType = "policy.changed"
	EventMemberRemoved  EventType = "member.removed"
	EventWebhookTest    EventType = "webhook.test" // only for the endpoint that is tested (E4)
)
