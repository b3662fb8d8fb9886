package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/panel"
	"latchkey/internal/store"
	"latchkey/panelsim"
)

// race is an engine whose commands meet a change that their panel has heard of
// already: a real panel, real signatures, and a step in between.
type race struct {
	*engine
	identity panel.Engine
	client   *panel.Client
	opener   *activities.Opener
	account  string
	property directory.Property
	panel    directory.Panel
	sim      *panelsim.Panel

	between []func() // what happens after a decision and before its command arrives, one each
	sent    []activities.Command
}

func startRace(t *testing.T, kind directory.PanelKind, slots int) *race {
	t.Helper()
	r := &race{engine: start(t)}
	ctx := t.Context()
	key, err := r.store.EngineKey(ctx, time.Now())
	r.ok(err)
	r.identity = panel.Engine{KeyID: key.ID, Key: key.Private}
	r.client = panel.NewClient(r.identity)
	r.opener = activities.NewOpener(r.store, r, time.Now, slog.New(slog.DiscardHandler))
	account, err := r.store.CreateAccount(ctx, "Harbour", func(secret string) error { r.key = secret; return nil }, time.Now())
	r.ok(err)
	r.account = account.ID
	r.property, err = r.store.CreateProperty(ctx, directory.Property{AccountID: r.account, Name: "Harbour House", TimeZone: "Europe/Lisbon", Policy: access.DefaultPolicy()}, time.Now())
	r.ok(err)
	code, hash, err := panel.NewEnrolmentCode(key.Private.Public().(ed25519.PublicKey))
	r.ok(err)
	r.panel, err = r.store.CreatePanel(ctx, directory.Panel{AccountID: r.account, PropertyID: r.property.ID, Name: "Lobby", Kind: kind, Driver: "native", Slots: slots},
		hash, time.Now().Add(time.Hour), time.Now())
	r.ok(err)
	r.sim, err = panelsim.New(panelsim.Config{EngineURL: r.url, EnrolmentCode: code, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	r.ok(err)
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.sim.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.opener.Wait()
	})
	return r
}

func (r *race) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// reported waits until the panel has said that it is there.
func (r *race) reported() {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		p, err := r.store.Panel(r.t.Context(), r.account, r.panel.ID)
		r.ok(err)
		if p.BootID != "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the panel never reported")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *race) target() panel.Target {
	r.t.Helper()
	p, err := r.store.PanelIdentity(r.t.Context(), r.panel.ID)
	r.ok(err)
	return panel.Target{PanelID: p.ID, Address: p.Address, PublicKey: p.PublicKey}
}

// push brings the panel up to date.
func (r *race) push() {
	r.t.Helper()
	ctx := r.t.Context()
	policies, err := r.store.PendingPolicies(ctx, r.panel.ID)
	r.ok(err)
	for n, wire := range api.WirePolicies(policies) {
		ack, err := r.client.PutPolicy(ctx, r.target(), wire)
		r.ok(err)
		r.ok(r.store.ConfirmPolicy(ctx, r.panel.ID, policies[n], ack.Version, time.Now()))
	}
	pending, err := r.store.PendingGrants(ctx, r.panel.ID, 100)
	r.ok(err)
	identity, err := r.store.PanelIdentity(ctx, r.panel.ID)
	r.ok(err)
	for _, p := range pending {
		wire, err := api.WireGrants(ctx, r.store, identity, []access.Grant{p.Grant})
		r.ok(err)
		ack, err := r.client.PutGrant(ctx, r.target(), wire[0])
		r.ok(err)
		r.ok(r.store.ConfirmGrant(ctx, r.panel.ID, p.Grant, ack.Revision, time.Now()))
	}
}

// Command implements activities.Commander.
func (r *race) Command(ctx context.Context, c activities.Command) (activities.PanelAnswer, error) {
	if n := len(r.sent); n < len(r.between) {
		r.between[n]()
		r.push()
	}
	r.sent = append(r.sent, c)
	result, err := r.client.Command(ctx, panel.Target{PanelID: c.PanelID, Address: c.Address, PublicKey: c.PublicKey}, api.WireCommand(c))
	return activities.PanelAnswer{Opened: result.Result == panel.ResultOpened, Slot: result.Slot, Code: string(result.Result), At: result.At}, err
}

