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

// demoPanel is one panel of the demo property, where it listens, and what is
// behind it: an entrance, or keys.
type demoPanel struct {
	Name     string   `json:"name"`
	Listen   string   `json:"listen"`
	Entrance string   `json:"entrance_id,omitempty"`
	Keys     []string `json:"key_ids,omitempty"`
	Code     string   `json:"-"`
}

// demoProperty is what --demo adds, as remembered in the data directory.
type demoProperty struct {
	Property string      `json:"property_id"`
	Resident string      `json:"resident_id"`
	Host     string      `json:"host_id"`
	Panels   []demoPanel `json:"panels"`
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
	for _, put := range demo.Panels {
		p, err := panelsim.New(panelsim.Config{
			EngineURL: u.baseURL, EnrolmentCode: put.Code, Listen: put.Listen,
			StateFile: filepath.Join(dir, strings.ToLower(put.Name)+".panel"), Logger: u.log,
		})
		if err != nil {
			return fmt.Errorf("the demo's %s panel: %w", put.Name, err)
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
			return fmt.Errorf("the demo's %s panel did not enrol in time", put.Name)
		}
		u.say(put.Name+" panel", p.URL(), put.behind())
	}
	u.say("Demo", demo.Property, "property with two entrances and three keys; resident "+demo.Resident+", host "+demo.Host)
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
	for _, door := range [][2]string{
		{"Lobby", "The glass door on the quay side; the panel is at shoulder height on the right."},
		{"Garage", "Down the ramp; the panel is on the yellow post."},
	} {
		door, err := addDemoDoor(ctx, app, demo.Property, door[0], door[1])
		if err != nil {
			return demo, err
		}
		demo.Panels = append(demo.Panels, door)
	}
	box, err := addDemoBox(ctx, app, demo.Property)
	if err != nil {
		return demo, err
	}
	demo.Panels = append(demo.Panels, box)
	demo.Resident, err = addDemo(ctx, app, "/v1/members", "resident", map[string]any{
		"name": "Rosa Marques", "email": "rosa@example.com", "role": "resident", "property_ids": []string{demo.Property},
	}, nil)
	if err != nil {
		return demo, err
	}
	demo.Host, err = addDemo(ctx, app, "/v1/members", "host", map[string]any{
		"name": "Hugo Reis", "email": "hugo@example.com", "role": "host", "property_ids": []string{demo.Property},
	}, nil)
	return demo, err
}

// Where the demo's panels listen.
var demoListen = map[string]string{"Lobby": "127.0.0.1:9001", "Garage": "127.0.0.1:9002", "SmartBox": "127.0.0.1:9003"}

func addDemoDoor(ctx context.Context, app *story.Client, property, name, directions string) (p demoPanel, err error) {
	p = demoPanel{Name: name, Listen: demoListen[name]}
	panelID, err := addDemo(ctx, app, "/v1/panels", "panel "+name, map[string]any{"property_id": property, "name": name + " panel", "kind": "door"}, &p.Code)
	if err != nil {
		return p, err
	}
	p.Entrance, err = addDemo(ctx, app, "/v1/entrances", "entrance "+name, map[string]any{
		"property_id": property, "panel_id": panelID, "name": name, "directions": directions, "shareable": true,
	}, nil)
	return p, err
}

// addDemoBox adds a SmartBox with three keys in its first slots.
func addDemoBox(ctx context.Context, app *story.Client, property string) (p demoPanel, err error) {
	p = demoPanel{Name: "SmartBox", Listen: demoListen["SmartBox"]}
	panelID, err := addDemo(ctx, app, "/v1/panels", "smartbox", map[string]any{
		"property_id": property, "name": "Kiosk SmartBox", "kind": "smartbox", "slots": 6,
	}, &p.Code)
	if err != nil {
		return p, err
	}
	for n, name := range []string{"Flat 1", "Flat 2", "Bicycle cellar"} {
		key, err := addDemo(ctx, app, "/v1/keys", "key "+name, map[string]any{
			"property_id": property, "name": name, "panel_id": panelID, "slot": n + 1,
		}, nil)
		if err != nil {
			return p, err
		}
		p.Keys = append(p.Keys, key)
	}
	return p, nil
}

// behind says what a panel is for.
func (p demoPanel) behind() string {
	if p.Entrance != "" {
		return "entrance " + p.Entrance
	}
	return "keys " + strings.Join(p.Keys, ", ")
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
