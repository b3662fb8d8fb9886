package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var codeChecks = []Check{
	{Name: "code/of_another_grant_is_refused", Rule: "P1", Kind: SmartBoxKind, wrong: true, run: codeOfAnotherGrant},
	{Name: "code/not_sealed_as_agreed_opens_nothing", Rule: "P1", Kind: SmartBoxKind, wrong: true, run: codeNotAsAgreed},
	{Name: "code/of_an_older_revision_opens_nothing", Rule: "P3", Kind: SmartBoxKind, wrong: true, run: codeReplaced},
	{Name: "code/is_kept_over_a_power_cycle_and_lost_with_a_wipe", Rule: "P2", Kind: SmartBoxKind, wrong: true, run: codeKept},
	{Name: "code/is_shown_nowhere", Rule: "P1", Kind: SmartBoxKind, wrong: true, run: codeShownNowhere},
}

func codeOfAnotherGrant(b *bench) {
	other, code := b.grant()
	g, own := b.grant()
	g.CodeJWE = other.CodeJWE
	b.mustHold(g, 3)
	b.mustNotType(code, "pickup", "wrong_code")
	b.mustNotType(own, "dropoff", "wrong_code")
}

// A code that cannot be read is no reason not to hold the rest of the grant.
func codeNotAsAgreed(b *bench) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	var own *ecdsa.PublicKey
	b.engine.do(func(e *engine) { own = e.boxKey })
	n := 0
	seal := func(to *ecdsa.PublicKey, alg jose.KeyAlgorithm, enc jose.ContentEncryption) func(id, code string) string {
		return func(id, code string) string {
			sealed, err := sealCode(to, alg, enc, id, code)
			if err != nil {
				b.t.Fatal(err)
			}
			return sealed
		}
	}
	for what, sealed := range map[string]func(id, code string) string{
		"sealed to another box":         seal(&stranger.PublicKey, jose.ECDH_ES, jose.A256GCM),
		"with a wrapped key":            seal(own, jose.ECDH_ES_A256KW, jose.A256GCM),
		"with another encryption":       seal(own, jose.ECDH_ES, jose.A128GCM),
		"that is no JWE":                func(_, code string) string { return code },
		"with its cipher text cut off":  func(id, code string) string { return strings.Join(strings.Split(b.seal(id, code), ".")[:3], ".") },
		"with one byte of it changed":   func(id, code string) string { return changed(b.seal(id, code)) },
		"sealed to it but without code": func(id, _ string) string { return b.seal(id, "") },
	} {
		n++
		b.skew(time.Duration(n) * 20 * time.Minute) // so that the wrong codes do not lock the box
		g, code := b.grant()
		g.CodeJWE = sealed(g.GrantID, code)
		b.mustHold(g, 3)
		if answer := b.typeCode(code, "dropoff"); answer.Result != "refused" || answer.Reason != "wrong_code" {
			b.t.Errorf("a code %s must open nothing, but the box says %+v", what, answer)
		}
		b.mustCommand(b.opens(g), "opened")
	}
}

// changed flips a bit of the cipher text.
func changed(jwe string) string {
	parts := strings.Split(jwe, ".")
	text, err := base64url.DecodeString(parts[3])
	if err != nil || len(text) == 0 {
		return ""
	}
	text[0] ^= 1
	parts[3] = base64url.EncodeToString(text)
	return strings.Join(parts, ".")
}

func codeReplaced(b *bench) {
	g, before := b.held()
	b.mustType(before, "pickup")
	_, after := b.grant()
	g.Revision, g.CodeJWE = 4, b.seal(g.GrantID, after)
	b.mustHold(g, 4)
	b.mustNotType(before, "pickup", "wrong_code")
	b.mustNotType(before, "dropoff", "wrong_code")
	b.mustType(after, "pickup")
	g.Revision, g.CodeJWE = 5, "unreadable"
	b.mustHold(g, 5)
	b.mustNotType(after, "dropoff", "wrong_code")
	g.Revision, g.CodeJWE = 6, b.seal(g.GrantID, after)
	b.mustHold(g, 6)
	b.mustType(after, "dropoff")
	g.Revision, g.CodeJWE = 7, ""
	b.mustHold(g, 7)
	b.mustNotType(after, "dropoff", "wrong_code")
}

func codeKept(b *bench) {
	_, code := b.held()
	b.engine.do(func(e *engine) { e.away[pathSync] = true })
	b.powerCycle()
	b.mustType(code, "pickup")
	b.wipe()
	b.mustNotType(code, "pickup", "wrong_code")
}

// What the engine heard is looked through at the end of every check.
func codeShownNowhere(b *bench) {
	since := b.engine.now().Add(-time.Second)
	g, code := b.held()
	wrong := newCode()
	*b.codes = append(*b.codes, wrong)
	b.mustType(code, "pickup")
	b.mustNotType(wrong, "pickup", "wrong_code")
	b.reported("the opening", func(e event) bool { return e.Type == "opened" && e.GrantID == g.GrantID })
	b.reported("the wrong code", func(e event) bool {
		return e.Type == "denied" && e.Code == "wrong_code" && e.At.After(since)
	})
	status, shown, err := call(b.ctx, http.MethodGet, b.device.Control+"/sim", nil, "")
	if err != nil || status != http.StatusOK {
		b.t.Fatalf("control interface: %d %v", status, err)
	}
	for _, secret := range []string{code, wrong, g.CodeJWE} {
		if strings.Contains(string(shown), secret) {
			b.t.Errorf("a booking code is shown by the control interface")
		}
	}
}
