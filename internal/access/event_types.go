package access

// EventTypes lists what an app can ask to be told of (E4). Tests of an endpoint are not
// asked for.
func EventTypes() []EventType {
	return []EventType{
		EventInvitationSent, EventInvitationAccepted, EventInvitationDeclined, EventInvitationExpired, EventInvitationEdited,
		EventInvitationRevoked, EventInvitationEnded,
		EventVerificationStarted, EventVerificationSucceeded, EventVerificationWrongEntrance, EventVerificationLapsed,
		EventEntranceOpened, EventEntranceDenied,
		EventReservationCreated, EventReservationEdited, EventReservationRevoked, EventReservationEnded, EventInstructionsResent,
		EventReturnReminderSent,
		EventKeyPickedUp, EventKeyReturned, EventKeyLate, EventKeyMissing, EventKeyCorrected,
		EventVisitorIDNeeded, EventVisitorIDSubmitted, EventVisitorIDViewed, EventVisitorIDConfirmed, EventVisitorIDRejected,
		EventSlotOpened, EventSlotDenied,
		EventGrantConfirmed, EventGrantFailing, EventPanelEnrolled, EventPanelGap, EventPanelLockout,
		EventMessageSent, EventMessageFailed, EventPolicyChanged,
	}
}
