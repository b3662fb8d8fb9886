package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"latchkey/internal/story"
)

// keyStage is an engine with a SmartBox and a key in it.
type keyStage struct {
	*stage
	play *story.KeyStory
	ctx  context.Context
}

func newKeyStage(t *testing.T) *keyStage {
	t.Helper()
	s := newStage(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	k := &keyStage{stage: s, play: s.newKeyStory(time.Minute, time.Minute), ctx: ctx}
	s.playSteps(k.play.Steps()[:1])
	return k
}

// ask makes a call that must be answered with a status.
func (k *keyStage) ask(method, at string, body any, status int) story.Object {
	k.t.Helper()
	answer := must(k.play.Engine.Do(k.ctx, method, at, "", body))(k.t)
	if answer.Status != status {
		k.t.Fatalf("%s %s answered %d %v, want %d", method, at, answer.Status, answer.Body, status)
	}
	return answer.Body
}

// reserve makes a reservation from now on.
func (k *keyStage) reserve(change map[string]any) story.Object {
	k.t.Helper()
	body := map[string]any{"key_id": k.play.Key, "kind": "ongoing", "visitor": map[string]any{"name": "Vera Lopes", "email": k.play.VisitorMail}}
	for name, value := range change {
		body[name] = value
	}
	return k.ask(http.MethodPost, "/v1/reservations", body, http.StatusCreated)
}

// confirmed waits until the box holds what the reservation gives.
func (k *keyStage) confirmed(id string) {
	k.t.Helper()
	k.until("the box's confirmation", func() bool {
		return k.ask(http.MethodGet, "/v1/reservations/"+id, nil, http.StatusOK).Text("sync") == "confirmed"
	})
}

func (k *keyStage) until(what string, holds func() bool) {
	k.t.Helper()
	if err := await(k.ctx, holds); err != nil {
		k.t.Fatalf("waited for %s", what)
	}
}

// typed types a code at the box and gives slot or reason.
func (k *keyStage) typed(code, op string) string {
	k.t.Helper()
	answer := must(k.play.BoxPanel.Post(k.ctx, "/sim/code", "", map[string]any{"code": code, "op": op}))(k.t).Body
	if answer.Text("result") == "opened" {
		return fmt.Sprint(answer["slot"])
	}
	return answer.Text("reason")
}

func (k *keyStage) hand(slot int, key any) {
	k.t.Helper()
	if answer := must(k.play.BoxPanel.Post(k.ctx, "/sim/keys", "", map[string]any{"slot": slot, "key_id": key}))(k.t); answer.Status != http.StatusOK {
		k.t.Fatalf("the key by hand: %v", answer.Body)
	}
}

func (k *keyStage) messages(to, template string, count int) {
	k.t.Helper()
	k.until(template, func() bool {
		found, err := k.play.Messages(k.ctx, to, template)
		return err == nil && len(found) == count
	})
}

// TestK7PhotoID: no pickup, at the engine and at the box, before the photo ID was
// supplied and confirmed; the photo can be seen while it waits, cleaned, and is gone
// once it was decided.
func TestK7PhotoID(t *testing.T) {
	t.Parallel()
	k := newKeyStage(t)
	r := k.reserve(map[string]any{"require_visitor_id": true})
	id, code, token := r.Text("id"), r.Text("code"), path.Base(r.Text("url"))
	k.confirmed(id)
	if reason := k.typed(code, "pickup"); reason != "visitor_id_required" {
		t.Errorf("the box answers %q before the photo ID", reason)
	}
	if refusal := must(k.play.Engine.Post(k.ctx, "/v1/visits/"+token+"/pickup", "", map[string]any{"panel_code": "000000"}))(t); refusal.Code() != "visitor_id_required" {
		t.Errorf("the engine answers %s before the photo ID", refusal.Code())
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 600, 400)), nil); err != nil {
		t.Fatal(err)
	}
	upload := func() {
		t.Helper()
		request := must(http.NewRequestWithContext(k.ctx, http.MethodPut, k.url+"/v1/visits/"+token+"/photo-id", bytes.NewReader(photo.Bytes())))(t)
		request.Header.Set("Content-Type", "image/jpeg")
		response := must(http.DefaultClient.Do(request))(t)
		body := must(io.ReadAll(response.Body))(t)
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"submitted"`)) {
			t.Fatalf("the upload is answered with %d %s", response.StatusCode, body)
		}
	}
	view := func() int {
		request := must(http.NewRequestWithContext(k.ctx, http.MethodGet, k.url+"/v1/reservations/"+id+"/photo-id", nil))(t)
		request.Header.Set("Authorization", "Bearer "+k.play.Engine.Token)
		response := must(http.DefaultClient.Do(request))(t)
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusOK {
			if seen := must(jpeg.Decode(response.Body))(t); seen.Bounds().Dx() != 600 {
				t.Errorf("the reviewer sees %v", seen.Bounds())
			}
		}
		return response.StatusCode
	}
	upload()
	k.messages(k.play.HostMail, "visitor_id_submitted", 1)
	if status := view(); status != http.StatusOK {
		t.Errorf("the photo is answered with %d", status)
	}
	k.ask(http.MethodPost, "/v1/reservations/"+id+"/id-check", map[string]any{"decision": "reject", "reason": "It is blurred."}, http.StatusOK)
	k.messages(k.play.VisitorMail, "visitor_id_rejected", 1)
	if reason := k.ask(http.MethodGet, "/v1/visits/"+token, nil, http.StatusOK).Text("visitor_id", "reason"); reason != "It is blurred." {
		t.Errorf("the visitor is told %q", reason)
	}
	upload()
	k.ask(http.MethodPost, "/v1/reservations/"+id+"/id-check", map[string]any{"decision": "confirm"}, http.StatusOK)
	k.messages(k.play.VisitorMail, "visitor_id_confirmed", 1)
	if status := view(); status != http.StatusNotFound {
		t.Errorf("the photo is still there after the decision: %d", status)
	}
	if n := ask[int](t, k.cluster().AdminDSN("latchkey"), `SELECT count(*) FROM visitor_photos`); n != 0 {
		t.Errorf("%d photos are kept", n)
	}
	k.confirmed(id)
	if slot := k.typed(code, "pickup"); slot != "1" {
		t.Errorf("after the confirmation the box answers %s", slot)
	}
	seen := 0
	for _, e := range k.ask(http.MethodGet, "/v1/events?type=visitor_id.viewed&item_id="+id, nil, http.StatusOK).List("items") {
		if e.Text("actor_id") != "" {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d views of the photo are in the log, want 1", seen)
	}
}

// TestKeyRules goes through what a box and a host do besides the story.
func TestKeyRules(t *testing.T) {
	t.Parallel()
	k := newKeyStage(t)

	// K14: the window of another stands in the way, at creation and at an edit, and is named.
	at := func(hour int) string {
		return time.Now().UTC().AddDate(0, 0, 10).Format("2006-01-02T") + fmt.Sprintf("%02d:00:00Z", hour)
	}
	window := func(from, to int) map[string]any {
		return map[string]any{"kind": "one_time", "starts_at": at(from), "ends_at": at(to)}
	}
	first, second := k.reserve(window(10, 12)), k.reserve(window(12, 14))
	body := window(11, 13)
	body["key_id"], body["visitor"] = k.play.Key, map[string]any{"name": "Max", "mobile": "+351912345678"}
	taken := k.ask(http.MethodPost, "/v1/reservations", body, http.StatusConflict)
	if taken.Text("code") != "window_taken" || taken.Text("conflict", "reservation_id") != first.Text("id") || taken.Text("conflict", "ends_at") != at(12) {
		t.Errorf("K14: refused with %v", taken)
	}
	moved := k.ask(http.MethodPatch, "/v1/reservations/"+second.Text("id"), map[string]any{"starts_at": at(11)}, http.StatusConflict)
	if moved.Text("conflict", "reservation_id") != first.Text("id") {
		t.Errorf("K14: an edit is refused with %v", moved)
	}
	k.ask(http.MethodPost, "/v1/reservations/"+first.Text("id")+"/revoke", nil, http.StatusOK)
	k.ask(http.MethodPatch, "/v1/reservations/"+second.Text("id"), map[string]any{"starts_at": at(11)}, http.StatusOK)

	// T4: a window in local time moves with the zone of its property, one with an offset does not.
	local := k.reserve(map[string]any{"kind": "one_time", "starts_at": at(1)[:16], "ends_at": at(2)[:16], "exclusive": false})
	k.ask(http.MethodPatch, "/v1/properties/"+k.play.Property, map[string]any{"time_zone": "Asia/Tokyo"}, http.StatusOK)
	k.until("T4: the window in Tokyo", func() bool {
		r := k.ask(http.MethodGet, "/v1/reservations/"+local.Text("id"), nil, http.StatusOK)
		return strings.HasPrefix(r.Text("starts_at_local"), at(1)[:16]) && strings.HasSuffix(r.Text("starts_at_local"), "+09:00")
	})
	if r := k.ask(http.MethodGet, "/v1/reservations/"+second.Text("id"), nil, http.StatusOK); r.Text("starts_at") != at(11) {
		t.Errorf("T4: a window with an offset moved to %s", r.Text("starts_at"))
	}

	k.offlineBox()
	k.lockout()
}

// offlineBox: a box that is cut off goes on opening by code for who may enter (P2), and
// what happened there comes into the chain with its own time (K12, P6).
func (k *keyStage) offlineBox() {
	k.t.Helper()
	r := k.reserve(nil)
	id, code := r.Text("id"), r.Text("code")
	k.confirmed(id)
	k.ask(http.MethodGet, "/v1/keys/"+k.play.Key, nil, http.StatusOK)
	fault := func(mode string) {
		must(k.play.BoxPanel.Post(k.ctx, "/sim/fault", "", map[string]any{"mode": mode}))(k.t)
	}
	fault("offline")
	if slot := k.typed(code, "pickup"); slot != "1" {
		k.t.Fatalf("P2: the box that is cut off answers %s", slot)
	}
	if slot := k.typed(code, "pickup"); slot != "1" { // entered twice: the same slot
		k.t.Errorf("K12: the code entered twice opens %s", slot)
	}
	k.hand(1, nil)
	if reason := k.typed(code, "pickup"); reason != "key_not_here" {
		k.t.Errorf("K12: a pickup without key is answered with %s", reason)
	}
	k.ask(http.MethodPost, "/v1/reservations/"+id+"/revoke", nil, http.StatusOK)
	if r := k.ask(http.MethodGet, "/v1/reservations/"+id, nil, http.StatusOK); r.Text("sync") == "confirmed" {
		k.t.Error("P5: the revocation counts as confirmed by a box that is cut off")
	}
	if slot := k.typed(code, "dropoff"); slot != "1" {
		k.t.Fatalf("K8: the drop-off is answered with %s", slot)
	}
	k.hand(1, k.play.Key)
	fault("none")
	k.until("the chain of custody", func() bool {
		chain := k.ask(http.MethodGet, "/v1/keys/"+k.play.Key+"/custody", nil, http.StatusOK).List("items")
		return len(chain) == 3 && chain[1].Text("state") == "out" && chain[1].Text("reservation_id") == id && chain[0].Text("state") == "in_box"
	})
	k.confirmed(id)
	if reason := k.typed(code, "pickup"); reason != "reservation_revoked" {
		k.t.Errorf("K10: after the revocation was confirmed the box answers %s", reason)
	}
	// P3: a box that has lost its memory gets everything back.
	must(k.play.BoxPanel.Post(k.ctx, "/sim/restart", "", map[string]any{"wipe": true}))(k.t)
	k.until("P3: the grants after the wipe", func() bool { return k.typed(code, "pickup") == "reservation_revoked" })
}

// lockout: after five wrong codes the box takes none for a while and the host is told;
// the booking URL still works (P7).
func (k *keyStage) lockout() {
	k.t.Helper()
	r := k.reserve(nil)
	k.confirmed(r.Text("id"))
	k.until("P7: the lock-out", func() bool { return k.typed("90909091", "pickup") == "locked_out" })
	if reason := k.typed(r.Text("code"), "pickup"); reason != "locked_out" {
		k.t.Errorf("P7: locked out, the right code is answered with %s", reason)
	}
	k.messages(k.play.HostMail, "panel_lockout", 1)
	number := must(k.play.BoxPanel.Get(k.ctx, "/sim"))(k.t).Body.Text("number")
	opened := k.ask(http.MethodPost, "/v1/visits/"+path.Base(r.Text("url"))+"/pickup", map[string]any{"panel_code": number}, http.StatusOK)
	if opened.Text("result") != "opened" {
		k.t.Errorf("P7: from the URL: %v", opened)
	}
	k.until("the opening in the log", func() bool {
		for _, e := range k.ask(http.MethodGet, "/v1/events?type=slot.opened", nil, http.StatusOK).List("items") {
			if e.Text("id") == opened.Text("event_id") {
				return true
			}
		}
		return false
	})
}
