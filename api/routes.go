package api

import "net/http"

// routes is the API. Each line: method, path, who may call it, what it does, the
// function that answers, and where it departs from the rule. What is no call of
// the API (documentation, metrics) is in pages.go.
func (s *service) routes() []route {
	return []route{
		// Set-up resources
		handle(http.MethodPost, "/v1/properties", editDirectory, "Create a property", (*service).createProperty, created),
		handle(http.MethodGet, "/v1/properties", readDirectory, "List properties", (*service).listProperties),
		handle(http.MethodGet, "/v1/properties/{id}", readDirectory, "Get a property", (*service).getProperty),
		handle(http.MethodPatch, "/v1/properties/{id}", editDirectory, "Change a property or its policy", (*service).changeProperty),
		handle(http.MethodPost, "/v1/properties/{id}/lockdown", editDirectory, "Lock a property down, or lift that", (*service).lockDown),
		handle(http.MethodDelete, "/v1/properties/{id}", editDirectory, "Delete a property", (*service).deleteProperty),

		handle(http.MethodPost, "/v1/members", editDirectory, "Create a member", (*service).createMember, created),
		handle(http.MethodGet, "/v1/members", readDirectory, "List members", (*service).listMembers),
		handle(http.MethodGet, "/v1/members/{id}", readDirectory, "Get a member", (*service).getMember),
		handle(http.MethodPatch, "/v1/members/{id}", editDirectory, "Change a member", (*service).changeMember),
		handle(http.MethodDelete, "/v1/members/{id}", editDirectory, "Remove a member, or see what that would revoke", (*service).deleteMember, orNoContent),

		handle(http.MethodPost, "/v1/panels", editDirectory, "Create a panel and its enrolment code", (*service).createPanel, created),
		handle(http.MethodGet, "/v1/panels", readDirectory, "List panels", (*service).listPanels),
		handle(http.MethodGet, "/v1/panels/{id}", readDirectory, "Get a panel", (*service).getPanel),
		handle(http.MethodPatch, "/v1/panels/{id}", editDirectory, "Change a panel", (*service).changePanel),
		handle(http.MethodDelete, "/v1/panels/{id}", editDirectory, "Delete a panel", (*service).deletePanel),
		handle(http.MethodPost, "/v1/panels/{id}/enrolment-code", editDirectory, "Give a panel a new enrolment code", (*service).renewEnrolmentCode, created),
		handle(http.MethodPost, "/v1/panels/{id}/disown", editDirectory, "Stop trusting a panel", (*service).disownPanel),

		handle(http.MethodPost, "/v1/entrances", editDirectory, "Create an entrance", (*service).createEntrance, created),
		handle(http.MethodGet, "/v1/entrances", readDirectory, "List entrances", (*service).listEntrances),
		handle(http.MethodGet, "/v1/entrances/{id}", readDirectory, "Get an entrance", (*service).getEntrance),
		handle(http.MethodPatch, "/v1/entrances/{id}", editDirectory, "Change an entrance", (*service).changeEntrance),
		handle(http.MethodDelete, "/v1/entrances/{id}", editDirectory, "Delete an entrance", (*service).deleteEntrance),

		handle(http.MethodPost, "/v1/keys", editDirectory, "Add a key that lives in a SmartBox", (*service).createKey, created),
		handle(http.MethodGet, "/v1/keys", readDirectory, "List keys", (*service).listKeys),
		handle(http.MethodGet, "/v1/keys/{id}", readDirectory, "Get a key", (*service).getKey),
		handle(http.MethodPatch, "/v1/keys/{id}", editDirectory, "Change a key or where it lives", (*service).changeKey),
		handle(http.MethodDelete, "/v1/keys/{id}", editDirectory, "Delete a key that was never reserved", (*service).deleteKey),
		handle(http.MethodGet, "/v1/keys/{id}/custody", readReservations, "List who had the key, newest first", (*service).listCustody),
		handle(http.MethodPost, "/v1/keys/{id}/custody", editReservations, "Correct where the key is", (*service).correctCustody),

		handle(http.MethodPost, "/v1/api-keys", admin, "Create an API key", (*service).createAPIKey, created),
		handle(http.MethodGet, "/v1/api-keys", admin, "List API keys", (*service).listAPIKeys),
		handle(http.MethodGet, "/v1/api-keys/{id}", admin, "Get an API key", (*service).getAPIKey),
		handle(http.MethodPatch, "/v1/api-keys/{id}", admin, "Rename an API key or change its scopes", (*service).changeAPIKey),
		handle(http.MethodDelete, "/v1/api-keys/{id}", admin, "Delete an API key", (*service).deleteAPIKey),

		handle(http.MethodPost, "/v1/webhooks", admin, "Have events sent to an endpoint", (*service).createWebhook, created),
		handle(http.MethodGet, "/v1/webhooks", admin, "List webhooks", (*service).listWebhooks),
		handle(http.MethodGet, "/v1/webhooks/{id}", admin, "Get a webhook and how it does", (*service).getWebhook),
		handle(http.MethodPatch, "/v1/webhooks/{id}", admin, "Change where events are sent, and which", (*service).changeWebhook),
		handle(http.MethodDelete, "/v1/webhooks/{id}", admin, "Delete a webhook", (*service).deleteWebhook),
		handle(http.MethodPost, "/v1/webhooks/{id}/test", admin, "Send the endpoint a webhook.test event", (*service).testWebhook, accepted),
		handle(http.MethodPost, "/v1/webhooks/{id}/rotate-secret", admin, "Give a webhook a new secret; the old one is good for 24 hours more", (*service).rotateWebhookSecret),
		handle(http.MethodGet, "/v1/webhooks/{id}/deliveries", admin, "List what was or is to be sent, newest first", (*service).listDeliveries),
		handle(http.MethodPost, "/v1/webhooks/deliveries/{id}/replay", admin, "Send an event again", (*service).replayDelivery),
		handle(http.MethodPost, "/v1/webhooks/{id}/deliveries/{delivery_id}/replay", admin, "Send an event again", (*service).replayWebhookDelivery),

		// Invitations
		handle(http.MethodPost, "/v1/invitations", editInvitations, "Invite a guest to entrances", (*service).createInvitation, created),
		handle(http.MethodGet, "/v1/invitations", readInvitations, "List invitations, newest first", (*service).listInvitations),
		handle(http.MethodGet, "/v1/invitations/{id}", readInvitations, "Get an invitation", (*service).getInvitation),
		handle(http.MethodPatch, "/v1/invitations/{id}", editInvitations, "Change window, entrances or a mistyped address", (*service).changeInvitation),
		handle(http.MethodPost, "/v1/invitations/{id}/resend", editInvitations, "Send the invitation again", (*service).resendInvitation),
		handle(http.MethodPost, "/v1/invitations/{id}/revoke", editInvitations, "Remove the guest", (*service).revokeInvitation),
		handle(http.MethodPost, "/v1/invitations/{id}/accept", editInvitations, "Accept for a guest whom the app has signed in", (*service).acceptInvitation),
		handle(http.MethodPost, "/v1/invitations/{id}/decline", editInvitations, "Decline for a guest whom the app has signed in", (*service).declineInvitation),
		handle(http.MethodPost, "/v1/invitations/{id}/unlock", unlock, "Unlock an entrance", (*service).unlockInvitation, claimsItself),
		handle(http.MethodPost, "/v1/invitations/{id}/verification", unlock, "Get a tap token for on-site verification", (*service).startVerification, created),
		handle(http.MethodGet, "/v1/invitations/{id}/verification", readInvitations, "Get the latest verification attempt", (*service).getVerification),
		handle(http.MethodPost, "/v1/invitations/{id}/verification/require", editInvitations, "Make the guest verify again", (*service).requireVerification),

		// Reservations
		handle(http.MethodGet, "/v1/keys/{id}/visitors", readReservations, "List the reservations of a key, newest first", (*service).listKeyVisitors),
		handle(http.MethodPost, "/v1/reservations", editReservations, "Reserve a key for a visitor", (*service).createReservation, created),
		handle(http.MethodGet, "/v1/reservations", readReservations, "List reservations, newest first", (*service).listReservations),
		handle(http.MethodGet, "/v1/reservations/{id}", readReservations, "Get a reservation", (*service).getReservation),
		handle(http.MethodPatch, "/v1/reservations/{id}", editReservations, "Change times, reminder, photo ID or notes", (*service).changeReservation),
		handle(http.MethodGet, "/v1/reservations/{id}/details", readReservations, "Get code, URL and all details as text", (*service).reservationDetails),
		handle(http.MethodPost, "/v1/reservations/{id}/resend", editReservations, "Send the access instructions again", (*service).resendReservation),
		handle(http.MethodPost, "/v1/reservations/{id}/revoke", editReservations, "End picking up", (*service).revokeReservation),
		handle(http.MethodGet, "/v1/reservations/{id}/photo-id", editReservations, "Look at the visitor's photo ID", (*service).getVisitorID, picture),
		handle(http.MethodPost, "/v1/reservations/{id}/id-check", editReservations, "Confirm or reject the visitor's photo ID", (*service).checkVisitorID),
		handle(http.MethodPost, "/v1/reservations/{id}/pickup", unlock, "Open the slot of the key", (*service).pickUp, claimsItself),
		handle(http.MethodPost, "/v1/reservations/{id}/dropoff", unlock, "Open a free slot to return the key", (*service).dropOff, claimsItself),

		// Visitors, by the secret of the booking URL
		handle(http.MethodGet, "/v1/visits/{token}", public, "See a reservation as its visitor", (*service).getVisit),
		handle(http.MethodPost, "/v1/visits/{token}/pickup", public, "Open the slot of the key", (*service).visitPickUp, claimsItself),
		handle(http.MethodPost, "/v1/visits/{token}/dropoff", public, "Open a free slot to return the key", (*service).visitDropOff, claimsItself),
		handle(http.MethodPut, "/v1/visits/{token}/photo-id", public, "Supply a photo ID", (*service).putVisitorID, photograph),

		// Guests
		handle(http.MethodPost, "/v1/sign-in/code", public, "Send a sign-in code", (*service).sendSignInCode, accepted),
		handle(http.MethodPost, "/v1/sign-in", public, "Sign in with the code", (*service).signIn),
		handle(http.MethodPost, "/v1/sign-out", session, "End this session", (*service).signOut),
		handle(http.MethodGet, "/v1/me/sessions", session, "List the sessions of the signed-in person", (*service).listSessions),
		handle(http.MethodGet, "/v1/me/invitations", session, "List the invitations to the signed-in address", (*service).listMyInvitations),
		handle(http.MethodPost, "/v1/me/invitations/{id}/accept", session, "Accept an invitation", (*service).acceptMyInvitation),
		handle(http.MethodPost, "/v1/me/invitations/{id}/decline", session, "Decline an invitation", (*service).declineMyInvitation),
		handle(http.MethodGet, "/v1/me/guest-keys", session, "List locations with their shared entrances", (*service).listGuestKeys),
		handle(http.MethodPost, "/v1/me/guest-keys/{id}/unlock", session, "Unlock an entrance", (*service).unlockGuestKey, claimsItself),
		handle(http.MethodPost, "/v1/me/guest-keys/{id}/verification", session, "Get a tap token for on-site verification", (*service).startGuestVerification, created),
		handle(http.MethodPut, "/v1/me/device", session, "Set the key of this session's phone", (*service).putDevice),
		handle(http.MethodGet, "/v1/me/guest-keys/{id}/pass", session, "Get an offline pass for this session's phone", (*service).getGuestPass),
		handle(http.MethodGet, "/v1/me/guest-keys/{id}/verification", session, "Get the latest verification attempt", (*service).getGuestVerification),
		handle(http.MethodPost, "/v1/me/guest-keys/{id}/leave", session, "Give up the access", (*service).leaveGuestKey),

		// Members' phones
		handle(http.MethodGet, "/v1/me/push-subscription", session, "Get the key to subscribe for and whether this phone is notified", (*service).getPushSubscription),
		handle(http.MethodPut, "/v1/me/push-subscription", session, "Notify this phone of unlocks", (*service).putPushSubscription),
		handle(http.MethodDelete, "/v1/me/push-subscription", session, "Stop notifying this phone", (*service).deletePushSubscription),

		// Vendors
		handle(http.MethodPost, "/hooks/sendgrid/events", public, "SendGrid reports what became of emails", (*service).sendGridEvents, unkeyed, signedBody),

		// Events
		handle(http.MethodGet, "/v1/events", readEvents, "List events, newest first", (*service).listEvents),
		handle(http.MethodGet, "/v1/explain", readItems, "Why? Whether access would be given at any instant, and the rule that decides", (*service).why),

		// Panels
		handle(http.MethodPost, "/panel/v1/enrol", public, "A panel enrols", (*service).enrolPanel, unkeyed, signed),
		handle(http.MethodPost, "/panel/v1/events", public, "A panel reports events", (*service).panelEvents, unkeyed, signed),
		handle(http.MethodPost, "/panel/v1/taps", public, "A phone was held to a panel", (*service).panelTap, unkeyed, signed),
		handle(http.MethodGet, "/panel/v1/commands", public, "A panel that cannot be reached fetches its messages", (*service).panelPoll, longPoll, signed),
		handle(http.MethodPost, "/panel/v1/answers", public, "A panel answers messages that it has fetched", (*service).panelAnswers, unkeyed, signed),
		handle(http.MethodPost, "/panel/v1/sync", public, "A panel asks for everything it should hold", (*service).panelSync, unkeyed, signed),
	}
}
