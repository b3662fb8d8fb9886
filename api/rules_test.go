package api_test

import (
	"net/http"
	"testing"
)

// I17: a lock-down is a call of its own; an edit of the policy does not lift it.
func TestI17LockDownCall(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	path := "/v1/properties/" + property
	if made := e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK); made.JSON["locked_down_at"] != nil {
		t.Errorf("locked down from the beginning: %s", made.body)
	}
	first := e.call(http.MethodPost, path+"/lockdown", e.key, object{"on": true}).want(http.StatusOK)
	again := e.call(http.MethodPost, path+"/lockdown", e.key, object{"on": true}).want(http.StatusOK)
	if first.text("locked_down_at") != again.text("locked_down_at") || first.JSON["revision"] != again.JSON["revision"] || first.JSON["revision"] != float64(2) {
		t.Errorf("twice is not once: %s, %s", first.body, again.body)
	}
	edited := e.call(http.MethodPatch, path, e.key, object{"policy": object{"verification": "on_site"}}).want(http.StatusOK)
	if edited.text("locked_down_at") != first.text("locked_down_at") {
		t.Errorf("an edit lifted it: %s", edited.body)
	}
	events := e.call(http.MethodGet, "/v1/events?type=policy.changed", e.key, nil).want(http.StatusOK).items()
	if len(events) != 2 {
		t.Errorf("%d events, want the lock-down and the edit", len(events))
	}
	if lifted := e.call(http.MethodPost, path+"/lockdown", e.key, object{"on": false}).want(http.StatusOK); lifted.JSON["locked_down_at"] != nil {
		t.Errorf("still locked down: %s", lifted.body)
	}
	e.call(http.MethodPost, path+"/lockdown", e.key, object{}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.on")
	e.call(http.MethodPost, "/v1/properties/prop_none/lockdown", e.key, object{"on": true}).refused(http.StatusNotFound, "not_found")
	e.call(http.MethodPost, path+"/lockdown", e.account("Second"), object{"on": true}).refused(http.StatusNotFound, "not_found") // E8
}

// I17: a preview answers what would go and changes nothing; the removal has no body.
func TestI17RemoveMemberCall(t *testing.T) {
	e := start(t)
	property := e.property("Casa")
	member := func(address string) string {
		return e.call(http.MethodPost, "/v1/members", e.key, object{"name": "Inés", "email": address, "role": "resident", "property_ids": []string{property}}).
			want(http.StatusCreated).text("id")
	}
	path := "/v1/members/" + member("ines@example.com")
	preview := e.call(http.MethodDelete, path+"?preview=true", e.key, nil).want(http.StatusOK)
	if list, ok := preview.JSON["invitations"].([]any); !ok || len(list) != 0 || preview.JSON["total"] != 0.0 || preview.JSON["reservations"] != 0.0 || preview.JSON["truncated"] != false {
		t.Errorf("preview: %s", preview.body)
	}
	e.call(http.MethodGet, path, e.key, nil).want(http.StatusOK)
	e.call(http.MethodDelete, path+"?move_to=mem_none", e.key, nil).refused(http.StatusNotFound, "not_found")
	heir := member("heir@example.com")
	e.call(http.MethodDelete, path+"?move_to="+heir, e.key, nil).want(http.StatusNoContent)
	e.call(http.MethodGet, path, e.key, nil).refused(http.StatusNotFound, "not_found")
	e.call(http.MethodDelete, path+"?preview=true", e.key, nil).refused(http.StatusNotFound, "not_found")
	if again := member("ines@example.com"); "/v1/members/"+again == path {
		t.Error("the address gave the removed member back")
	}
}

// I17: leaving needs the guest's own session.
func TestI17LeaveNeedsASession(t *testing.T) {
	e := start(t)
	e.call(http.MethodPost, "/v1/me/guest-keys/inv_none/leave", e.key, nil).refused(http.StatusUnauthorized, "unauthorized")
}
