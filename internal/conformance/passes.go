package conformance

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

var passChecks = []Check{
	{Name: "pass/admits_while_cut_off", Rule: "P9", Kind: DoorKind, run: passAdmits},
	{Name: "pass/of_a_phone_with_a_P-256_key_admits", Rule: "P9", Kind: DoorKind, run: passOfP256},
	{Name: "pass/forged_is_invalid", Rule: "P9", Kind: DoorKind, run: passForged},
	{Name: "pass/admits_in_its_time_only", Rule: "P9", Kind: DoorKind, run: passTimes},
	{Name: "pass/needs_a_proof_of_this_time_and_place", Rule: "P9", Kind: DoorKind, run: passProofs},
	{Name: "pass/proof_is_good_once", Rule: "P9", Kind: DoorKind, run: passProofOnce},
	{Name: "pass/admits_by_the_grant_that_is_held", Rule: "P9", Kind: DoorKind, run: passAndGrant},
	{Name: "pass/before_verification_was_asked_for_is_void", Rule: "I10", Kind: DoorKind, run: passVoid},
	{Name: "pass/admits_by_policy_and_lease_only", Rule: "P2", Kind: DoorKind, run: passAndPolicy},
}

// pass is what a guest's phone shows; proof is what it says about it.
type (
	pass struct {
		Iss           string   `json:"iss"`
		Aud           string   `json:"aud"`
		Sub           string   `json:"sub"`
		Jti           string   `json:"jti"`
		Typ           string   `json:"typ"`
		Iat           int64    `json:"iat"`
		Exp           int64    `json:"exp"`
		Entrances     []string `json:"entrances"`
		Cnf           cnf      `json:"cnf"`
		GrantRevision int64    `json:"grant_revision"`
	}
	cnf struct {
		JWK jwk `json:"jwk"`
	}
	proof struct {
		Aud        string `json:"aud"`
		Typ        string `json:"typ"`
		EntranceID string `json:"entrance_id"`
		PassID     string `json:"pass_id"`
		Iat        int64  `json:"iat"`
		Jti        string `json:"jti"`
	}
)

// phone is a guest's, with its key.
type phone struct {
	jwk  jwk
	sign func(payload []byte) string
}

// newPhone waits until a second has begun in which the panel did not start: it takes
// no proof from the one in which it did.
func newPhone(b *bench) phone {
	b.t.Helper()
	since := b.engine.now().Unix()
	b.awaitAsked("another second begins", func() bool { return b.engine.now().Unix() > since })
	key := foreignKey(b)
	return phone{
		jwk:  jwk{Kty: "OKP", Crv: "Ed25519", X: base64url.EncodeToString(key.Public().(ed25519.PublicKey))},
		sign: func(payload []byte) string { return signWith(key, map[string]any{"alg": "EdDSA"}, payload) },
	}
}

func newP256Phone(b *bench) phone {
	b.t.Helper()
	since := b.engine.now().Unix()
	b.awaitAsked("another second begins", func() bool { return b.engine.now().Unix() > since })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		b.t.Fatal(err)
	}
	return phone{
		jwk: jwk{Kty: "EC", Crv: "P-256", X: base64url.EncodeToString(public[1:33]), Y: base64url.EncodeToString(public[33:])},
		sign: func(payload []byte) string {
			input := signingInput(map[string]any{"alg": "ES256"}, payload)
			digest := sha256.Sum256([]byte(input))
			r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				return ""
			}
			signature := make([]byte, 64)
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
			return input + "." + base64url.EncodeToString(signature)
		},
	}
}

// issue is a pass of the engine for a phone, by a grant.
func (b *bench) issue(g grant, p phone) pass {
	now := b.engine.now().Unix()
	return pass{
		Iss: engineName, Aud: "panels", Sub: g.GrantID, Jti: newID("pass"), Typ: "pass", Iat: now - 5, Exp: now + 3600,
		Entrances: g.EntranceIDs, Cnf: cnf{p.jwk}, GrantRevision: g.Revision,
	}
}

