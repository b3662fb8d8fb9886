package conformance

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var messageChecks = []Check{
	{Name: "signature/forgeries_are_refused", Rule: "P1", run: forgeriesAreRefused},
	{Name: "signature/forged_grants_and_queries_are_refused", Rule: "P1", run: forgedGrants},
	{Name: "signature/kid_may_be_absent", Rule: "P1", run: kidMayBeAbsent},
	{Name: "message/for_another_receiver_is_refused", Rule: "P1", run: otherReceivers},
	{Name: "message/of_another_sender_is_refused", Rule: "P1", run: otherSenders},
	{Name: "message/of_another_type_is_refused", Rule: "P1", run: otherTypes},
	{Name: "message/time_has_30_seconds_of_tolerance_on_both_sides", Rule: "P1", run: messageTimes},
	{Name: "message/clock_of_the_panel_counts", Rule: "P1", run: panelClockCounts},
	{Name: "message/second_time_is_refused", Rule: "P1", run: replays},
	{Name: "message/refused_one_is_not_remembered", Rule: "P1", run: refusedIsNotRemembered},
	{Name: "message/jti_has_1_to_64_bytes", Rule: "P1", run: jtiSizes},
	{Name: "message/of_more_than_1_MiB_is_refused", Rule: "P1", run: tooLarge},
	{Name: "message/unknown_fields_are_ignored", Rule: "P1", run: unknownFields},
	{Name: "status/tells_who_and_how_the_panel_is", Rule: "P8", run: tellsStatus},
	{Name: "message/rubbish_is_refused", Rule: "P1", run: rubbish},
}

// sent delivers a command in a message that must be accepted.
func (b *bench) sent(what, token, jti string, c command) {
	b.t.Helper()
	code, said, err := b.deliver(http.MethodPost, "/commands", token)
	if err != nil || code != http.StatusOK {
		b.t.Errorf("%s must be accepted, but the answer is %d %s %v", what, code, said, err)
		return
	}
	var r result
	b.answered(said, "result", jti, &r)
	if r.Result != "opened" {
		b.t.Errorf("%s must open, but the result is %s", what, r.Result)
	}
	b.mustHaveOpened(c.CommandID, 1)
}

// spoilt delivers a good command in a message that change has spoilt. It must be
// refused with one of the codes and open nothing.
func (b *bench) spoilt(what string, change func(*reply), codes ...string) {
	b.t.Helper()
	g, _ := b.held()
	c := b.opens(g)
	token, _ := b.message("command", c, change)
	b.refused(what, http.MethodPost, "/commands", token, codes...)
	b.mustHaveOpened(c.CommandID, 0)
}

// unspoilt delivers a good command in a message that must be accepted all the same.
func (b *bench) unspoilt(what string, change func(*reply)) {
	b.t.Helper()
	g, _ := b.held()
	c := b.opens(g)
	token, jti := b.message("command", c, change)
	b.sent(what, token, jti, c)
}

func forgeriesAreRefused(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	token, jti := b.message("command", c, nil)
	parts := strings.Split(token, ".")
	payload, err := base64url.DecodeString(parts[1])
	if err != nil {
		b.t.Fatal(err)
	}
	signature, err := base64url.DecodeString(parts[2])
	if err != nil {
		b.t.Fatal(err)
	}
	public, foreign := b.engine.key.Public().(ed25519.PublicKey), foreignKey(b)
	written, err := json.Marshal(publicJWK(b.engine.keyID, public))
	if err != nil {
		b.t.Fatal(err)
	}
	flipped := append([]byte{signature[0] ^ 1}, signature[1:]...)
	otherCommand := strings.Replace(string(payload), c.CommandID, newID("cmd"), 1)
	hs256 := func(secret []byte) string {
		input := signingInput(map[string]any{"alg": "HS256", "kid": b.engine.keyID}, payload)
		mac := hmac.New(sha256.New, secret)
		_, _ = mac.Write([]byte(input)) // never fails
		return input + "." + base64url.EncodeToString(mac.Sum(nil))
	}
	carried := map[string]any{"alg": "EdDSA", "jwk": publicJWK("", foreign.Public().(ed25519.PublicKey))}
	own := map[string]any{"alg": "EdDSA", "jwk": publicJWK("", public)}
	named := map[string]any{"alg": "EdDSA", "kid": b.engine.keyID}
	for what, forged := range map[string]string{
		"a changed signature":                        parts[0] + "." + parts[1] + "." + base64url.EncodeToString(flipped),
		"a changed payload":                          parts[0] + "." + base64url.EncodeToString([]byte(otherCommand)) + "." + parts[2],
		"a missing signature":                        parts[0] + "." + parts[1] + ".",
		"half a signature":                           parts[0] + "." + parts[1] + "." + base64url.EncodeToString(signature[:32]),
		"a foreign key with the engine's kid":        signWith(foreign, named, payload),
		"alg none":                                   signingInput(map[string]any{"alg": "none"}, payload) + ".",
		"alg none with a signature":                  signWith(b.engine.key, map[string]any{"alg": "none"}, payload),
		"HS256 with the public key as secret":        hs256(public),
		"HS256 with the public JWK as secret":        hs256(written),
		"a foreign key that the header carries":      signWith(foreign, carried, payload),
		"the engine's key carried by the header":     signWith(b.engine.key, own, payload),
		"another algorithm named":                    signWith(b.engine.key, map[string]any{"alg": "ES256", "kid": b.engine.keyID}, payload),
		"no algorithm named":                         signWith(b.engine.key, map[string]any{"kid": b.engine.keyID}, payload),
		"an extension that must be understood":       signWith(b.engine.key, map[string]any{"alg": "EdDSA", "crit": []string{"x"}, "x": 1}, payload),
		"the same message in the JSON serialisation": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		b.refused(what, http.MethodPost, "/commands", forged, "bad_signature", "malformed")
	}
	b.mustHaveOpened(c.CommandID, 0)
	b.sent("the message that was forged", token, jti, c)
}

