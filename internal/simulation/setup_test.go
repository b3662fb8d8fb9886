package simulation_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/panel"
	"latchkey/internal/story"
	"latchkey/panelsim"
)

// The size of the account.
const (
	places        = 5
	doorsPerPlace = 6
	boxesPerPlace = 4 // with the doors: 50 panels
	slotsPerBox   = 8
	keysPerBox    = 3
	guests        = 320
	visits        = 180 // with the guests: 500 live items
)

// furnish sets up properties, panels, entrances and keys, and starts the panels.
func (w *world) furnish() {
	w.Helper()
	for n := range places {
		policy := access.DefaultPolicy()
		policy.OfflineLease = lease
		if n%2 == 1 {
			policy.Verification, policy.ReverifyAfter = access.VerificationOnSite, reverifyAfter
		}
		p := &place{onSite: n%2 == 1}
		p.id = must(w.store.CreateProperty(w.ctx, directory.Property{
			AccountID: w.account, Name: fmt.Sprintf("House %d", n), TimeZone: "UTC", Policy: policy,
		}, w.clock.Now()))(w).ID
		p.sharing.set(w.clock.Now(), true)
		p.manager, p.host = w.member(p, "manager", directory.RoleManager), w.member(p, "host", directory.RoleHost)
		w.places = append(w.places, p)
		for d := range doorsPerPlace {
			s := w.putUp(p, fmt.Sprintf("Door panel %d", d), directory.PanelDoor)
			for range 1 + d%2 {
				w.hang(s)
			}
		}
		for b := range boxesPerPlace {
			s := w.putUp(p, fmt.Sprintf("Box %d", b), directory.PanelSmartBox)
			for slot := range keysPerBox {
				k := must(w.store.CreateKey(w.ctx, directory.Key{
					AccountID: w.account, PropertyID: p.id, Name: fmt.Sprintf("Key %d", slot+1), PanelID: s.id, Slot: slot + 1,
				}, w.clock.Now()))(w)
				p.keys = append(p.keys, k.ID)
			}
		}
	}
	for _, s := range w.sims { // now that all entrances and keys are there
		w.control(s, "/sim/restart", map[string]any{})
	}
}

// hang adds an entrance behind a panel.
func (w *world) hang(s *sim) {
	w.Helper()
	d := &door{at: s.at, panel: s}
	d.id = must(w.store.CreateEntrance(w.ctx, directory.Entrance{
		AccountID: w.account, PropertyID: s.at.id, PanelID: s.id, Name: fmt.Sprintf("Entrance %d", len(s.at.entrances)), Shareable: true,
	}, w.clock.Now()))(w).ID
	s.doors, s.at.entrances = append(s.doors, d), append(s.at.entrances, d)
}

// putUp adds a panel and starts it on a state file of its own.
func (w *world) putUp(p *place, name string, kind directory.PanelKind) *sim {
	w.Helper()
	code, hash, err := panel.NewEnrolmentCode(w.engine.Key.Public().(ed25519Key))
	if err != nil {
		w.Fatal(err)
	}
	slots := 0
	if kind == directory.PanelSmartBox {
		slots = slotsPerBox
	}
	added := must(w.store.CreatePanel(w.ctx, directory.Panel{
		AccountID: w.account, PropertyID: p.id, Name: name, Kind: kind, Driver: "native", Slots: slots,
	}, hash, w.clock.Now().Add(time.Hour), w.clock.Now()))(w)
	device := must(panelsim.New(panelsim.Config{
		EngineURL: w.server.URL, EnrolmentCode: code, Listen: "127.0.0.1:0", StateFile: filepath.Join(w.TempDir(), "panel"),
		Logger: slog.New(slog.DiscardHandler), Now: w.clock.Now,
	}))(w)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	ended := make(chan error, 1)
	go func() { ended <- device.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("%s: %v", name, err)
		}
	})
	select {
	case <-device.Enrolled():
	case err := <-ended:
		w.Fatalf("%s did not enrol: %v", name, err)
	}
	s := &sim{id: added.ID, box: slots > 0, at: p, control: story.NewClient(device.URL(), "")}
	w.sims = append(w.sims, s)
	return s
}

// control asks the control interface of a panel.
func (w *world) control(s *sim, path string, body any) story.Object {
	w.Helper()
	answer, err := s.control.Post(w.ctx, path, "", body)
	if err != nil {
		w.Fatalf("%s of %s: %v", path, s.id, err)
	}
	return answer.Body
}

func (w *world) sim(panelID string) *sim {
	for _, s := range w.sims {
		if s.id == panelID {
			return s
		}
	}
	w.Fatalf("there is no panel %s", panelID)
	return nil
}

// look is what a panel holds and what it has done.
func (w *world) look(s *sim) shown {
	w.Helper()
	var is shown
	request := must(s.control.Get(w.ctx, "/sim"))(w)
	decode(w, request.Body, &is)
	return is
}
