package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var update = flag.Bool("update", false, "write testdata anew")

// The keys of the golden files: Ed25519 seeds of 32 equal bytes. Signatures of
// Ed25519 are deterministic, so a vendor's implementation can be held to the files.
var (
	engineKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	panelKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	engine    = Engine{KeyID: "eng_1", Key: engineKey}
	door      = Signer{Name: "pan_1", Key: panelKey}
	noon      = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
)

const goldenCode = "AAAQEA-YEAUDA-OCAJBI-FQYDIO-B42HKD-4YXVM7-Z7EUNU"

// goldenFile is a file of testdata: the payload for people, the token for
// programs.
type goldenFile struct {
	Payload json.RawMessage `json:"payload"`
	Token   string          `json:"token"`
}

type message struct {
	file     string // of testdata; none: the type
	signer   Signer
	audience string
	typ      Type
	re       string
	body     any
	opened   any // where to read the body into
}

func goldenMessages() []message {
	later := noon.Add(24 * time.Hour)
	grant := Grant{GrantID: "inv_1", Kind: "invitation", Revision: 3, StartsAt: &noon, EndsAt: &later, EntranceIDs: []string{"ent_1"}}
	command := Command{CommandID: "cmd_1", Op: OpUnlock, EntranceID: "ent_1", GrantID: "inv_1", GrantRevision: 3, BootID: "boot", ExpiresAt: noon.Add(10 * time.Second)}
	entrances := []Entrance{{EntranceID: "ent_1", Name: "Front door"}}
	enrolled := EnrolAnswer{PanelID: "pan_1", Grants: []Grant{grant}, Entrances: entrances, TimeZone: "Asia/Tokyo"}
	enrolled.EngineKeys.Keys = append(enrolled.EngineKeys.Keys, PublicJWK(engine.KeyID, engineKey.Public().(ed25519.PublicKey)))
	stranger := Signer{Name: unenrolled, Key: panelKey}
	messages := []message{
		{"", stranger, EngineName, TypeEnrol, "", EnrolRequest{EnrolmentCode: goldenCode, PublicKey: PublicJWK("", panelKey.Public().(ed25519.PublicKey)), Address: "http://panel.example:9000"}, new(EnrolRequest)},
		{"", engine.Signer(), unenrolled, TypeEnrolled, "enrol", enrolled, new(EnrolAnswer)},
		{"", engine.Signer(), "pan_1", TypeGrant, "", grant, new(Grant)},
		{"", door, EngineName, TypeGrantAck, "grant", Ack{GrantID: "inv_1", Revision: 3}, new(Ack)},
		{"", engine.Signer(), "pan_1", TypeCommand, "", command, new(Command)},
		{"", door, EngineName, TypeResult, "command", CommandResult{CommandID: "cmd_1", Result: ResultOpened, At: noon}, new(CommandResult)},
		{"", engine.Signer(), "pan_1", TypeStatusQuery, "", StatusQuery{}, new(StatusQuery)},
		{"", door, EngineName, TypeStatus, "status_query", Status{PanelID: "pan_1", Kind: "door", BootID: "boot", At: noon, Grants: 1}, new(Status)},
		{"", door, EngineName, TypeEvents, "", EventBatch{BootID: "boot", Events: []Event{
			{Seq: 1, At: noon, Type: "opened", EntranceID: "ent_1", CommandID: "cmd_1", GrantID: "inv_1"},
			{Seq: 2, At: noon, Type: "denied", EntranceID: "ent_1", CommandID: "cmd_2", GrantID: "inv_1", Code: string(ResultExpired)},
		}}, new(EventBatch)},
		{"", engine.Signer(), "pan_1", TypeEventsAck, "events", EventsAck{BootID: "boot", Seq: 2}, new(EventsAck)},
		{"", door, EngineName, TypeTap, "", Tap{TapID: "tap", TapToken: "token", EntranceID: "ent_1", BootID: "boot"}, new(Tap)},
		{"", engine.Signer(), "pan_1", TypeTapAnswer, "tap", TapAnswer{Result: "verified", Command: &command}, new(TapAnswer)},
		{"", door, EngineName, TypeSync, "", SyncRequest{BootID: "boot", Lost: true}, new(SyncRequest)},
		{"", engine.Signer(), "pan_1", TypeSyncAnswer, "sync", SyncAnswer{Grants: []Grant{grant, {GrantID: "inv_2", Kind: "invitation", Revision: 9, EntranceIDs: []string{}, Tombstone: true}}, Entrances: entrances, TimeZone: "Asia/Tokyo"}, new(SyncAnswer)},
	}
	messages = append(messages, goldenMessagesOfTrust()...)
	return append(append(messages, goldenMessagesOfBoxes()...), goldenMessagesOfContact()...)
}

