package api_test

import (
	"fmt"
	"net/http"
	"testing"
)

// property creates a property and gives its id.
func (e *engine) property(name string) string {
	e.t.Helper()
	return e.call(http.MethodPost, "/v1/properties", e.key, object{"name": name, "time_zone": "Europe/Madrid"}).want(http.StatusCreated).text("id")
}

// panel creates a door panel and gives its id.
func (e *engine) panel(propertyID string) string {
	e.t.Helper()
	return e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": propertyID, "name": "Hall", "kind": "door"}).want(http.StatusCreated).text("id")
}

func TestPropertyFromCreationToDeletion(t *testing.T) {
	e := start(t)
	made := e.call(http.MethodPost, "/v1/properties", e.key, object{
		"name": "Casa Azul", "time_zone": "Europe/Madrid",
		"policy": object{"verification": "on_site", "reverify_after": "90s", "invitation_ttl": "336h0m0s"},
	}).want(http.StatusCreated)
	id := made.text("id")
	if got := made.text("policy", "reverify_after"); got != "90s" {
		t.Errorf("reverify_after is %q, want the shortest form 90s", got)
	}
	if got := made.text("policy", "invitation_ttl"); got != "336h" {
		t.Errorf("invitation_ttl is %q, want 336h", got)
	}
	if got := made.text("policy", "resend_cooldown"); got != "1h" { // K11
		t.Errorf("resend_cooldown is %q, want the default 1h", got)
	}
	if got := made.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}

	read := e.call(http.MethodGet, "/v1/properties/"+id, e.key, nil).want(http.StatusOK)
	if string(read.body) != string(made.body) {
		t.Errorf("reading gives %s, creating gave %s", read.body, made.body)
	}

	changed := e.call(http.MethodPatch, "/v1/properties/"+id, e.key, object{"name": "Casa Roja", "policy": object{"reverify_after": "0s"}}).want(http.StatusOK)
	if changed.text("name") != "Casa Roja" || changed.text("policy", "reverify_after") != "0s" {
		t.Errorf("the change is not in %s", changed.body)
	}
	if changed.text("policy", "verification") != "on_site" || changed.text("time_zone") != "Europe/Madrid" {
		t.Errorf("what the change left out did not stay: %s", changed.body)
	}

	e.call(http.MethodDelete, "/v1/properties/"+id, e.key, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, "/v1/properties/"+id, e.key, nil).refused(http.StatusNotFound, "not_found")
}

func TestBadPropertiesAreRefusedWithWhatToChange(t *testing.T) { // E6
	e := start(t)
	good := func(change object) object {
		body := object{"name": "Casa", "time_zone": "Europe/Madrid"}
		for name, value := range change {
			body[name] = value
		}
		return body
	}
	for name, c := range map[string]struct {
		body     object
		location string
	}{
		"no name":            {object{"time_zone": "Europe/Madrid"}, "body.name"},
		"empty name":         {good(object{"name": ""}), "body.name"},
		"no such zone":       {good(object{"time_zone": "Europe/Atlantis"}), "body.time_zone"},
		"the server's zone":  {good(object{"time_zone": "Local"}), "body.time_zone"},
		"unknown field":      {good(object{"colour": "blue"}), "body.colour"},
		"unknown policy":     {good(object{"policy": object{"curfew": true}}), "body.policy.curfew"},
		"not a duration":     {good(object{"policy": object{"reverify_after": "5 days"}}), "body.policy.reverify_after"},
		"under a second":     {good(object{"policy": object{"invitation_ttl": "10ms"}}), "body.policy.invitation_ttl"},
		"no verification":    {good(object{"policy": object{"verification": "sometimes"}}), "body.policy.verification"},
		"not a clock time":   {good(object{"policy": object{"return_reminder_at": "9 am"}}), "body.policy.return_reminder_at"},
		"null is no name":    {good(object{"policy": object{"verification": nil}}), "body.policy.verification"},
		"negative guest cap": {good(object{"policy": object{"max_guests_per_inviter": -1}}), "body.policy.max_guests_per_inviter"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &engine{t: t, url: e.url, store: e.store, contract: e.contract, key: e.key}
			e.call(http.MethodPost, "/v1/properties", e.key, c.body).refused(http.StatusUnprocessableEntity, "invalid").blames(c.location)
		})
	}
	if left := e.call(http.MethodGet, "/v1/properties", e.key, nil).items(); len(left) != 0 {
		t.Errorf("refused requests left %v", left)
	}
}