// signPass signs a pass as the engine does.
func (b *bench) signPass(p pass) string {
	b.t.Helper()
	payload, err := json.Marshal(p)
	if err != nil {
		b.t.Fatal(err)
	}
	s := b.own()
	return signWith(s.key, map[string]any{"alg": "EdDSA", "kid": s.id}, payload)
}

// prove is what a phone says of a pass at the front door; change may spoil it.
func (b *bench) prove(p pass, with phone, change func(*proof)) string {
	b.t.Helper()
	said := proof{Aud: b.engine.panelID, Typ: "proof", EntranceID: frontDoor, PassID: p.Jti, Iat: b.engine.now().Unix(), Jti: newID("proof")}
	if change != nil {
		change(&said)
	}
	payload, err := json.Marshal(said)
	if err != nil {
		b.t.Fatal(err)
	}
	return with.sign(payload)
}

// show holds a phone with a pass to an entrance. want is why it is refused; empty: it
// is admitted.
func (b *bench) show(what, token, proven, entranceID, want string) {
	b.t.Helper()
	before := len(b.look().Opened)
	var answer typed
	b.control(http.MethodPost, "/sim/pass", map[string]string{"pass": token, "proof": proven, "entrance_id": entranceID}, &answer)
	opened := len(b.look().Opened) - before
	if want == "" && (answer.Result != "opened" || opened != 1) || want != "" && (answer.Result != "refused" || answer.Reason != want || opened != 0) {
		b.t.Errorf("%s: must be %s, but the answer is %+v, and %d doors opened", what, map[bool]string{true: "admitted", false: "refused with " + want}[want == ""], answer, opened)
	}
}

// shown is show for a pass that is signed and proven as it should be.
func (b *bench) shown(what string, p pass, with phone, want string) {
	b.t.Helper()
	b.show(what, b.signPass(p), b.prove(p, with, nil), frontDoor, want)
}

func passAdmits(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	p := b.issue(g, with)
	b.fault("offline", "")
	b.shown("a pass", p, with, "")
	b.shown("a pass for the second time, with a new proof", p, with, "")
	unproven := p
	unproven.Jti = newID("pass")
	b.show("a pass that is not proven", b.signPass(unproven), b.prove(p, with, nil), frontDoor, "pass_unproven")
	b.fault("none", "")
	b.await("both openings are reported later", func(e *engine) bool {
		return e.count(func(e event) bool { return e.Type == "opened" && e.PassID == p.Jti }) == 2
	})
	b.engine.do(func(e *engine) {
		n := e.count(func(e event) bool {
			return e.PassID == p.Jti && e.Via == "pass" && e.GrantID == g.GrantID && e.EntranceID == frontDoor && e.CommandID == ""
		})
		if n != 2 {
			b.t.Errorf("an opening by a pass must name via, pass, grant and entrance")
		}
	})
	e := b.reported("the refusal", func(e event) bool { return e.Type == "denied" && e.PassID == unproven.Jti })
	if e.Code != "pass_unproven" || e.Via != "pass" || e.GrantID != g.GrantID {
		b.t.Errorf("a refusal of a pass must name code, via and grant, but is %+v", e)
	}
}

// count counts events. The caller holds mu.
func (e *engine) count(is func(event) bool) (n int) {
	for _, events := range e.events {
		for _, event := range events {
			if is(event) {
				n++
			}
		}
	}
	return n
}

func passOfP256(b *bench) {
	g, _ := b.held()
	with := newP256Phone(b)
	p := b.issue(g, with)
	b.shown("a pass of a phone with a P-256 key", p, with, "")
	b.show("a proof by another P-256 key", b.signPass(p), b.prove(p, newP256Phone(b), nil), frontDoor, "pass_unproven")
	b.show("a proof by a key of another kind", b.signPass(p), b.prove(p, newPhone(b), nil), frontDoor, "pass_unproven")
}