// goldenMessagesOfTrust are those by which keys change and passes are used and void.
func goldenMessagesOfTrust() []message {
	since := noon.Add(-time.Hour)
	grant := Grant{GrantID: "inv_1", Kind: "invitation", Revision: 4, StartsAt: &since, EntranceIDs: []string{"ent_1"}, PassesSince: &since}
	return []message{
		{"grant_passes_since", engine.Signer(), "pan_1", TypeGrant, "", grant, new(Grant)},
		{"events_pass", door, EngineName, TypeEvents, "", EventBatch{BootID: "boot", EngineKeyIDs: []string{"eng_1"}, Events: []Event{
			{Seq: 1, At: noon, Type: "opened", EntranceID: "ent_1", GrantID: "inv_1", Via: "pass", PassID: "pass_1"},
			{Seq: 2, At: noon, Type: "denied", EntranceID: "ent_1", GrantID: "inv_1", Via: "pass", PassID: "pass_1", Code: string(PassVoid)},
			{Seq: 3, At: noon, Type: "denied", EntranceID: "ent_1", Via: "pass", Code: string(PassInvalid)},
		}}, new(EventBatch)},
		{"", door, EngineName, TypePoll, "", Poll{BootID: "boot"}, new(Poll)},
		{"", engine.Signer(), "pan_1", TypeDeliveries, "poll", Deliveries{Messages: []string{"eyJhbGciOiJFZERTQSJ9.e30.AAAA"}}, new(Deliveries)},
		{"", door, EngineName, TypeAnswers, "", Answers{Answers: []string{"eyJhbGciOiJFZERTQSJ9.e30.BBBB"}, Refused: []Refused{
			{Re: "command", Code: CodeExpiredMessage, Detail: "The message is too old, or from the future. Check the clock."},
		}}, new(Answers)},
		{"", engine.Signer(), "pan_1", TypeAnswersAck, "answers", AnswersAck{}, new(AnswersAck)},
		{"sync_keys", door, EngineName, TypeSync, "", SyncRequest{BootID: "boot", EngineKeyIDs: []string{"eng_1", "eng_2"}}, new(SyncRequest)},
		{"events_ack_keys", engine.Signer(), "pan_1", TypeEventsAck, "events", EventsAck{BootID: "boot", Seq: 3, EngineKeys: ring.Public()}, new(EventsAck)},
	}
}

