package panel

import (
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// goldenMessagesOfContact are policy documents, leases, and what a panel says of
// itself (P2, P6).
func goldenMessagesOfContact() []message {
	lease, level := noon.Add(72*time.Hour), 12
	policy := Policy{EntranceID: "ent_1", Version: 7, OpenToGuests: true, TimeZone: "Europe/Lisbon",
		Schedules: []Schedule{{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "20:00"}, {Days: []string{"fri"}, From: "22:00", To: "02:00"}}}
	ofBox := Policy{EntranceID: "pan_1", Version: 9, OpenToGuests: true, Schedules: []Schedule{}, TimeZone: "Asia/Tokyo", LockedKeys: []string{"key_7"}}
	lockedDown := Policy{EntranceID: "ent_1", Version: 8, OpenToGuests: true, Schedules: []Schedule{}, TimeZone: "Europe/Lisbon", LockedDown: true}
	grant := Grant{GrantID: "inv_1", Kind: "invitation", Revision: 3, EntranceIDs: []string{"ent_1"}, LeaseUntil: &lease}
	command := Command{CommandID: "cmd_1", Op: OpUnlock, EntranceID: "ent_1", GrantID: "inv_1", GrantRevision: 3, PolicyVersion: 7, BootID: "boot", ExpiresAt: noon.Add(10 * time.Second)}
	return []message{
		{"", engine.Signer(), "pan_1", TypePolicy, "", policy, new(Policy)},
		{"", door, EngineName, TypePolicyAck, "policy", PolicyAck{EntranceID: "ent_1", Version: 7}, new(PolicyAck)},
		{"policy_locked_down", engine.Signer(), "pan_1", TypePolicy, "", lockedDown, new(Policy)},
		{"policy_smartbox", engine.Signer(), "pan_1", TypePolicy, "", ofBox, new(Policy)},
		{"grant_lease", engine.Signer(), "pan_1", TypeGrant, "", grant, new(Grant)},
		{"command_policy", engine.Signer(), "pan_1", TypeCommand, "", command, new(Command)},
		{"result_closed", door, EngineName, TypeResult, "command", CommandResult{CommandID: "cmd_1", Result: ResultClosed, At: noon}, new(CommandResult)},
		{"events_contact", door, EngineName, TypeEvents, "", EventBatch{BootID: "boot", At: noon.Add(1500 * time.Millisecond), LeaseUntil: &lease, Events: []Event{
			{Seq: 3, At: noon, Type: EventTamper}, {Seq: 4, At: noon, Type: EventBattery, Level: &level},
		}}, new(EventBatch)},
		{"events_ack_resend", engine.Signer(), "pan_1", TypeEventsAck, "events", EventsAck{BootID: "boot", Seq: 1, ResendFrom: 2, LeaseUntil: &lease}, new(EventsAck)},
		{"sync_answer_policies", engine.Signer(), "pan_1", TypeSyncAnswer, "sync", SyncAnswer{
			Grants: []Grant{}, Entrances: []Entrance{{EntranceID: "ent_1", Name: "Front door"}}, Policies: []Policy{policy}, LeaseUntil: &lease, TimeZone: "Europe/Lisbon",
		}, new(SyncAnswer)},
	}
}

// P2: a policy document goes to the path of its entrance, and only an acknowledgement
// of that entrance counts.
func TestClientPutsPolicies(t *testing.T) {
	acknowledged, paths := "ent/1", []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var got Policy
		e, err := Open(r.Context(), string(document), engine.Signer().Key.Public().(ed25519.PublicKey), Expect{Issuer: EngineName, Audience: "pan_1", Type: TypePolicy}, time.Now(), nil, &got)
		if err != nil || got.Version != 7 {
			t.Errorf("arrived: %+v, %v", got, err)
		}
		paths = append(paths, r.Method+" "+r.URL.EscapedPath())
		token, _, err := door.Sign(EngineName, TypePolicyAck, e.ID, PolicyAck{EntranceID: acknowledged, Version: 9}, time.Now())
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, token)
	}))
	defer server.Close()
	client, to := NewClient(engine), Target{PanelID: "pan_1", Address: server.URL, PublicKey: door.Key.Public().(ed25519.PublicKey)}
	ack, err := client.PutPolicy(t.Context(), to, Policy{EntranceID: "ent/1", Version: 7})
	if err != nil || ack.Version != 9 {
		t.Errorf("answered %+v, %v", ack, err)
	}
	if want := "PUT /entrances/ent%2F1/policy"; strings.Join(paths, " ") != want {
		t.Errorf("asked for %q, want %q", paths, want)
	}
	acknowledged = "ent_2"
	if _, err := client.PutPolicy(t.Context(), to, Policy{EntranceID: "ent/1", Version: 7}); err == nil {
		t.Error("the acknowledgement of another entrance counts")
	}
}