func forgedGrants(b *bench) {
	g, _ := b.held()
	ended := g
	ended.Revision, ended.Tombstone = g.Revision+1, true
	foreign := foreignKey(b)
	token, _ := b.message("grant", ended, func(r *reply) { r.key = foreign })
	b.refused("a grant with a foreign signature", http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), token, "bad_signature")
	token, _ = b.message("status_query", struct{}{}, func(r *reply) { r.key = foreign })
	b.refused("a query with a foreign signature", http.MethodGet, "/status", token, "bad_signature")
	b.refused("a query without a signature", http.MethodGet, "/status", "", "malformed", "bad_signature")
	b.mustCommand(b.opens(g), "opened")
}

func kidMayBeAbsent(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	token, jti := b.message("command", c, nil)
	payload, err := base64url.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		b.t.Fatal(err)
	}
	b.sent("a message that does not name its key", signWith(b.engine.key, map[string]any{"alg": "EdDSA"}, payload), jti, c)
}

func otherReceivers(b *bench) {
	for _, aud := range []string{"pan_other", engineName, unenrolled, ""} {
		b.spoilt("aud "+aud, func(r *reply) { r.Aud = aud }, "wrong_audience")
	}
}

func otherSenders(b *bench) {
	for _, iss := range []string{b.engine.panelID, "pan_other", unenrolled, ""} {
		b.spoilt("iss "+iss, func(r *reply) { r.Iss = iss }, "bad_signature")
	}
}

func otherTypes(b *bench) {
	for _, typ := range []string{"grant", "result", "tap_answer", "sync_answer", "status_query", ""} {
		b.spoilt("typ "+typ, func(r *reply) { r.Typ = typ }, "wrong_type")
	}
	b.spoilt("a request with re", func(r *reply) { r.Re = "some-request" }, "wrong_type")
	g, _ := b.held()
	c := b.opens(g)
	token, _ := b.message("command", c, nil)
	b.refused("a command in the place of a grant", http.MethodPut, "/grants/"+url.PathEscape(g.GrantID), token, "wrong_type")
	b.refused("a command in the place of a query", http.MethodGet, "/status", token, "wrong_type")
	b.mustHaveOpened(c.CommandID, 0)
}

// at sets the times of a message, in seconds from now.
func at(iat, exp int64) func(*reply) {
	return func(r *reply) { r.Iat, r.Exp = r.Iat+iat, r.Iat+exp }
}

// Each is some seconds away from the limit, so that a slow machine does not decide.
func messageTimes(b *bench) {
	b.unspoilt("a message that expired 15 seconds ago", at(-75, -15))
	b.unspoilt("a message from 20 seconds ahead", at(20, 80))
	b.unspoilt("a message for one second", at(0, 1))
	b.spoilt("a message that expired 35 seconds ago", at(-95, -35), "expired_message")
	b.spoilt("a message from 45 seconds ahead", at(45, 105), "expired_message")
	b.spoilt("a message for 61 seconds", at(0, 61), "expired_message")
	b.spoilt("a message for a day", at(0, 86400), "expired_message")
	b.spoilt("a message for ever", func(r *reply) { r.Exp = math.MaxInt64 }, "expired_message", "malformed")
	b.spoilt("a message from ever", func(r *reply) { r.Iat, r.Exp = math.MinInt64, math.MinInt64+60 }, "expired_message", "malformed")
	b.spoilt("a message without time", func(r *reply) { r.Iat, r.Exp = 0, 0 }, "expired_message", "malformed")
}

func panelClockCounts(b *bench) {
	for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		g, _ := b.held()
		c := b.opens(g)
		b.fault("clock_skew", ahead.String())
		token, _ := b.message("command", c, nil)
		b.refused("a message of now to a panel whose clock is off by "+ahead.String(), http.MethodPost, "/commands", token, "expired_message")
		b.fault("none", "")
		b.mustHaveOpened(c.CommandID, 0)
	}
}

