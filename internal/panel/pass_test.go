package panel

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var (
	phoneKey   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	engineKeys = TrustedKeys{{ID: "eng_1", Key: engineKey.Public().(ed25519.PublicKey)}}
)

// noonPass is the pass of the golden files.
func noonPass() Pass {
	return Pass{
		GrantID: "inv_1", ID: "pass_1", IssuedAt: noon.Unix(), Expires: noon.Add(24 * time.Hour).Unix(), EntranceIDs: []string{"ent_1"},
		Confirmation: Confirmation{JWK: jose.JSONWebKey{Key: phoneKey.Public()}}, GrantRevision: 3,
	}
}

// sealProof is a proof with chosen contents.
func sealProof(t *testing.T, key crypto.Signer, change func(*Proof)) string {
	t.Helper()
	p := Proof{Audience: "pan_1", Type: TypeProof, EntranceID: "ent_1", PassID: "pass_1", IssuedAt: noon.Unix(), ID: "proof"}
	if change != nil {
		change(&p)
	}
	algorithm := jose.EdDSA
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		algorithm = jose.ES256
	}
	token, err := signWith(algorithm, jose.JSONWebKey{Key: key}, p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// P9: what a phone shows travels byte for byte as testdata has it. The phone's key
// is the Ed25519 seed of 32 bytes of 3.
func TestPassesAreThoseOfTestdata(t *testing.T) {
	pass, err := engine.Signer().SignPass(noonPass())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"pass": pass, "proof": sealProof(t, phoneKey, nil)} {
		t.Run(name, func(t *testing.T) {
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				document, err := json.MarshalIndent(goldenFile{Payload: signed.UnsafePayloadWithoutVerification(), Token: token}, "", "  ")
				if err == nil {
					err = os.WriteFile(path, append(document, '\n'), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var want goldenFile
			document, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(document, &want)
			}
			if err != nil || want.Token != token {
				t.Errorf("it is now %s (%v)", signed.UnsafePayloadWithoutVerification(), err)
			}
		})
	}
}

// P9: what a panel takes for a pass.
func TestOpenPass(t *testing.T) {
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	command, _, err := engine.Signer().Sign("pan_1", TypeCommand, "", Command{CommandID: "cmd_1"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, change func(*Pass)) string {
		p := noonPass()
		p.Issuer, p.Audience, p.Type = EngineName, PassAudience, TypePass
		change(&p)
		token, err := signWith(jose.EdDSA, jose.JSONWebKey{Key: key}, p)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	unchanged := func(*Pass) {}
	for name, c := range map[string]struct {
		token string
		at    time.Time
		want  PassRefusal
	}{
		"good":                      {sign(engineKey, unchanged), noon, ""},
		"the last instant":          {sign(engineKey, unchanged), noon.Add(24*time.Hour - 1), ""},
		"expired":                   {sign(engineKey, unchanged), noon.Add(24 * time.Hour), PassExpired},
		"a clock that is slow":      {sign(engineKey, unchanged), noon.Add(-clockTolerance), ""},
		"from the future":           {sign(engineKey, unchanged), noon.Add(-clockTolerance - time.Second), PassExpired},
		"a foreign key":             {sign(foreign, unchanged), noon, PassInvalid},
		"longer than a day":         {sign(engineKey, func(p *Pass) { p.Expires++ }), noon, PassInvalid},
		"another issuer":            {sign(engineKey, func(p *Pass) { p.Issuer = "pan_1" }), noon, PassInvalid},
		"another audience":          {sign(engineKey, func(p *Pass) { p.Audience = "pan_1" }), noon, PassInvalid},
		"another type":              {sign(engineKey, func(p *Pass) { p.Type = TypeProof }), noon, PassInvalid},
		"no grant":                  {sign(engineKey, func(p *Pass) { p.GrantID = "" }), noon, PassInvalid},
		"a message of the engine":   {command, noon, PassInvalid},
		"larger than a phone's":     {sign(engineKey, func(p *Pass) { p.ID = strings.Repeat("x", maxPass) }), noon, PassInvalid},
		"something else entirely":   {"open sesame", noon, PassInvalid},
		"a proof instead of a pass": {sealProof(t, phoneKey, nil), noon, PassInvalid},
	} {
		if p, got := OpenPass(c.token, engineKeys, c.at); got != c.want || got == PassInvalid && p.ID != "" {
			t.Errorf("%s: %q %+v, want %q", name, got, p, c.want)
		}
	}
}

// P9: what a panel takes for a proof, of both kinds of keys.
func TestCheckProof(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"Ed25519": phoneKey, "P-256": p256} {
		t.Run(name, func(t *testing.T) {
			pass := noonPass()
			pass.Confirmation.JWK = jose.JSONWebKey{Key: key.Public()}
			guard := &Memory{Now: func() time.Time { return noon }}
			for name, c := range map[string]struct {
				change  func(*Proof)
				key     crypto.Signer
				started time.Time
				want    PassRefusal
			}{
				"good":                    {nil, key, noon.Add(-time.Hour), ""},
				"30 seconds old":          {func(p *Proof) { p.IssuedAt -= 30 }, key, noon.Add(-time.Hour), ""},
				"31 seconds old":          {func(p *Proof) { p.IssuedAt -= 31 }, key, noon.Add(-time.Hour), PassStaleProof},
				"31 seconds early":        {func(p *Proof) { p.IssuedAt += 31 }, key, noon.Add(-time.Hour), PassStaleProof},
				"the second of the start": {nil, key, noon.Add(time.Millisecond), PassStaleProof},
				"before the start":        {func(p *Proof) { p.IssuedAt -= 2 }, key, noon.Add(-time.Second), PassStaleProof},
				"another panel":           {func(p *Proof) { p.Audience = "pan_2" }, key, noon, PassUnproven},
				"another entrance":        {func(p *Proof) { p.EntranceID = "ent_2" }, key, noon, PassUnproven},
				"another pass":            {func(p *Proof) { p.PassID = "pass_2" }, key, noon, PassUnproven},
				"another type":            {func(p *Proof) { p.Type = TypePass }, key, noon, PassUnproven},
				"an id that is long":      {func(p *Proof) { p.ID = strings.Repeat("x", maxID+1) }, key, noon, PassUnproven},
				"no id":                   {func(p *Proof) { p.ID = "" }, key, noon, PassUnproven},
				"the engine's key":        {nil, engineKey, noon, PassUnproven},
			} {
				token := sealProof(t, c.key, func(p *Proof) {
					p.ID = name
					if c.change != nil {
						c.change(p)
					}
				})
				got, err := CheckProof(context.Background(), token, pass, "pan_1", "ent_1", noon, c.started, guard)
				if err != nil || got != c.want {
					t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
				}
				if got, _ := CheckProof(context.Background(), token, pass, "pan_1", "ent_1", noon, c.started, guard); c.want == "" && got != PassReplayed {
					t.Errorf("%s, again: %q", name, got)
				}
			}
		})
	}
}

// P9, P3, I10: what the grant that the panel holds says.
func TestJudgePass(t *testing.T) {
	hour := func(n time.Duration) *time.Time { at := noon.Add(n * time.Hour); return &at }
	for name, c := range map[string]struct {
		change   func(*Grant)
		entrance string
		want     PassRefusal
	}{
		"good":                      {nil, "ent_1", ""},
		"another entrance":          {nil, "ent_2", PassNotShared},
		"an entrance added since":   {func(g *Grant) { g.EntranceIDs = []string{"ent_1", "ent_2"} }, "ent_2", PassNotShared},
		"an entrance taken away":    {func(g *Grant) { g.EntranceIDs = nil }, "ent_1", PassNotShared},
		"a tombstone":               {func(g *Grant) { g.Tombstone = true }, "ent_1", PassNotActive},
		"not begun":                 {func(g *Grant) { g.StartsAt = hour(1) }, "ent_1", PassOutsideWindow},
		"over":                      {func(g *Grant) { g.EndsAt = hour(0) }, "ent_1", PassOutsideWindow},
		"from before a demand":      {func(g *Grant) { g.PassesSince = hour(1) }, "ent_1", PassVoid},
		"from the demand's instant": {func(g *Grant) { g.PassesSince = hour(0) }, "ent_1", ""},
	} {
		g := Grant{GrantID: "inv_1", Revision: 3, EntranceIDs: []string{"ent_1"}}
		if c.change != nil {
			c.change(&g)
		}
		if got := JudgePass(noonPass(), &g, c.entrance, noon); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := JudgePass(noonPass(), nil, "ent_1", noon); got != PassNotActive {
		t.Errorf("without a grant: %q", got)
	}
}
