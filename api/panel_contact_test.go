package api_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// P5, P6, P8: a panel's resource says how it is and how far it is behind.
func TestP8PanelsSayHowTheyAre(t *testing.T) {
	r := startRace(t, directory.PanelDoor, 0)
	front := r.entrance("Front door")
	r.reported()
	path := "/v1/panels/" + r.panel.ID
	first := r.call(http.MethodGet, path, r.key, nil).want(http.StatusOK).JSON
	if first["online"] != true || first["offline_since"] != nil || first["battery"] != nil || first["locked_until"] != nil || first["clock_skew"] == nil {
		t.Errorf("it is said to be %v", first)
	}
	if pending, ok := first["pending"].(object); !ok || pending["policies"] != float64(1) || pending["grants"] != float64(0) {
		t.Errorf("it has yet to confirm %v", first["pending"])
	}
	inv, _ := r.guest(front.ID)
	r.push()
	_, err := r.store.UpdateEntrance(t.Context(), r.account, front.ID, 0, func(e *directory.Entrance) error {
		e.Schedules = []access.Schedule{{Days: []access.Weekday{"mon"}, From: "08:00", To: "20:00"}}
		return nil
	}, time.Now())
	r.ok(err)
	item := r.call(http.MethodGet, "/v1/invitations/"+inv.ID, r.key, nil).want(http.StatusOK)
	shown, ok := item.JSON["entrances"].([]any)[0].(object)
	if !ok || shown["sync"] != "pending" || shown["sync_detail"] == nil {
		t.Errorf("the invitation says %v", shown)
	}
	r.push()
	for control, body := range map[string]string{"/sim/battery": `{"level": 12}`, "/sim/tamper": `{}`} {
		response, err := http.Post(r.sim.URL()+control, "application/json", bytes.NewReader([]byte(body)))
		r.ok(err)
		r.ok(response.Body.Close())
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		last := r.call(http.MethodGet, path, r.key, nil).want(http.StatusOK).JSON
		low := r.call(http.MethodGet, "/v1/events?type=panel.battery_low", r.key, nil).want(http.StatusOK).items()
		tampered := r.call(http.MethodGet, "/v1/events?type=panel.tamper", r.key, nil).want(http.StatusOK).items()
		pending, _ := last["pending"].(object)
		if last["battery"] == float64(12) && last["lease_until"] != nil && len(low) == 1 && len(tampered) == 1 && pending["policies"] == float64(0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is said to be %v", last)
		}
	}
}