// goldenMessagesOfBoxes are those that a SmartBox has besides, or has otherwise.
func goldenMessagesOfBoxes() []message {
	later := noon.Add(24 * time.Hour)
	grant := Grant{GrantID: "res_1", Kind: "reservation", Revision: 3, StartsAt: &noon, EndsAt: &later, EntranceIDs: []string{}, KeyID: "key_1", CodeJWE: goldenCodeJWE}
	over := Grant{GrantID: "res_2", Kind: "reservation", Revision: 5, EndsAt: &noon, EntranceIDs: []string{}, KeyID: "key_1", CodeJWE: goldenCodeJWE, NoPickup: "reservation_ended"}
	command := Command{CommandID: "cmd_1", Op: OpOpenSlot, GrantID: "res_1", GrantRevision: 3, BootID: "boot", ExpiresAt: noon.Add(10 * time.Second),
		Purpose: PurposePickup, KeyID: "key_1", PanelCode: "482913"}
	enrol := EnrolRequest{EnrolmentCode: goldenCode, PublicKey: PublicJWK("", panelKey.Public().(ed25519.PublicKey)), Address: "http://panel.example:9000",
		EncryptionKey: &jose.JSONWebKey{Key: goldenBoxKey.Public(), Use: "enc", Algorithm: string(jose.ECDH_ES)}}
	return []message{
		{"enrol_smartbox", Signer{Name: unenrolled, Key: panelKey}, EngineName, TypeEnrol, "", enrol, new(EnrolRequest)},
		{"sync_part", door, EngineName, TypeSync, "", SyncRequest{BootID: "boot", After: "res_2"}, new(SyncRequest)},
		{"grant_smartbox", engine.Signer(), "pan_1", TypeGrant, "", grant, new(Grant)},
		{"command_smartbox", engine.Signer(), "pan_1", TypeCommand, "", command, new(Command)},
		{"result_smartbox", door, EngineName, TypeResult, "command", CommandResult{CommandID: "cmd_1", Result: ResultOpened, Slot: 2, At: noon}, new(CommandResult)},
		{"events_smartbox", door, EngineName, TypeEvents, "", EventBatch{BootID: "boot", Events: []Event{
			{Seq: 1, At: noon, Type: "opened", GrantID: "res_1", Slot: 2, Op: PurposePickup, Via: "code"},
			{Seq: 2, At: noon, Type: "key_taken", GrantID: "res_1", Slot: 2, KeyID: "key_1"},
			{Seq: 3, At: noon, Type: "key_returned", GrantID: "res_1", Slot: 4, KeyID: "key_1"},
			{Seq: 4, At: noon, Type: "denied", Code: "wrong_code", Op: PurposePickup, Via: "code"},
			{Seq: 5, At: noon, Type: "lockout", Until: &later},
		}}, new(EventBatch)},
		{"sync_answer_smartbox", engine.Signer(), "pan_1", TypeSyncAnswer, "sync", SyncAnswer{
			Grants: []Grant{grant, over}, Entrances: []Entrance{}, TimeZone: "Asia/Tokyo", Kind: "smartbox", Slots: 4,
			Keys: []KeyPlace{{KeyID: "key_1", Slot: 2}}, Next: "res_2",
		}, new(SyncAnswer)},
	}
}

// Every message travels byte for byte as testdata shows it, and what is there can
// be opened and read. go test ./internal/panel -update writes the files anew.
func TestMessagesAreThoseOfTestdata(t *testing.T) {
	for _, m := range goldenMessages() {
		name := m.file
		if name == "" {
			name = string(m.typ)
		}
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(m.body)
			if err != nil {
				t.Fatal(err)
			}
			e := Envelope{Issuer: m.signer.Name, Audience: m.audience, IssuedAt: noon.Unix(), Expires: noon.Add(messageTTL).Unix(),
				ID: string(m.typ), Type: m.typ, Re: m.re, Body: body}
			token, err := m.signer.seal(e)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				document, err := json.MarshalIndent(goldenFile{Payload: payload, Token: token}, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(document, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			document, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want goldenFile
			if err := json.Unmarshal(document, &want); err != nil {
				t.Fatal(err)
			}
			if token != want.Token {
				t.Errorf("the message is now\n%s\nand was\n%s", payload, want.Payload)
			}
			key := m.signer.Key.Public().(ed25519.PublicKey)
			if _, err := Open(context.Background(), want.Token, key, Expect{Issuer: e.Issuer, Audience: e.Audience, Type: e.Type, Re: e.Re}, noon, nil, m.opened); err != nil {
				t.Fatal(err)
			}
			if again, err := json.Marshal(m.opened); err != nil || !bytes.Equal(again, body) {
				t.Errorf("read back as %s (%v), want %s", again, err, body)
			}
		})
	}
}

// The enrolment files fit each other: whoever implements a panel can play them
// from the code to the engine's key (P1).
func TestEnrolmentOfTestdata(t *testing.T) {
	read := func(typ Type) string {
		var m goldenFile
		document, err := os.ReadFile(filepath.Join("testdata", string(typ)+".json"))
		if err == nil {
			err = json.Unmarshal(document, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m.Token
	}
	request, key, e, err := OpenEnrolment(context.Background(), read(TypeEnrol), noon, &Memory{})
	if err != nil || !key.Equal(panelKey.Public()) || request.EnrolmentCode != goldenCode {
		t.Fatalf("request %+v, key %x, %v", request, key, err)
	}
	answer, signed, err := OpenEnrolled(context.Background(), read(TypeEnrolled), goldenCode, e.ID, noon)
	if err != nil || !signed.Equal(engineKey.Public()) || answer.PanelID != "pan_1" {
		t.Fatalf("answer %+v, key %x, %v", answer, signed, err)
	}
}