// guest is an invitation that has been accepted, and the request of its guest.
func (r *race) guest(entranceIDs ...string) (access.Invitation, activities.UnlockRequest) {
	r.t.Helper()
	ctx := r.t.Context()
	member, err := r.store.CreateMember(ctx, directory.Member{
		AccountID: r.account, Role: directory.RoleResident, PropertyIDs: []string{r.property.ID}, Person: directory.Person{Name: "Rita", Email: "rita@example.com", Locale: "en"},
	}, time.Now())
	r.ok(err)
	inv, err := r.store.ClaimInvitation(ctx, store.NewInvitation{
		AccountID: r.account, PropertyID: r.property.ID, InviterID: member.ID, Guest: directory.Person{Name: "Ana", Email: "ana@example.com", Locale: "en"},
		EntranceIDs: entranceIDs, Window: access.Window{Start: time.Now().Add(-time.Hour)},
	}, nil, time.Now())
	r.ok(err)
	inv.Send(time.Now())
	r.ok(inv.Accept(time.Now()))
	r.record(&inv)
	digest := sha256.Sum256([]byte("button"))
	return inv, activities.UnlockRequest{
		AccountID: r.account, InvitationID: inv.ID, EntranceID: entranceIDs[0],
		Keyed: activities.Keyed{Scope: r.account, Key: digest[:], RequestHash: []byte("request")},
	}
}

// record does as the workflow does.
func (r *race) record(inv *access.Invitation) {
	r.t.Helper()
	_, err := r.store.RecordInvitation(r.t.Context(), *inv, time.Now())
	r.ok(err)
	inv.Confirm(inv.Revision)
}

func (r *race) entrance(name string) directory.Entrance {
	r.t.Helper()
	e, err := r.store.CreateEntrance(r.t.Context(), directory.Entrance{AccountID: r.account, PropertyID: r.property.ID, PanelID: r.panel.ID, Name: name, Shareable: true}, time.Now())
	r.ok(err)
	return e
}

func (r *race) unlock(q activities.UnlockRequest) activities.Outcome {
	r.t.Helper()
	outcome, err := r.opener.Unlock(r.t.Context(), q)
	r.ok(err)
	r.opener.Wait()
	return outcome
}

// I14: what an edit leaves as it was never blinks, also for the guest who stands at
// the door while the panel hears of it. The same key gives the same answer after (E2).
func TestI14AnUnlockRacedByAnEditStillOpens(t *testing.T) {
	r := startRace(t, directory.PanelDoor, 0)
	front, garage := r.entrance("Front door"), r.entrance("Garage")
	r.reported()
	inv, q := r.guest(front.ID, garage.ID)
	r.push()
	r.between = []func(){func() {
		r.ok(inv.Edit(time.Now(), access.Edit{Entrances: []string{front.ID}}, ""))
		r.record(&inv)
	}}
	first := r.unlock(q)
	if first.Result != activities.ResultOpened || len(r.sent) != 2 || r.sent[0].ID == r.sent[1].ID || !r.sent[1].ExpiresAt.Equal(r.sent[0].ExpiresAt) {
		t.Fatalf("answered %+v after the commands %+v", first, r.sent)
	}
	if again := r.unlock(q); again.EventID != first.EventID || len(r.sent) != 2 {
		t.Errorf("the same key is answered with %+v after %d commands", again, len(r.sent))
	}
	q.EntranceID, q.Key = garage.ID, nil
	if outcome := r.unlock(q); outcome.Result != activities.ResultDenied || outcome.Code != string(access.CodeNotShared) {
		t.Errorf("what the edit took away is answered with %+v", outcome)
	}
}