func TestIfMatchRefusesAChangeOnAnOldRevision(t *testing.T) {
	e := start(t)
	path := "/v1/properties/" + e.property("Casa")
	seen := e.call(http.MethodGet, path, e.key, nil).header.Get("ETag")
	if seen == "" {
		t.Fatal("no ETag")
	}
	now := e.call(http.MethodPatch, path, e.key, object{"name": "First"}, header{"If-Match", seen}).want(http.StatusOK).header.Get("ETag")
	if now == seen {
		t.Errorf("the ETag %s did not change with the item", now)
	}
	e.call(http.MethodPatch, path, e.key, object{"name": "Second"}, header{"If-Match", seen}).refused(http.StatusPreconditionFailed, "precondition_failed")
	e.call(http.MethodPatch, path, e.key, object{"name": "Second"}, header{"If-Match", "nonsense"}).refused(http.StatusPreconditionFailed, "precondition_failed")
	if got := e.call(http.MethodGet, path, e.key, nil).text("name"); got != "First" {
		t.Errorf("name is %q, want First", got)
	}
	e.call(http.MethodPatch, path, e.key, object{"name": "Second"}, header{"If-Match", "*"}).want(http.StatusOK)
}

func TestListsComeInPages(t *testing.T) {
	e := start(t)
	for i := range 5 {
		e.property(fmt.Sprintf("Property %d", i))
	}
	seen, pages, path := map[any]bool{}, 0, "/v1/properties?limit=2"
	for path != "" {
		page := e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK)
		pages++
		for _, item := range page.items() {
			seen[item.(map[string]any)["id"]] = true
		}
		path = ""
		if next, ok := page.JSON["next_cursor"].(string); ok {
			path = "/v1/properties?limit=2&cursor=" + next
		}
	}
	if pages != 3 || len(seen) != 5 {
		t.Errorf("%d pages with %d properties, want 3 with 5", pages, len(seen))
	}
	e.call(http.MethodGet, "/v1/properties?limit=201", e.key, nil).refused(http.StatusUnprocessableEntity, "invalid").blames("query.limit")
	e.call(http.MethodGet, "/v1/properties?cursor=nonsense!", e.key, nil).refused(http.StatusUnprocessableEntity, "invalid")
	e.call(http.MethodGet, "/v1/properties?colour=blue", e.key, nil).refused(http.StatusUnprocessableEntity, "invalid").blames("query.colour")
}

