package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/internal/story"
	"latchkey/panelsim"
)

// demoDoor is one door of the demo property and where its panel listens.
type demoDoor struct {
	Name       string `json:"name"`
	Directions string `json:"directions"`
	Listen     string `json:"listen"`
	Entrance   string `json:"entrance_id"`
	Code       string `json:"-"`
}

// demoProperty is what --demo adds, as remembered in the data directory.
type demoProperty struct {
	Property string     `json:"property_id"`
	Resident string     `json:"resident_id"`
	Doors    []demoDoor `json:"doors"`
}

// startDemo adds the demo property through the public API, once, and puts up its
// simulated panels, which keep their state beside the engine's.
func (u *up) startDemo(ctx context.Context) error {
	dir := u.inData("demo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	remembered := filepath.Join(dir, "property.json")
	demo, err := u.demo(ctx, remembered)
	if err != nil {
		return fmt.Errorf("add the demo property: %w", err)
	}
	for _, door := range demo.Doors {
		p, err := panelsim.New(panelsim.Config{
			EngineURL: u.baseURL, EnrolmentCode: door.Code, Listen: door.Listen,
			StateFile: filepath.Join(dir, strings.ToLower(door.Name)+".panel"), Logger: u.log,
		})
		if err != nil {
			return fmt.Errorf("the demo's %s panel: %w", door.Name, err)
		}
		u.background(func(ctx context.Context) {
			if err := p.Run(ctx); err != nil && ctx.Err() == nil {
				u.log.LogAttrs(ctx, slog.LevelError, "a demo panel stopped", slog.Any("error", err))
			}
		})
		select {
		case <-p.Enrolled():
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Second):
			return fmt.Errorf("the demo's %s panel did not enrol in time", door.Name)
		}
		u.say(door.Name+" panel", p.URL(), "entrance "+door.Entrance)
	}
	u.say("Demo", demo.Property, "property with two entrances; resident "+demo.Resident)
	document, err := json.MarshalIndent(demo, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(remembered, string(document)+"\n") // only now: the panels need their codes until they have enrolled
}

// demo reads what was added before or adds it. Every request has a key, so that a
// start that was cut off goes on where it stopped.
func (u *up) demo(ctx context.Context, path string) (demo demoProperty, err error) {
	document, err := os.ReadFile(path)
	if err == nil {
		return demo, json.Unmarshal(document, &demo)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return demo, err
	}
	key, err := os.ReadFile(u.inData("api-key"))
	if err != nil {
		return demo, err
	}
	app := story.NewClient(u.baseURL, strings.TrimSpace(string(key)))
	demo.Property, err = addDemo(ctx, app, "/v1/properties", "property", map[string]any{
		"name": "Harbour House", "time_zone": "Europe/Lisbon", "policy": map[string]any{"verification": "on_site"},
	}, nil)
	if err != nil {
		return demo, err
	}
	demo.Doors = []demoDoor{
		{Name: "Lobby", Directions: "The glass door on the quay side; the panel is at shoulder height on the right.", Listen: "127.0.0.1:9001"},
		{Name: "Garage", Directions: "Down the ramp; the panel is on the yellow post.", Listen: "127.0.0.1:9002"},
	}
	for n := range demo.Doors {
		door := &demo.Doors[n]
		panelID, err := addDemo(ctx, app, "/v1/panels", "panel "+door.Name, map[string]any{
			"property_id": demo.Property, "name": door.Name + " panel", "kind": "door",
		}, &door.Code)
		if err != nil {
			return demo, err
		}
		door.Entrance, err = addDemo(ctx, app, "/v1/entrances", "entrance "+door.Name, map[string]any{
			"property_id": demo.Property, "panel_id": panelID, "name": door.Name, "directions": door.Directions, "shareable": true,
		}, nil)
		if err != nil {
			return demo, err
		}
	}
	demo.Resident, err = addDemo(ctx, app, "/v1/members", "resident", map[string]any{
		"name": "Rosa Marques", "email": "rosa@example.com", "role": "resident", "property_ids": []string{demo.Property},
	}, nil)
	if err != nil {
		return demo, err
	}
	return demo, nil
}

func addDemo(ctx context.Context, app *story.Client, path, what string, body map[string]any, code *string) (id string, err error) {
	answer, err := app.Post(ctx, path, "demo/"+strings.ReplaceAll(what, " ", "-"), body)
	if err != nil {
		return "", err
	}
	if answer.Status != 201 {
		return "", fmt.Errorf("%s: %s", what, answer.Body.Text("detail"))
	}
	if code != nil {
		*code = answer.Body.Text("enrolment_code")
	}
	return answer.Body.Text("id"), nil
}