func replays(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	token, jti := b.message("command", c, nil)
	b.sent("a command", token, jti, c)
	b.refused("a command for the second time", http.MethodPost, "/commands", token, "replayed")
	b.mustHaveOpened(c.CommandID, 1)
	token, _ = b.message("grant", g, nil)
	path := "/grants/" + url.PathEscape(g.GrantID)
	if code, said, err := b.deliver(http.MethodPut, path, token); err != nil || code != http.StatusOK {
		b.t.Fatalf("a grant: %d %s %v", code, said, err)
	}
	b.refused("a grant for the second time", http.MethodPut, path, token, "replayed")
	same, _ := b.message("command", fresh(c), func(r *reply) { r.Jti = jti })
	b.refused("another message with a jti that was used", http.MethodPost, "/commands", same, "replayed")
}

// Nothing of a message is believed before its signature, and only one that is good
// in all else is remembered: otherwise anybody could make the panel refuse it.
func refusedIsNotRemembered(b *bench) {
	for what, change := range map[string]func(*reply){
		"a foreign signature": func(r *reply) { r.key = foreignKey(b) },
		"another receiver":    func(r *reply) { r.Aud = "pan_other" },
		"another time":        at(600, 660),
	} {
		g, _ := b.held()
		c := b.opens(g)
		var jti string
		bad, _ := b.message("command", c, func(r *reply) {
			jti = r.Jti
			change(r)
		})
		b.refused(what, http.MethodPost, "/commands", bad, "bad_signature", "wrong_audience", "expired_message")
		good, _ := b.message("command", c, func(r *reply) { r.Jti = jti })
		b.sent("the jti after a refused message with "+what, good, jti, c)
	}
}

func jtiSizes(b *bench) {
	long := newID("jti") + strings.Repeat("x", 64)
	b.spoilt("a message without jti", func(r *reply) { r.Jti = "" }, "malformed")
	b.spoilt("a jti of 65 bytes", func(r *reply) { r.Jti = long[:65] }, "malformed")
	b.unspoilt("a jti of 64 bytes", func(r *reply) { r.Jti = long[:64] })
}

// padded is a command that is as large as it is told to be on the wire, and a bit.
func (b *bench) padded(bytes int) (token, jti string, c command) {
	b.t.Helper()
	g, _ := b.held()
	c = b.opens(g)
	token, jti = b.message("command", struct {
		command
		Padding string `json:"padding"`
	}{c, strings.Repeat("x", bytes*3/4)}, nil)
	return token, jti, c
}

func tooLarge(b *bench) {
	token, _, c := b.padded(maxMessage + 4096)
	b.refused("a message of more than 1 MiB", http.MethodPost, "/commands", token, "too_large")
	b.mustHaveOpened(c.CommandID, 0)
	token, jti, c := b.padded(maxMessage - 8192)
	b.sent("a message of a little less than 1 MiB", token, jti, c)
}

func unknownFields(b *bench) {
	g, _ := b.held()
	c := b.opens(g)
	token, _ := b.message("command", struct {
		command
		Later any `json:"of_a_later_version"`
	}{c, map[string]int{"x": 1}}, nil)
	payload, err := base64url.DecodeString(strings.Split(token, ".")[1])
	var all map[string]any
	if err == nil {
		err = json.Unmarshal(payload, &all)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	all["of_a_later_version"] = true
	payload, err = json.Marshal(all)
	if err != nil {
		b.t.Fatal(err)
	}
	b.sent("a message with unknown fields", signWith(b.engine.key, map[string]any{"alg": "EdDSA", "kid": b.engine.keyID}, payload), all["jti"].(string), c)
}

func tellsStatus(b *bench) {
	before := b.status()
	b.held()
	after := b.status()
	if after.PanelID != b.engine.panelID || after.Kind != b.engine.kind || after.BootID == "" || after.At.Sub(b.engine.now()).Abs() > tolerance {
		b.t.Errorf("the status must name panel, kind, boot and the panel's clock, but is %+v", after)
	}
	if after.Grants != before.Grants+1 {
		b.t.Errorf("after one more grant the panel holds %d of %d", after.Grants, before.Grants)
	}
}

func rubbish(b *bench) {
	header := map[string]any{"alg": "EdDSA", "kid": b.engine.keyID}
	for _, text := range []string{"", "hello", "{}", "..", "a.b.c.d", strings.Repeat(".", 1000)} {
		b.refused("the message "+text, http.MethodPost, "/commands", text, "malformed", "bad_signature")
	}
	for _, payload := range []string{"", "null", "[]", "7", `{"iss":7}`} {
		b.refused("the payload "+payload, http.MethodPost, "/commands", signWith(b.engine.key, header, []byte(payload)), "malformed")
	}
	for _, body := range []any{7, "text", []int{1}, map[string]any{"command_id": 7}} {
		token, _ := b.message("command", body, nil)
		b.refused("a body that is no command", http.MethodPost, "/commands", token, "malformed")
	}
	b.status()
}
