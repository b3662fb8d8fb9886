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
		handle(http.MethodDelete, "/v1/properties/{id}", editDirectory, "Delete a property", (*service).deleteProperty),

		handle(http.MethodPost, "/v1/members", editDirectory, "Create a member", (*service).createMember, created),
		handle(http.MethodGet, "/v1/members", readDirectory, "List members", (*service).listMembers),
		handle(http.MethodGet, "/v1/members/{id}", readDirectory, "Get a member", (*service).getMember),
		handle(http.MethodPatch, "/v1/members/{id}", editDirectory, "Change a member", (*service).changeMember),
		handle(http.MethodDelete, "/v1/members/{id}", editDirectory, "Delete a member", (*service).deleteMember),

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

		handle(http.MethodPost, "/v1/api-keys", admin, "Create an API key", (*service).createAPIKey, created),
		handle(http.MethodGet, "/v1/api-keys", admin, "List API keys", (*service).listAPIKeys),
		handle(http.MethodGet, "/v1/api-keys/{id}", admin, "Get an API key", (*service).getAPIKey),
		handle(http.MethodPatch, "/v1/api-keys/{id}", admin, "Rename an API key or change its scopes", (*service).changeAPIKey),
		handle(http.MethodDelete, "/v1/api-keys/{id}", admin, "Delete an API key", (*service).deleteAPIKey),

		// Invitations

		// Guests
		handle(http.MethodPost, "/v1/sign-in/code", public, "Send a sign-in code", (*service).sendSignInCode, accepted),
		handle(http.MethodPost, "/v1/sign-in", public, "Sign in with the code", (*service).signIn),
		handle(http.MethodPost, "/v1/sign-out", session, "End this session", (*service).signOut),
		handle(http.MethodGet, "/v1/me/sessions", session, "List the sessions of the signed-in person", (*service).listSessions),

		// Events
		handle(http.MethodGet, "/v1/events", readEvents, "List events, newest first", (*service).listEvents),

		// Panels
	}
}
