package access

// EventTypes lists what an app can ask to be told of (E4). Tests of an endpoint are not
// asked for.
func EventTypes() []EventType {
	return []EventType{
		EventInvitationSent, EventInvitationAccepted, EventInvitationDeclined, EventInvitationExpired, EventInvitationEdited,
		EventInvitationRevoked, EventInvitationEnded, EventInvitationLeft,
		EventVerificationStarted, EventVerificationSucceeded, EventVerificationWrongEntrance, EventVerificationLapsing, EventVerificationLapsed,
		EventEntranceOpened, EventEntranceDenied, EventPassIssued,
		EventReservationCreated, EventReservationEdited, EventReservationRevoked, EventReservationEnded, EventInstructionsResent,
		EventReturnReminderSent,
		EventKeyPickedUp, EventKeyReturned, EventKeyLate, EventKeyMissing, EventKeyCorrected,
		EventVisitorIDNeeded, EventVisitorIDSubmitted, EventVisitorIDViewed, EventVisitorIDConfirmed, EventVisitorIDRejected,
		EventSlotOpened, EventSlotDenied,
		EventGrantConfirmed, EventGrantFailing, EventPanelEnrolled, EventPanelGap, EventPanelLockout,
		EventPanelOffline, EventPanelOnline, EventPanelTamper, EventPanelBatteryLow, EventPanelClockSkew,
		EventMessageSent, EventMessageFailed, EventMessageBounced, EventPolicyChanged, EventMemberRemoved,
	}
}
