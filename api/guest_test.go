package api_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// accepted is an invitation to an entrance that the guest has accepted, as its
// workflow has recorded it: no workflow runs here.
func (e *engine) accepted(property, entrance, guest string, window access.Window) access.Invitation {
	e.t.Helper()
	key, err := e.store.Authenticate(e.t.Context(), e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	i, err := e.store.ClaimInvitation(e.t.Context(), store.NewInvitation{
		AccountID: key.AccountID, PropertyID: property, EntranceIDs: []string{entrance}, Window: window,
		Inviter: directory.Person{Name: "Rosa", Email: "rosa@example.com"}, Guest: directory.Person{Name: "Ana", Email: guest, Locale: "en"},
	}, nil, time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	i.Send(time.Now())
	if err := i.Accept(time.Now()); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.store.RecordInvitation(e.t.Context(), i, time.Now()); err != nil {
		e.t.Fatal(err)
	}
	return i
}

// I6, I8, I15: the guest sees their locations with every entrance, how to find it,
// and whether it opens now and if not why and from when; no history, and nothing of
// another guest.
func TestI6GuestKeys(t *testing.T) {
	e := start(t)
	token, stranger := e.signIn("ana@example.com"), e.signIn("max@example.com")
	property := e.property("Casa Azul")
	entrance := e.call(http.MethodPost, "/v1/entrances", e.key, object{
		"property_id": property, "panel_id": e.panel(property), "name": "Lobby", "directions": "The glass door.", "shareable": true,
	}).want(http.StatusCreated).text("id")
	begins := time.Now().Add(24 * time.Hour).Truncate(time.Second).UTC()
	mine := e.accepted(property, entrance, "ana@example.com", access.Window{Start: begins})
	e.accepted(property, entrance, "max@example.com", access.Window{})

	places := e.call(http.MethodGet, "/v1/me/guest-keys", token, nil).want(http.StatusOK).items()
	if len(places) != 1 || places[0].(object)["name"] != "Casa Azul" {
		t.Fatalf("the locations are %v", places)
	}
	invitations := places[0].(object)["invitations"].([]any)
	if len(invitations) != 1 || invitations[0].(object)["invitation_id"] != mine.ID {
		t.Fatalf("the invitations there are %v", invitations)
	}
	door := invitations[0].(object)["entrances"].([]any)[0].(object)
	if door["entrance_id"] != entrance || door["directions"] != "The glass door." || door["can_unlock"] != false ||
		door["reason"] != "outside_window" || door["from"] != begins.Format(time.RFC3339) {
		t.Errorf("the entrance is %v", door)
	}
	if n := len(e.call(http.MethodGet, "/v1/me/invitations", token, nil).want(http.StatusOK).items()); n != 1 {
		t.Errorf("%d invitations are hers", n)
	}
	e.call(http.MethodPost, "/v1/me/guest-keys/"+mine.ID+"/unlock", token, object{"entrance_id": entrance}).refused(http.StatusForbidden, "outside_window")
	e.call(http.MethodPost, "/v1/me/guest-keys/"+mine.ID+"/unlock", stranger, object{"entrance_id": entrance}).refused(http.StatusNotFound, "not_found")
	e.call(http.MethodGet, "/v1/events", token, nil).refused(http.StatusUnauthorized, "unauthorized")
	history := e.call(http.MethodGet, "/v1/events?type=entrance.denied&entrance_id="+entrance, e.key, nil).want(http.StatusOK).items()
	if len(history) != 1 || history[0].(object)["item_id"] != mine.ID || history[0].(object)["code"] != "outside_window" {
		t.Errorf("the history of the entrance is %v", history)
	}
}
