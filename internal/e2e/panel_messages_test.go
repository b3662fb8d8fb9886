package e2e

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/internal/panel"
	"latchkey/internal/story"
)

// message is one that a receiver must refuse, or take the first time.
type message struct{ name, token, code string }

// checkPanelMessages sends engine and panel messages that are forged, for somebody
// else, expired or replayed (P1).
func (s *stage) checkPanelMessages(play *story.Story) {
	s.t.Helper()
	now := time.Now()
	id, key := s.identity("Garage")
	_, forger, err := ed25519.GenerateKey(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	batch := panel.EventBatch{BootID: s.bootID("Garage"), Events: []panel.Event{}}
	report := func(name string, key ed25519.PrivateKey, audience string, at time.Time) string {
		return s.sign(panel.Signer{Name: name, Key: key}, audience, panel.TypeEvents, batch, at)
	}
	good := report(id, key, panel.EngineName, now)
	s.refuses(http.MethodPost, s.url+"/panel/v1/events", []message{
		{"forged report", report(id, forger, panel.EngineName, now), "bad_signature"},
		{"report in another panel's name", report(s.panels["Lobby"].id, key, panel.EngineName, now), "bad_signature"},
		{"report for another receiver", report(id, key, "pan_other", now), "wrong_audience"},
		{"expired report", report(id, key, panel.EngineName, now.Add(-time.Hour)), "expired_message"},
		{"tap that is none", s.sign(panel.Signer{Name: id, Key: key}, panel.EngineName, panel.TypeTap, batch, now), "wrong_type"},
		{"plain text", "hello", "malformed"},
		{"good report", good, ""},
		{"replayed report", good, "replayed"},
	})

	// The panel refuses what is wrong with the engine's own signature as well.
	engineKey, err := s.store().EngineKey(s.t.Context(), now)
	if err != nil {
		s.t.Fatal(err)
	}
	engine := panel.Engine{KeyID: engineKey.ID, Key: engineKey.Private}.Signer()
	forged := panel.Signer{Name: panel.EngineName, Key: forger}
	command := panel.Command{CommandID: "cmd_thief", Op: panel.OpUnlock, EntranceID: play.Garage, GrantID: play.Invitation, BootID: "another boot", ExpiresAt: now.Add(10 * time.Second)}
	s.refuses(http.MethodPost, s.panels["Garage"].URL+"/commands", []message{
		{"forged command", s.sign(forged, id, panel.TypeCommand, command, now), "bad_signature"},
		{"command for another panel", s.sign(engine, s.panels["Lobby"].id, panel.TypeCommand, command, now), "wrong_audience"},
		{"expired command", s.sign(engine, id, panel.TypeCommand, command, now.Add(-time.Hour)), "expired_message"},
		{"grant as a command", s.sign(engine, id, panel.TypeGrant, panel.Grant{GrantID: play.Invitation}, now), "wrong_type"},
	})
	grant := panel.Grant{GrantID: play.Invitation, Revision: 1000, EntranceIDs: []string{play.Garage}}
	s.refuses(http.MethodPut, s.panels["Garage"].URL+"/grants/"+play.Invitation, []message{
		{"forged grant", s.sign(forged, id, panel.TypeGrant, grant, now), "bad_signature"},
		{"grant for another panel", s.sign(engine, s.panels["Lobby"].id, panel.TypeGrant, grant, now), "wrong_audience"},
		{"expired grant", s.sign(engine, id, panel.TypeGrant, grant, now.Add(-time.Hour)), "expired_message"},
	})
	sim := must(s.panels["Garage"].Get(s.t.Context(), "/sim"))(s.t).Body
	if len(sim.List("opened"))+len(sim.List("denied"))+len(sim.List("grants")) != 0 {
		s.t.Errorf("P1: refused messages changed the panel: %v", sim)
	}
	unknownCode, _, err := panel.NewEnrolmentCode(engine.Key.Public().(ed25519.PublicKey))
	if err != nil {
		s.t.Fatal(err)
	}
	nobodys := panel.Grant{GrantID: "inv_nobody", Revision: 1, Tombstone: true}
	once := s.sign(engine, id, panel.TypeGrant, nobodys, now)
	s.refuses(http.MethodPut, s.panels["Garage"].URL+"/grants/inv_nobody", []message{{"good grant", once, ""}, {"replayed grant", once, "replayed"}})

	s.refuses(http.MethodPost, s.url+"/panel/v1/enrol", []message{
		{"second enrolment with a used code", s.enrolment(forger, s.panels["Garage"].code), "enrolment_refused"},
		{"enrolment with a code that nobody gave", s.enrolment(forger, unknownCode), "enrolment_refused"},
	})
}

func (s *stage) enrolment(key ed25519.PrivateKey, code string) string {
	s.t.Helper()
	token, _, err := panel.SignEnrolment(key, nil, code, "http://127.0.0.1:1", time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *stage) sign(by panel.Signer, audience string, typ panel.Type, body any, at time.Time) string {
	s.t.Helper()
	token, _, err := by.Sign(audience, typ, "", body, at)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// identity reads a panel's id and key from its state, as a thief would.
func (s *stage) identity(name string) (id string, key ed25519.PrivateKey) {
	s.t.Helper()
	document := must(os.ReadFile(filepath.Join(s.dir, name+".panel")))(s.t)
	for line := range strings.Lines(string(document)) {
		var entry struct {
			Identity struct {
				PanelID string `json:"panel_id"`
				Key     []byte `json:"key"`
			} `json:"identity"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Identity.PanelID != "" {
			return entry.Identity.PanelID, ed25519.NewKeyFromSeed(entry.Identity.Key)
		}
	}
	s.t.Fatalf("no identity in the state of %s", name)
	return "", nil
}

func (s *stage) bootID(name string) string {
	s.t.Helper()
	return must(s.panels[name].Get(s.t.Context(), "/sim"))(s.t).Body.Text("boot_id")
}

// refuses sends messages and compares the codes of their refusals, empty where a
// message is taken.
func (s *stage) refuses(method, url string, messages []message) {
	s.t.Helper()
	for _, m := range messages {
		if code := s.sendSigned(method, url, m.token); code != m.code {
			s.t.Errorf("P1: a message that is a %s is answered with %q, want %q", m.name, code, m.code)
		}
	}
}

func (s *stage) sendSigned(method, url, token string) (code string) {
	s.t.Helper()
	request := must(http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(token)))(s.t)
	request.Header.Set("Content-Type", panel.ContentType)
	response := must(http.DefaultClient.Do(request))(s.t)
	document := must(io.ReadAll(response.Body))(s.t)
	if err := response.Body.Close(); err != nil {
		s.t.Error(err)
	}
	if response.StatusCode == http.StatusOK {
		return ""
	}
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal(document, &problem); err != nil || problem.Detail == "" {
		s.t.Errorf("%s: %s", response.Status, document)
	}
	return problem.Code
}