func passForged(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	p := b.issue(g, with)
	payload, err := json.Marshal(p)
	if err != nil {
		b.t.Fatal(err)
	}
	s := b.own()
	named := map[string]any{"alg": "EdDSA", "kid": s.id}
	own := map[string]any{"alg": "EdDSA", "jwk": with.jwk}
	good := strings.Split(b.signPass(p), ".")
	for what, token := range map[string]string{
		"by another key":     signWith(foreignKey(b), named, payload),
		"by the phone":       with.sign(payload),
		"with alg none":      signingInput(map[string]any{"alg": "none"}, payload) + ".",
		"with its own key":   signWith(foreignKey(b), own, payload),
		"without signature":  good[0] + "." + good[1] + ".",
		"that is none":       "pass",
		"of more than 16KiB": signWith(s.key, named, append(payload, []byte(strings.Repeat(" ", 16<<10))...)),
	} {
		b.show("a pass "+what, token, b.prove(p, with, nil), frontDoor, "pass_invalid")
	}
	for what, change := range map[string]func(*pass){
		"of another issuer":      func(p *pass) { p.Iss = "somebody" },
		"for another audience":   func(p *pass) { p.Aud = b.engine.panelID },
		"of another type":        func(p *pass) { p.Typ = "command" },
		"without a grant":        func(p *pass) { p.Sub = "" },
		"without an id":          func(p *pass) { p.Jti = "" },
		"for more than 24 hours": func(p *pass) { p.Exp = p.Iat + 86401 },
		"without time":           func(p *pass) { p.Iat, p.Exp = 0, 0 },
	} {
		changed := p
		change(&changed)
		want := "pass_invalid"
		if what == "without time" {
			want = "pass_expired"
		}
		b.shown("a pass "+what, changed, with, want)
	}
	b.shown("the pass that was forged", p, with, "")
	b.await("what is invalid is reported without what it says", func(e *engine) bool {
		return e.count(func(e event) bool { return e.Code == "pass_invalid" }) >= 10
	})
	b.engine.do(func(e *engine) {
		if e.count(func(e event) bool { return e.Code == "pass_invalid" && (e.GrantID != "" || e.PassID != "") }) > 0 {
			b.t.Errorf("nothing of an invalid pass may be believed")
		}
	})
}

func passTimes(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	for what, times := range map[string][2]int64{"from 20 seconds ahead": {20, 3600}, "for 24 hours": {-10, 86390}, "of yesterday that is still good": {-86000, 300}} {
		p := b.issue(g, with)
		now := b.engine.now().Unix()
		p.Iat, p.Exp = now+times[0], now+times[1]
		b.shown("a pass "+what, p, with, "")
	}
	for what, times := range map[string][2]int64{"from 45 seconds ahead": {45, 3600}, "that is over": {-3600, -1}} {
		p := b.issue(g, with)
		now := b.engine.now().Unix()
		p.Iat, p.Exp = now+times[0], now+times[1]
		b.shown("a pass "+what, p, with, "pass_expired")
	}
}

func passProofs(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	p := b.issue(g, with)
	token := b.signPass(p)
	long := newID("proof") + strings.Repeat("x", 64)
	for what, change := range map[string]func(*proof){
		"for another panel":    func(p *proof) { p.Aud = "pan_other" },
		"of another type":      func(p *proof) { p.Typ = "pass" },
		"for another entrance": func(p *proof) { p.EntranceID = garage },
		"of another pass":      func(p *proof) { p.PassID = newID("pass") },
		"without an id":        func(p *proof) { p.Jti = "" },
		"with a long id":       func(p *proof) { p.Jti = long[:65] },
	} {
		b.show("a proof "+what, token, b.prove(p, with, change), frontDoor, "pass_unproven")
	}
	for what, by := range map[string]int64{"of a minute ago": -60, "of a minute ahead": 60} {
		b.show("a proof "+what, token, b.prove(p, with, func(p *proof) { p.Iat += by }), frontDoor, "proof_expired")
	}
	b.show("a proof of another phone", token, b.prove(p, newPhone(b), nil), frontDoor, "pass_unproven")
	b.show("no proof", token, "", frontDoor, "pass_unproven")
	b.show("the pass instead of a proof", token, token, frontDoor, "pass_unproven")
	b.shown("a proof as it should be", p, with, "")
}

