package api_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// flat is a property with a host, a SmartBox and a key in its first slot.
type flat struct{ property, box, key string }

func (e *engine) flat() flat {
	e.t.Helper()
	f := flat{property: e.property("Casa Tejo")}
	e.call(http.MethodPost, "/v1/members", e.key, object{
		"name": "Hugo", "email": "hugo@example.com", "role": "host", "property_ids": []string{f.property},
	}).want(http.StatusCreated)
	f.box = e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": f.property, "name": "Kiosk", "kind": "smartbox", "slots": 4}).
		want(http.StatusCreated).text("id")
	f.key = e.call(http.MethodPost, "/v1/keys", e.key, object{"property_id": f.property, "name": "Flat 3", "panel_id": f.box, "slot": 1}).
		want(http.StatusCreated).text("id")
	return f
}

// reserved is a reservation that its workflow has recorded: no workflow runs here.
func (e *engine) reserved(f flat, window access.Window, change func(*store.NewReservation)) access.Reservation {
	e.t.Helper()
	key, err := e.store.Authenticate(e.t.Context(), e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	n := store.NewReservation{
		AccountID: key.AccountID, KeyID: f.key, Window: window, Exclusive: true, AccessNotes: "Ring at the kiosk.",
		Visitor: directory.Person{Name: "Vera", Email: "vera@example.com", Locale: "en"},
	}
	if change != nil {
		change(&n)
	}
	r, err := e.store.ClaimReservation(e.t.Context(), n, nil, time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	r.Confirmed(time.Now())
	if _, err := e.store.RecordReservation(e.t.Context(), r, time.Now()); err != nil {
		e.t.Fatal(err)
	}
	return r
}

// K4, K12: a key is declared where it is, listed with where it is, moved, corrected
// and deleted; what cannot be is refused.
func TestKeys(t *testing.T) {
	e := start(t)
	f := e.flat()
	key := e.call(http.MethodGet, "/v1/keys/"+f.key, e.key, nil).want(http.StatusOK)
	if key.text("custody", "state") != "in_box" || key.text("custody", "panel_id") != f.box {
		t.Errorf("a new key is %s", key.body)
	}
	if n := len(e.call(http.MethodGet, "/v1/keys?property_id="+f.property, e.key, nil).want(http.StatusOK).items()); n != 1 {
		t.Errorf("%d keys are listed", n)
	}
	another := object{"property_id": f.property, "name": "Flat 4", "panel_id": f.box, "slot": 1}
	e.call(http.MethodPost, "/v1/keys", e.key, another).refused(http.StatusUnprocessableEntity, "invalid").blames("body.slot")
	another["slot"] = 5
	e.call(http.MethodPost, "/v1/keys", e.key, another).refused(http.StatusUnprocessableEntity, "invalid").blames("body.slot")
	another["slot"], another["panel_id"] = 2, e.panel(f.property)
	e.call(http.MethodPost, "/v1/keys", e.key, another).refused(http.StatusUnprocessableEntity, "invalid").blames("body.panel_id")

	e.call(http.MethodPatch, "/v1/keys/"+f.key, e.key, object{"name": "Flat 3, left", "slot": 2}).want(http.StatusOK)
	e.call(http.MethodPost, "/v1/keys/"+f.key+"/custody", e.key, object{"state": "unknown"}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.reason")
	lost := e.call(http.MethodPost, "/v1/keys/"+f.key+"/custody", e.key, object{"state": "unknown", "reason": "Not in the box at the check."}).want(http.StatusOK)
	if lost.text("custody", "state") != "unknown" {
		t.Errorf("a lost key is %s", lost.body)
	}
	e.call(http.MethodPost, "/v1/keys/"+f.key+"/custody", e.key, object{"state": "in_box", "reason": "Found."}).want(http.StatusOK)
	chain := e.call(http.MethodGet, "/v1/keys/"+f.key+"/custody", e.key, nil).want(http.StatusOK)
	if items := chain.items(); len(items) != 3 || items[1].(object)["reason"] != "Not in the box at the check." || items[0].(object)["slot"] != float64(2) {
		t.Errorf("the chain is %s", chain.body)
	}
	e.call(http.MethodDelete, "/v1/panels/"+f.box, e.key, nil).refused(http.StatusConflict, "in_use")
	e.call(http.MethodPatch, "/v1/panels/"+f.box, e.key, object{"slots": 1}).refused(http.StatusUnprocessableEntity, "invalid").blames("body.slots")
	e.call(http.MethodGet, "/v1/keys/"+f.key, e.account("Other"), nil).refused(http.StatusNotFound, "not_found") // E8
	e.call(http.MethodDelete, "/v1/keys/"+f.key, e.key, nil).want(http.StatusNoContent)
}

// K1, K2, K3, T1: what is wrong with a reservation is said before anything is claimed.
func TestBadReservationsAreRefused(t *testing.T) {
	e := start(t)
	f := e.flat()
	good := func(change object) object {
		body := object{
			"key_id": f.key, "kind": "one_time", "visitor": object{"name": "Vera", "email": "vera@example.com"},
			"starts_at": "2050-01-01T15:00", "ends_at": "2050-01-03T11:00",
		}
		for name, value := range change {
			body[name] = value
		}
		return body
	}
	for name, c := range map[string]struct {
		body object
		code string
	}{
		"end before start":         {good(object{"ends_at": "2050-01-01T14:00"}), "invalid_window"},
		"zero length":              {good(object{"ends_at": "2050-01-01T15:00"}), "invalid_window"},
		"an end that has passed":   {good(object{"starts_at": "2020-01-01T15:00", "ends_at": "2020-01-02T15:00"}), "invalid"},
		"one_time without end":     {good(object{"ends_at": nil}), "invalid"},
		"ongoing with end":         {good(object{"kind": "ongoing"}), "invalid"},
		"ongoing with reminder":    {object{"key_id": f.key, "kind": "ongoing", "visitor": object{"name": "Max", "mobile": "+34600111222"}, "return_reminder": true}, "invalid"},
		"nobody to write to":       {good(object{"visitor": object{"name": "Vera"}}), "invalid"},
		"a number that is none":    {good(object{"visitor": object{"name": "Vera", "mobile": "600111222"}}), "invalid"},
		"a time that is none":      {good(object{"starts_at": "tomorrow"}), "invalid"},
		"a code that is too short": {good(object{"code": "12345"}), "invalid_booking_code"},
		"a code with a pattern":    {good(object{"code": "12345678"}), "weak_booking_code"},
	} {
		a := e.call(http.MethodPost, "/v1/reservations", e.key, c.body)
		if a.status != http.StatusUnprocessableEntity || a.text("code") != c.code {
			t.Errorf("%s: %d %s, want 422 %s", name, a.status, a.body, c.code)
		}
	}
	e.call(http.MethodPost, "/v1/reservations", e.key, good(object{"key_id": "key_unknown"})).refused(http.StatusNotFound, "not_found")
	e.call(http.MethodPost, "/v1/reservations", e.account("Other"), good(nil)).refused(http.StatusNotFound, "not_found") // E8
	if n := len(e.call(http.MethodGet, "/v1/reservations", e.key, nil).want(http.StatusOK).items()); n != 0 {
		t.Errorf("%d reservations were made", n)
	}
}

// K3, K4, K9, T1, T3: a reservation as its host and its visitor see it.
func TestReservationAsHostAndVisitorSeeIt(t *testing.T) {
	e := start(t)
	f := e.flat()
	begins := time.Now().Add(24 * time.Hour).Truncate(time.Second).UTC()
	r := e.reserved(f, access.Window{Start: begins, End: begins.Add(48 * time.Hour)}, nil)
	host := e.call(http.MethodGet, "/v1/reservations/"+r.ID, e.key, nil).want(http.StatusOK)
	if host.text("state") != "scheduled" || host.text("reason") != "outside_window" || host.text("from") != begins.Format(time.RFC3339) ||
		host.text("custody", "state") != "in_box" || host.text("visitor", "channel") != "email" || host.text("starts_at_local") == host.text("starts_at") {
		t.Errorf("the host sees %s", host.body)
	}
	if host.header.Get("ETag") != `"1"` {
		t.Errorf("ETag is %s", host.header.Get("ETag"))
	}
	for _, filter := range []string{"?state=scheduled", "?key_id=" + f.key, "?visitor=vera@example.com", "?property_id=" + f.property} {
		if n := len(e.call(http.MethodGet, "/v1/reservations"+filter, e.key, nil).want(http.StatusOK).items()); n != 1 {
			t.Errorf("%s lists %d", filter, n)
		}
	}
	if n := len(e.call(http.MethodGet, "/v1/keys/"+f.key+"/visitors?state=ended", e.key, nil).want(http.StatusOK).items()); n != 0 {
		t.Errorf("the key has %d visitors whose time is over", n)
	}
	details := e.call(http.MethodGet, "/v1/reservations/"+r.ID+"/details?locale=ja", e.key, nil).want(http.StatusOK)
	for _, want := range []string{host.text("code"), host.text("url"), "Flat 3", "Ring at the kiosk.", "CET", "予約コード"} {
		if !strings.Contains(details.text("text"), want) {
			t.Errorf("K9: the details do not say %q: %s", want, details.text("text"))
		}
	}
	token := path.Base(host.text("url"))
	visit := e.call(http.MethodGet, "/v1/visits/"+token, "", nil).want(http.StatusOK)
	if visit.text("code") != host.text("code") || visit.text("host_name") != "Hugo" || visit.text("reason") != "outside_window" || bytes.Contains(visit.body, []byte("hugo@example.com")) {
		t.Errorf("the visitor sees %s", visit.body)
	}
	early := e.call(http.MethodPost, "/v1/visits/"+token+"/pickup", "", object{"panel_code": "123456"}).refused(http.StatusForbidden, "outside_window")
	if early.text("from") != begins.Format(time.RFC3339) {
		t.Errorf("refused without saying from when: %s", early.body)
	}
	e.call(http.MethodPost, "/v1/reservations/"+r.ID+"/dropoff", e.key, object{"panel_code": "123456"}).refused(http.StatusServiceUnavailable, "panel_unreachable") // K8: allowed, but the box has not enrolled
	e.call(http.MethodGet, "/v1/visits/"+strings.Repeat("x", 43), "", nil).refused(http.StatusNotFound, "not_found")
	other := e.account("Other")
	for _, call := range [][2]string{{http.MethodGet, ""}, {http.MethodGet, "/details"}, {http.MethodGet, "/photo-id"}, {http.MethodPost, "/revoke"}, {http.MethodPost, "/resend"}} { // E8
		e.call(call[0], "/v1/reservations/"+r.ID+call[1], other, nil).refused(http.StatusNotFound, "not_found")
	}
	if strings.Contains(e.logs.String(), token) || strings.Contains(e.logs.String(), host.text("code")) {
		t.Error("E7: the log has the code or the secret of the URL")
	}
}

// K7: what is no photo is refused with what to do, and changes nothing; a photo of
// somebody of whom none is asked is refused, too.
func TestK7PhotoIsChecked(t *testing.T) {
	e := start(t)
	f := e.flat()
	asked := e.reserved(f, access.Window{Start: time.Now()}, func(n *store.NewReservation) { n.RequireID = true })
	token := path.Base(e.call(http.MethodGet, "/v1/reservations/"+asked.ID, e.key, nil).text("url"))
	put := func(token string, body []byte) *answer {
		return e.raw(http.MethodPut, "/v1/visits/"+token+"/photo-id", "", body, header{"Content-Type", "image/jpeg"})
	}
	put(token, []byte("<html>")).refused(http.StatusUnprocessableEntity, "photo_unsupported")
	put(token, make([]byte, 12<<20)).refused(http.StatusRequestEntityTooLarge, "body_too_large")
	e.call(http.MethodGet, "/v1/reservations/"+asked.ID+"/photo-id", e.key, nil).refused(http.StatusNotFound, "not_found")
	e.call(http.MethodPost, "/v1/reservations/"+asked.ID+"/id-check", e.key, object{"decision": "confirm"}).refused(http.StatusConflict, "visitor_id_not_submitted")

	free := e.reserved(f, access.Window{Start: time.Now()}, nil)
	token = path.Base(e.call(http.MethodGet, "/v1/reservations/"+free.ID, e.key, nil).text("url"))
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	put(token, picture.Bytes()).refused(http.StatusConflict, "visitor_id_not_required")
}

// K12: when the key is with somebody else, the host is told who is expected to return
// it and until when; the visitor hears only that it is not available yet.
func TestK12RefusalNamesTheHolderToTheHostOnly(t *testing.T) {
	e := start(t)
	f := e.flat()
	end := time.Now().Add(3 * time.Hour).Truncate(time.Second).UTC()
	holder := e.reserved(f, access.Window{Start: time.Now().Add(-time.Hour), End: end}, func(n *store.NewReservation) { n.Exclusive, n.Visitor.Name = false, "Max Braun" })
	next := e.reserved(f, access.Window{Start: time.Now()}, nil)
	pickup := "/v1/reservations/" + next.ID + "/pickup"
	number := object{"panel_code": "123456"}
	taken := store.PanelEvent{Seq: 1, Type: "key_taken", KeyID: f.key, Slot: 1, GrantID: holder.ID, At: time.Now()}
	if _, err := e.store.IntakeEvents(t.Context(), f.box, store.PanelReport{BootID: "boot", Events: []store.PanelEvent{taken}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	host := e.call(http.MethodPost, pickup, e.key, number).refused(http.StatusForbidden, "key_not_available")
	if !strings.Contains(host.text("detail"), "Max Braun is expected to return it by") || host.text("holder", "reservation_id") != holder.ID ||
		host.text("holder", "visitor_name") != "Max Braun" || host.text("holder", "ends_at") != end.Format(time.RFC3339) {
		t.Errorf("the host is told %s", host.body)
	}
	token := path.Base(e.call(http.MethodGet, "/v1/reservations/"+next.ID, e.key, nil).text("url"))
	visitor := e.call(http.MethodPost, "/v1/visits/"+token+"/pickup", "", number).refused(http.StatusForbidden, "key_not_available")
	if !strings.Contains(visitor.text("detail"), "not available yet") || bytes.Contains(visitor.body, []byte("Max")) || bytes.Contains(visitor.body, []byte(holder.ID)) {
		t.Errorf("the visitor is told %s", visitor.body)
	}
	e.call(http.MethodPost, "/v1/keys/"+f.key+"/custody", e.key, object{"state": "unknown", "reason": "Max has lost it."}).want(http.StatusOK)
	lost := e.call(http.MethodPost, pickup, e.key, number).refused(http.StatusForbidden, "key_not_available")
	if !strings.Contains(lost.text("detail"), "nobody is known to have it") {
		t.Errorf("of a lost key the host is told %s", lost.body)
	}
}

// K7, T0: from the end on nobody sees the photo, also while its workflow has yet to
// delete it.
func TestK7PhotoIsNotShownAfterTheEnd(t *testing.T) {
	e := start(t)
	f := e.flat()
	r := e.reserved(f, access.Window{Start: time.Now(), End: time.Now().Add(2 * time.Second)}, func(n *store.NewReservation) { n.RequireID = true })
	photo := store.NewPhoto{AccountID: r.AccountID, ReservationID: r.ID, PersonID: r.VisitorID, MediaType: "image/jpeg", Width: 1, Height: 1, Body: []byte("pixels")}
	if err := e.store.PutVisitorPhoto(t.Context(), photo, time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Confirm(r.Revision)
	if err := r.SubmitID(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.store.RecordReservation(t.Context(), r, time.Now()); err != nil {
		t.Fatal(err)
	}
	at := "/v1/reservations/" + r.ID
	if seen := e.call(http.MethodGet, at+"/photo-id", e.key, nil).want(http.StatusOK); string(seen.body) != "pixels" {
		t.Fatalf("the reviewer sees %q", seen.body)
	}
	for e.call(http.MethodGet, at, e.key, nil).text("state") != "ended" {
		if t.Context().Err() != nil {
			t.Fatal("the reservation does not end")
		}
	}
	e.call(http.MethodGet, at+"/photo-id", e.key, nil).refused(http.StatusNotFound, "not_found")
}