// I13, I12, E2: what a change takes away is refused for its own reason, and so is the
// repetition; a panel that knows better again and again is asked twice and no more.
func TestAnUnlockRacedByTheEndOfAccess(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *race, inv *access.Invitation)
		code   access.Code
		twice  bool
	}{
		"revoked": {func(r *race, inv *access.Invitation) { r.ok(inv.Revoke(time.Now(), "", "")); r.record(inv) }, access.CodeNotActive, false},
		"sharing off": {func(r *race, _ *access.Invitation) {
			_, err := r.store.UpdateProperty(r.t.Context(), r.account, r.property.ID, 0, func(p *directory.Property) error { p.Policy.SharingEnabled = false; return nil }, time.Now())
			r.ok(err)
		}, access.CodeNotShared, false},
		"edited twice": {func(r *race, inv *access.Invitation) {
			window := access.Window{Start: inv.Window.Start.Add(-time.Minute)}
			r.ok(inv.Edit(time.Now(), access.Edit{Window: &window}, ""))
			r.record(inv)
		}, "stale_revision", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRace(t, directory.PanelDoor, 0)
			front := r.entrance("Front door")
			r.reported()
			inv, q := r.guest(front.ID)
			r.push()
			step := func() { c.change(r, &inv) }
			r.between = []func(){step}
			if c.twice {
				r.between = append(r.between, step)
			}
			outcome := r.unlock(q)
			if outcome.Result == activities.ResultOpened || outcome.Code != string(c.code) || len(r.sent) != len(r.between) {
				t.Fatalf("answered %+v after %d commands, want %s", outcome, len(r.sent), c.code)
			}
			if again := r.unlock(q); again.Result == activities.ResultOpened != c.twice {
				t.Errorf("the repetition is answered with %+v", again)
			}
		})
	}
}

// I14, K5: the same for a slot.
func TestK5APickupRacedByAnEditStillOpens(t *testing.T) {
	r := startRace(t, directory.PanelSmartBox, 3)
	ctx := t.Context()
	host, err := r.store.CreateMember(ctx, directory.Member{
		AccountID: r.account, Role: directory.RoleManager, PropertyIDs: []string{r.property.ID}, Person: directory.Person{Name: "Hugo", Email: "hugo@example.com", Locale: "en"},
	}, time.Now())
	r.ok(err)
	key, err := r.store.CreateKey(ctx, directory.Key{AccountID: r.account, PropertyID: r.property.ID, PanelID: r.panel.ID, Slot: 1, Name: "Flat 1"}, time.Now())
	r.ok(err)
	r.reported()
	window := access.Window{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}
	res, err := r.store.ClaimReservation(ctx, store.NewReservation{
		AccountID: r.account, KeyID: key.ID, HostID: host.ID, Visitor: directory.Person{Name: "Vera", Email: "vera@example.com", Locale: "en"}, Window: window,
	}, nil, time.Now())
	r.ok(err)
	keep := func() {
		_, err := r.store.RecordReservation(ctx, res, time.Now())
		r.ok(err)
		res.Confirm(res.Revision)
	}
	res.Confirmed(time.Now())
	keep()
	r.push()
	r.between = []func(){func() {
		longer := access.Window{Start: window.Start, End: window.End.Add(time.Hour)}
		plan, err := access.PlanReservation(longer, time.UTC, r.property.Policy, time.Now())
		r.ok(err)
		r.ok(res.Edit(time.Now(), access.ReservationEdit{Plan: &plan}, ""))
		keep()
	}}
	outcome, err := r.opener.OpenSlot(ctx, activities.SlotRequest{AccountID: r.account, ReservationID: res.ID, Purpose: activities.Pickup, PanelCode: r.number()})
	r.ok(err)
	if outcome.Result != activities.ResultOpened || outcome.Slot != 1 || len(r.sent) != 2 {
		t.Fatalf("answered %+v after %d commands", outcome, len(r.sent))
	}
}

// number is what the box shows (P10).
func (r *race) number() string {
	r.t.Helper()
	response, err := http.Get(r.sim.URL() + "/sim")
	r.ok(err)
	var state struct {
		Number string `json:"number"`
	}
	r.ok(json.NewDecoder(response.Body).Decode(&state))
	r.ok(response.Body.Close())
	return state.Number
}