// passProofOnce includes a panel that has forgotten which proofs it was shown.
func passProofOnce(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	p := b.issue(g, with)
	proven := b.prove(p, with, nil)
	b.show("a proof", b.signPass(p), proven, frontDoor, "")
	b.show("a proof for the second time", b.signPass(p), proven, frontDoor, "proof_replayed")
	b.powerCycle()
	var answer typed
	b.control(http.MethodPost, "/sim/pass", map[string]string{"pass": b.signPass(p), "proof": proven, "entrance_id": frontDoor}, &answer)
	if answer.Result != "refused" || answer.Reason != "proof_expired" && answer.Reason != "proof_replayed" {
		b.t.Errorf("a proof from before a power cycle must not be good again, but the answer is %+v", answer)
	}
	b.awaitAsked("a new proof is good after a power cycle", func() bool { // of the next second at the latest
		b.control(http.MethodPost, "/sim/pass", map[string]string{"pass": b.signPass(p), "proof": b.prove(p, with, nil), "entrance_id": frontDoor}, &answer)
		return answer.Result == "opened"
	})
}

func passAndGrant(b *bench) {
	with := newPhone(b)
	unknown, _ := b.grant()
	b.shown("a pass by a grant that the panel does not hold", b.issue(unknown, with), with, "not_active")

	g, _ := b.held()
	p := b.issue(g, with)
	one := g
	one.Revision, one.EntranceIDs = 4, []string{garage}
	b.mustHold(one, 4)
	b.shown("a pass for an entrance that the grant has lost", p, with, "not_shared")
	one.Revision, one.EntranceIDs = 5, []string{frontDoor}
	b.mustHold(one, 5)
	elsewhere := p
	elsewhere.Entrances = []string{garage}
	b.shown("a pass without the entrance", elsewhere, with, "not_shared")
	b.show("a pass at an entrance of another panel", b.signPass(p), b.prove(p, with, func(p *proof) { p.EntranceID = "ent_other" }), "ent_other", "not_shared")
	b.shown("a pass of an older revision of the grant", p, with, "")
	newer := p
	newer.GrantRevision = 9
	b.shown("a pass of a newer revision of the grant", newer, with, "")
	b.mustHold(b.closed(g, 6), 6)
	b.shown("a pass outside the window of the grant", p, with, "outside_window")
	b.mustHold(ended(g, 7), 7)
	b.shown("a pass by a grant that is over", p, with, "not_active")
}

func passVoid(b *bench) {
	g, _ := b.held()
	with := newPhone(b)
	p := b.issue(g, with)
	since := b.engine.now().Add(-3 * time.Second)
	g.Revision, g.PassesSince = 4, &since
	b.mustHold(g, 4)
	b.shown("a pass from before the manager asked for verification", p, with, "pass_void")
	p.Iat = b.engine.now().Unix()
	b.shown("a pass from after that", p, with, "")
}

func passAndPolicy(b *bench) {
	g, _ := b.grant()
	g.StartsAt, g.EndsAt = nil, nil
	b.mustHold(g, 3)
	with := newPhone(b)
	b.mustObey(b.lockedDown())
	b.shown("a pass under lock-down", b.issue(g, with), with, "locked_down")
	b.mustObey(b.shut())
	b.shown("a pass where guests are not admitted", b.issue(g, with), with, "closed_by_policy")
	b.mustObey(b.openPolicy())
	b.shown("a pass where all is open", b.issue(g, with), with, "")
	b.noLease()
	b.leasing(10*time.Second, b.engine.now().Add(20*time.Minute))
	b.cutOff(func() {
		b.skew(21 * time.Minute)
		b.shown("a pass after the lease", b.issue(g, with), with, "lease_expired")
	})
}
