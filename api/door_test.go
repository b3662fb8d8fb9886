package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"latchkey/api"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/panel"
	"latchkey/internal/store"
	"latchkey/panelsim"
)

// door is a property with one entrance behind a simulated panel that has enrolled
// and been told of an accepted invitation. No workflow runs here.
type door struct {
	e                         *engine
	property, panel, entrance string
	inviter                   directory.Member
	invitation                access.Invitation
	sim                       *panelsim.Panel
	started                   time.Time // not before the panel
}

const guestAddress = "ana@example.com"

func (e *engine) accountID() string {
	e.t.Helper()
	key, err := e.store.Authenticate(e.t.Context(), e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	return key.AccountID
}

func (e *engine) door(change func(*panelsim.Config)) *door {
	e.t.Helper()
	d := &door{e: e, property: e.property("Casa Tejo")}
	made := e.call(http.MethodPost, "/v1/panels", e.key, object{"property_id": d.property, "name": "Lobby", "kind": "door"}).want(http.StatusCreated)
	d.panel = made.text("id")
	d.entrance = e.call(http.MethodPost, "/v1/entrances", e.key, object{"property_id": d.property, "panel_id": d.panel, "name": "Lobby", "directions": "Left", "shareable": true}).
		want(http.StatusCreated).text("id")
	member, err := e.store.CreateMember(e.t.Context(), directory.Member{
		AccountID: e.accountID(), Role: directory.RoleResident, PropertyIDs: []string{d.property},
		Person:      directory.Person{Name: "Rosa", Email: d.property + "@example.com", Locale: "en"},
		Preferences: directory.Preferences{Unlocks: directory.NotifyEmail},
	}, time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	d.inviter = member
	d.invite()
	d.sim = e.simulate(made.text("enrolment_code"), change)
	d.started = time.Now()
	await(e.t, "the panel holds the grant", func() bool { return len(d.state().Grants) == 1 })
	return d
}

// simulate runs a simulated panel against the engine until the test ends.
func (e *engine) simulate(code string, change func(*panelsim.Config)) *panelsim.Panel {
	e.t.Helper()
	config := panelsim.Config{EngineURL: e.url, EnrolmentCode: code, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	p, err := panelsim.New(config)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil && ctx.Err() == nil {
			e.t.Error(err)
		}
	})
	e.t.Cleanup(func() { cancel(); running.Wait() })
	<-p.Enrolled()
	return p
}

// invite makes an invitation that the guest has accepted.
func (d *door) invite() {
	d.e.t.Helper()
	ctx, now := d.e.t.Context(), time.Now()
	inv, err := d.e.store.ClaimInvitation(ctx, store.NewInvitation{
		AccountID: d.inviter.AccountID, PropertyID: d.property, InviterID: d.inviter.ID, Guest: directory.Person{Name: "Ana", Email: guestAddress, Locale: "en"},
		EntranceIDs: []string{d.entrance}, Window: access.Window{Start: now.Add(-time.Hour)},
	}, nil, now)
	if err != nil {
		d.e.t.Fatal(err)
	}
	d.invitation = inv
	d.change(func(i *access.Invitation) error { i.Send(now); return i.Accept(now) })
}

// change records a change of the invitation, as its workflow would.
func (d *door) change(change func(*access.Invitation) error) {
	d.e.t.Helper()
	err := change(&d.invitation)
	if err == nil {
		_, err = d.e.store.RecordInvitation(d.e.t.Context(), d.invitation, time.Now())
	}
	if err != nil {
		d.e.t.Fatal(err)
	}
	d.invitation.Confirm(d.invitation.Revision)
}

// simState is what GET /sim says, as far as these tests read it.
type simState struct {
	PanelID string   `json:"panel_id"`
	BootID  string   `json:"boot_id"`
	Online  bool     `json:"online"`
	Unsent  int      `json:"unsent_events"`
	KeyIDs  []string `json:"engine_key_ids"`
	Grants  []struct {
		GrantID     string     `json:"grant_id"`
		Revision    int64      `json:"revision"`
		PassesSince *time.Time `json:"passes_since"`
	} `json:"grants"`
	Opened []panelsim.Opening `json:"opened"`
	Denied []panelsim.Denial  `json:"denied"`
}

func (d *door) state() (s simState) {
	d.e.t.Helper()
	d.control(http.MethodGet, "/sim", nil, &s)
	return s
}

// control calls the panel's own interface.
func (d *door) control(method, path string, body, answer any) {
	d.e.t.Helper()
	document, err := json.Marshal(body)
	if err != nil {
		d.e.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, d.sim.URL()+path, bytes.NewReader(document))
	if err != nil {
		d.e.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.e.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		d.e.t.Fatalf("%s %s: status %d", method, path, response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		d.e.t.Fatal(err)
	}
}

func (d *door) fault(mode string) {
	d.e.t.Helper()
	d.control(http.MethodPost, "/sim/fault", object{"mode": mode}, new(simState))
}

// events are the events of a type in the property's log, newest first.
func (d *door) events(eventType string) (list []map[string]any) {
	d.e.t.Helper()
	for _, item := range d.e.call(http.MethodGet, "/v1/events?property_id="+d.property+"&type="+eventType, d.e.key, nil).want(http.StatusOK).items() {
		if event, ok := item.(map[string]any); ok {
			list = append(list, event)
		}
	}
	return list
}

// driver is the program's own way to panels.
type driver struct{ api.PanelDriver }

func driverOf(db *store.Store) *driver {
	return &driver{api.PanelDriver{Client: panel.NewClient(panel.Engine{}), Reach: api.Reach{Store: db, Keys: api.StoredKeys{Store: db}}}}
}

// push delivers what a panel has not confirmed, as its workflow would.
func (d *driver) push(t *testing.T, panelID string) error {
	t.Helper()
	pending, err := d.Reach.Store.PendingGrants(t.Context(), panelID, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pending {
		revision, err := d.PutGrant(t.Context(), panelID, p.Grant)
		if err != nil {
			return err
		}
		if err := d.Reach.Store.ConfirmGrant(t.Context(), panelID, p.Grant, revision, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

// await polls until a condition holds; a minute is for a machine that is busy.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came about that %s", what)
		}
	}
}