func TestMembers(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	made := e.call(http.MethodPost, "/v1/members", e.key, object{
		"name": "Inés", "email": "Ines@Example.com", "mobile": "+34600111222", "role": "resident", "property_ids": []string{property},
	}).want(http.StatusCreated)
	path := "/v1/members/" + made.text("id")
	if got := made.text("email"); got != "Ines@Example.com" {
		t.Errorf("email is %q, want it as it was written", got)
	}
	if got := made.text("preferences", "unlocks"); got != "email" { // I7
		t.Errorf("unlocks are told by %q, want email", got)
	}

	e.call(http.MethodPost, "/v1/members", e.key, object{
		"name": "Inés again", "email": "ines@example.COM", "role": "host", "property_ids": []string{property},
	}).refused(http.StatusConflict, "conflict") // I3: one address, one member
	e.call(http.MethodPost, "/v1/members", e.key, object{
		"name": "Nobody", "email": "not an address", "role": "host", "property_ids": []string{property},
	}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.email")
	e.call(http.MethodPost, "/v1/members", e.key, object{
		"name": "Nowhere", "email": "n@example.com", "role": "host", "property_ids": []string{"prop_none"},
	}).refused(http.StatusNotFound, "not_found")

	changed := e.call(http.MethodPatch, path, e.key, object{"mobile": nil, "preferences": object{"unlocks": "muted"}}).want(http.StatusOK)
	if changed.JSON["mobile"] != nil || changed.text("preferences", "unlocks") != "muted" || changed.text("name") != "Inés" {
		t.Errorf("after taking the number away and muting: %s", changed.body)
	}
	e.call(http.MethodPatch, path, e.key, object{"name": nil}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.name")
	e.call(http.MethodDelete, path, e.key, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, path, e.key, nil).refused(http.StatusNotFound, "not_found")
}

func TestPanelsAndEntrances(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	made := e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": property, "name": "Hall", "kind": "door"}).want(http.StatusCreated)
	panel, code := made.text("id"), made.text("enrolment_code")
	read := e.call(http.MethodGet, "/v1/panels/"+panel, e.key, nil).want(http.StatusOK)
	if _, shown := read.JSON["enrolment_code"]; shown {
		t.Error("the enrolment code is shown a second time (P1)")
	}
	renewed := e.call(http.MethodPost, "/v1/panels/"+panel+"/enrolment-code", e.key, nil).want(http.StatusCreated)
	if renewed.text("enrolment_code") == code {
		t.Error("the new enrolment code is the old one")
	}
	e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": property, "name": "Box", "kind": "smartbox"}).
		refused(http.StatusUnprocessableEntity, "invalid").blames("body.slots")
	e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": property, "name": "Hall", "kind": "door", "address": "javascript:alert(1)"}).
		refused(http.StatusUnprocessableEntity, "invalid").blames("body.address")

	entrance := e.call(http.MethodPost, "/v1/entrances", e.key, object{
		"property_id": property, "panel_id": panel, "name": "Front door", "directions": "Behind the oak", "shareable": true,
		"schedules": []object{{"days": []string{"mon", "tue"}, "from": "22:00", "to": "06:00"}},
	}).want(http.StatusCreated)
	path := "/v1/entrances/" + entrance.text("id")
	e.call(http.MethodPost, "/v1/entrances", e.key, object{
		"property_id": property, "panel_id": panel, "name": "Bad", "schedules": []object{{"days": []string{"someday"}, "from": "8", "to": "22:00"}},
	}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.schedules[0].days[0]")
	e.call(http.MethodPost, "/v1/entrances", e.key, object{
		"property_id": e.property("Other"), "panel_id": panel, "name": "Elsewhere",
	}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.panel_id")

	// Deleting what live items need is in_use with their number.
	refusal := e.call(http.MethodDelete, "/v1/panels/"+panel, e.key, nil).refused(http.StatusConflict, "in_use")
	if refusal.JSON["count"] != float64(1) {
		t.Errorf("in_use says %v items, want 1", refusal.JSON["count"])
	}
	e.call(http.MethodDelete, "/v1/properties/"+property, e.key, nil).refused(http.StatusConflict, "in_use")

	changed := e.call(http.MethodPatch, path, e.key, object{"shareable": false, "schedules": []object{}}).want(http.StatusOK)
	if changed.JSON["shareable"] != false || len(changed.JSON["schedules"].([]any)) != 0 {
		t.Errorf("the change is not in %s", changed.body)
	}
	e.call(http.MethodDelete, path, e.key, nil).want(http.StatusNoContent)
	disowned := e.call(http.MethodPost, "/v1/panels/"+panel+"/disown", e.key, nil).want(http.StatusOK)
	if disowned.text("state") != "disowned" {
		t.Errorf("state is %s", disowned.body)
	}
	e.call(http.MethodDelete, "/v1/panels/"+panel, e.key, nil).want(http.StatusNoContent)
}

func TestListsOfOneProperty(t *testing.T) {
	e := start(t)
	here, there := e.property("Here"), e.property("There")
	e.panel(here)
	e.panel(there)
	for _, path := range []string{"/v1/panels?property_id=" + here, "/v1/entrances?property_id=" + here} {
		for _, item := range e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK).items() {
			if item.(map[string]any)["property_id"] != here {
				t.Errorf("%s lists %v", path, item)
			}
		}
	}
	if all := e.call(http.MethodGet, "/v1/panels", e.key, nil).items(); len(all) != 2 {
		t.Errorf("%d panels, want 2", len(all))
	}
}

func TestEvents(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	e.call(http.MethodPatch, "/v1/properties/"+property, e.key, object{"policy": object{"sharing_enabled": false}}).want(http.StatusOK)
	events := e.call(http.MethodGet, "/v1/events?type=policy.changed&property_id="+property+"&since=2020-01-01T00:00:00Z", e.key, nil).want(http.StatusOK)
	if len(events.items()) != 1 { // E3
		t.Errorf("a change of the policy left %d events, want 1: %s", len(events.items()), events.body)
	}
	if none := e.call(http.MethodGet, "/v1/events?since=2999-01-01T00:00:00Z", e.key, nil).items(); len(none) != 0 {
		t.Errorf("%d events from the future", len(none))
	}
	e.call(http.MethodGet, "/v1/events?since=yesterday", e.key, nil).refused(http.StatusUnprocessableEntity, "invalid").blames("query.since")
}
