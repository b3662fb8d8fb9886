package api_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// lobby is an entrance of the property that can be shared.
func (e *engine) lobby(property string) string {
	e.t.Helper()
	return e.call(http.MethodPost, "/v1/entrances", e.key, object{
		"property_id": property, "panel_id": e.panel(property), "name": "Lobby", "shareable": true,
	}).want(http.StatusCreated).text("id")
}

// invited is an invitation that its workflow has recorded: no workflow runs here.
func (e *engine) invited(property, entrance string) access.Invitation {
	e.t.Helper()
	key, err := e.store.Authenticate(e.t.Context(), e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	inv, err := e.store.ClaimInvitation(e.t.Context(), store.NewInvitation{
		AccountID: key.AccountID, PropertyID: property, EntranceIDs: []string{entrance},
		Inviter: directory.Person{Name: "Rosa", Email: "rosa@example.com"},
		Guest:   directory.Person{Name: "Ana", Email: "ana@example.com", Locale: "en"},
	}, nil, time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	return e.recorded(inv, func(inv *access.Invitation, now time.Time) error { inv.Send(now); return nil })
}

// recorded does as the invitation's workflow does.
func (e *engine) recorded(inv access.Invitation, change func(*access.Invitation, time.Time) error) access.Invitation {
	e.t.Helper()
	now := time.Now()
	if err := change(&inv, now); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.store.RecordInvitation(e.t.Context(), inv, now); err != nil {
		e.t.Fatal(err)
	}
	inv.Confirm(inv.Revision)
	return inv
}

// why asks; name and value follow each other.
func (e *engine) why(token string, query ...string) *answer {
	e.t.Helper()
	values := url.Values{}
	for n := 0; n < len(query); n += 2 {
		values.Set(query[n], query[n+1])
	}
	return e.call(http.MethodGet, "/v1/explain?"+values.Encode(), token, nil)
}

// answers fails unless the explanation gives the code (none: allowed) by the rule.
func (a *answer) answers(code, rule string) *answer {
	a.t.Helper()
	a.want(http.StatusOK)
	var want any
	if code != "" {
		want = code
	}
	if a.JSON["allowed"] != (code == "") || a.JSON["code"] != want || a.JSON["rule"] != rule || a.text("detail") == "" {
		a.t.Errorf("got %s, want code %q by %s", a.body, code, rule)
	}
	return a
}

func rfc(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// E5: of an invitation, for any instant: what held then for the past, what holds
// now for the present and the future.
func TestE5WhyOfAnInvitation(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	lobby := e.lobby(property)
	before := time.Now()
	inv := e.invited(property, lobby)
	ask := func(query ...string) *answer {
		return e.why(e.key, append([]string{"item_id", inv.ID, "entrance_id", lobby}, query...)...)
	}
	policy := func(change object) {
		e.call(http.MethodPatch, "/v1/properties/"+property, e.key, object{"policy": change}).want(http.StatusOK)
	}
	unanswered := time.Now()
	policy(object{"verification": "on_site"})
	inv = e.recorded(inv, (*access.Invitation).Accept)
	a := ask().answers("verification_required", "I9")
	if a.text("item_id") != inv.ID || a.text("entrance_id") != lobby || a.text("op") != "unlock" || a.JSON["from"] != nil || a.JSON["key_id"] != nil {
		t.Errorf("the answer is about %s", a.body)
	}
	ask("op", "tap").answers("", "I1")
	e.call(http.MethodPost, "/v1/invitations/"+inv.ID+"/unlock", e.key, object{"entrance_id": lobby}).refused(http.StatusForbidden, "verification_required")
	unverified := time.Now()
	policy(object{"verification": "none"})
	open := time.Now()
	policy(object{"sharing_enabled": false})
	ask().answers("not_shared", "I12")
	policy(object{"sharing_enabled": true})
	e.call(http.MethodPatch, "/v1/entrances/"+lobby, e.key, object{"schedules": []object{{"days": []string{"mon"}, "from": "08:00", "to": "09:00"}}}).want(http.StatusOK)
	monday := time.Date(2035, 1, 1, 7, 30, 0, 0, time.UTC)
	closed := ask("at", "2035-01-02T10:00:00+01:00").answers("outside_schedule", "I12")
	if at, from := closed.text("at"), closed.text("from"); at != "2035-01-02T09:00:00Z" || from != "2035-01-08T07:00:00Z" {
		t.Errorf("closed at %s until %s", at, from)
	}
	ask("at", rfc(monday)).answers("", "I7")
	e.recorded(inv, func(inv *access.Invitation, now time.Time) error { return inv.Revoke(now, "", "") })

	ask().answers("not_active", "I13")
	ask("at", rfc(monday)).answers("not_active", "I13")
	ask("at", rfc(before)).answers("not_active", "I1")
	ask("at", "0001-01-01T00:00:00Z").answers("not_active", "I1")
	ask("at", rfc(unanswered)).answers("not_active", "I4")
	ask("at", rfc(unverified)).answers("verification_required", "I9")
	ask("at", rfc(open)).answers("", "I7")
	e.why(e.key, "item_id", inv.ID, "entrance_id", e.lobby(property), "at", rfc(open)).answers("not_shared", "I1")

	events := e.call(http.MethodGet, "/v1/events?type=entrance.denied&item_id="+inv.ID, e.key, nil).want(http.StatusOK).items()
	if len(events) != 1 {
		t.Fatalf("%d refusals in the log", len(events))
	}
	denied, _ := events[0].(object)
	at, _ := denied["at"].(string)
	ask("at", at).answers(denied["code"].(string), denied["rule"].(string))
}

// E5, K8: of a reservation, whose key may be named.
func TestE5WhyOfAReservation(t *testing.T) {
	e := start(t)
	f := e.flat()
	start := time.Now().Add(time.Hour).Truncate(time.Second)
	end := start.Add(4 * time.Hour)
	before := time.Now()
	r := e.reserved(f, access.Window{Start: start, End: end}, nil)
	ask := func(query ...string) *answer { return e.why(e.key, append([]string{"item_id", r.ID}, query...)...) }
	early := ask("key_id", f.key).answers("outside_window", "K1")
	if early.text("key_id") != f.key || early.text("op") != "pickup" || early.text("from") == "" || early.JSON["entrance_id"] != nil {
		t.Errorf("the answer is about %s", early.body)
	}
	ask("op", "dropoff").answers("", "K8")
	ask("at", rfc(start.Add(time.Second))).answers("", "K3")
	ask("at", rfc(end)).answers("reservation_ended", "K8")
	ask("at", rfc(before), "op", "dropoff").answers("not_active", "K1")
	there := time.Now()
	e.call(http.MethodPost, "/v1/keys/"+f.key+"/custody", e.key, object{"state": "unknown", "reason": "Not in the box."}).want(http.StatusOK)
	ask("at", rfc(start.Add(time.Second))).answers("key_not_available", "K12")
	ask("at", rfc(there)).answers("outside_window", "K1")
}

// E5, E6: what cannot be asked is refused with the parameter to change.
func TestE5BadQuestions(t *testing.T) {
	e := start(t)
	f := e.flat()
	lobby := e.lobby(f.property)
	inv, r := e.invited(f.property, lobby).ID, e.reserved(f, access.Window{}, nil).ID
	another := e.call(http.MethodPost, "/v1/keys", e.key, object{"property_id": f.property, "name": "Flat 4", "panel_id": f.box, "slot": 2}).
		want(http.StatusCreated).text("id")
	for location, query := range map[string][][]string{
		"query.item_id":     {{"entrance_id", lobby}},
		"query.entrance_id": {{"item_id", inv}, {"item_id", r, "entrance_id", lobby}},
		"query.key_id":      {{"item_id", inv, "entrance_id", lobby, "key_id", f.key}, {"item_id", r, "key_id", another}},
		"query.op": {{"item_id", inv, "entrance_id", lobby, "op", "pickup"}, {"item_id", r, "op", "unlock"}, {"item_id", r, "op", "tap"},
			{"item_id", r, "op", "burgle"}},
		"query.at": {{"item_id", r, "at", "yesterday"}, {"item_id", r, "at", "2026-12-01"}, {"item_id", r, "at", "2026-12-01T15:00"}},
	} {
		for _, q := range query {
			e.why(e.key, q...).refused(http.StatusUnprocessableEntity, "invalid").blames(location)
		}
	}
	for _, q := range [][]string{
		{"item_id", "inv_none", "entrance_id", lobby}, {"item_id", "res_none"}, {"item_id", "prop_none"},
		{"item_id", inv, "entrance_id", "ent_none"}, {"item_id", r, "key_id", "key_none"},
		{"item_id", inv, "entrance_id", "ent_none", "at", "2020-01-01T00:00:00Z"},
	} {
		e.why(e.key, q...).refused(http.StatusNotFound, "not_found")
	}
}

// E5, E8: another account's ids are not found, and a key of one kind of item does
// not read the other.
func TestE5WhoMayAsk(t *testing.T) {
	e := start(t)
	f := e.flat()
	lobby := e.lobby(f.property)
	inv, r := e.invited(f.property, lobby).ID, e.reserved(f, access.Window{}, nil).ID
	past := rfc(time.Now())
	stranger := e.account("Second")
	for _, at := range []string{past, rfc(time.Now().Add(time.Hour))} {
		e.why(stranger, "item_id", inv, "entrance_id", lobby, "at", at).refused(http.StatusNotFound, "not_found")
		e.why(stranger, "item_id", r, "at", at).refused(http.StatusNotFound, "not_found")
		e.why(stranger, "item_id", r, "key_id", f.key, "at", at).refused(http.StatusNotFound, "not_found")
	}
	first := e.key
	e.key = stranger
	theirs := e.lobby(e.property("Casa")) // the stranger's
	e.key = first
	for _, at := range []string{past, rfc(time.Now().Add(time.Hour))} {
		e.why(e.key, "item_id", inv, "entrance_id", theirs, "at", at).refused(http.StatusNotFound, "not_found")
	}
	for scope, may := range map[string][2]int{
		"read": {200, 200}, "invitations": {200, 403}, "reservations": {403, 200}, "unlock": {403, 403}, "directory": {403, 403},
	} {
		key := e.call(http.MethodPost, "/v1/api-keys", e.key, object{"name": "x", "scopes": []string{scope}}).want(http.StatusCreated).text("secret")
		e.why(key, "item_id", inv, "entrance_id", lobby).want(may[0])
		e.why(key, "item_id", r).want(may[1])
	}
}
