package panel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"
)

var enginePublic = engineKey.Public().(ed25519.PublicKey)

// toDoor is what the door demands of a command.
var toDoor = Expect{Issuer: EngineName, Audience: "pan_1", Type: TypeCommand}

func command(t *testing.T) string {
	t.Helper()
	token, _, err := engine.Signer().Sign("pan_1", TypeCommand, "", Command{CommandID: "cmd_1", Op: OpUnlock}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantCode(t *testing.T, err error, want Code) {
	t.Helper()
	refusal, ok := AsError(err)
	if !ok || refusal.Code != want {
		t.Fatalf("refused with %v, want %s", err, want)
	}
}

// handmade signs a payload under headers that Signer would never write.
func handmade(t *testing.T, header map[string]any, payload any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	p, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(p)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(engineKey, []byte(text)))
}

func envelopeAt(at time.Time) Envelope {
	return Envelope{Issuer: EngineName, Audience: "pan_1", IssuedAt: at.Unix(), Expires: at.Add(messageTTL).Unix(), ID: "jti", Type: TypeCommand, Body: json.RawMessage(`{}`)}
}

// P1: a message is for one receiver, of one kind, for a minute, and once.
func TestWhatAReceiverRefuses(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	forged, _, err := Signer{Name: EngineName, Key: stranger}.Sign("pan_1", TypeCommand, "", Command{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := engine.Signer().Sign("pan_1", TypeCommand, "request", Command{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	posing, _, err := Signer{Name: "pan_9", Key: engineKey}.Sign("pan_1", TypeCommand, "", Command{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	good := command(t)
	parts := strings.Split(good, ".")
	other := envelopeAt(noon)
	other.Body = json.RawMessage(`{"command_id":"cmd_2"}`)
	changed, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		token string
		want  Expect
		now   time.Time
		code  Code
	}{
		{"forged by a stranger's key", forged, toDoor, noon, CodeBadSignature},
		{"payload changed on the way", parts[0] + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + parts[2], toDoor, noon, CodeBadSignature},
		{"signature cut off", parts[0] + "." + parts[1] + ".", toDoor, noon, CodeBadSignature},
		{"names another sender", posing, toDoor, noon, CodeBadSignature},
		{"for another panel", good, Expect{Issuer: EngineName, Audience: "pan_2", Type: TypeCommand}, noon, CodeWrongAudience},
		{"a command where a grant is expected", good, Expect{Issuer: EngineName, Audience: "pan_1", Type: TypeGrant}, noon, CodeWrongType},
		{"a request where an answer is expected", good, Expect{Issuer: EngineName, Audience: "pan_1", Type: TypeCommand, Re: "request"}, noon, CodeWrongType},
		{"an answer where a request is expected", answer, toDoor, noon, CodeWrongType},
		{"an answer to another request", answer, Expect{Issuer: EngineName, Audience: "pan_1", Type: TypeCommand, Re: "other"}, noon, CodeWrongType},
		{"too old", good, toDoor, noon.Add(messageTTL + clockTolerance + time.Second), CodeExpiredMessage},
		{"from the future", good, toDoor, noon.Add(-clockTolerance - time.Second), CodeExpiredMessage},
		{"not a JWS", "hello", toDoor, noon, CodeMalformed},
		{"empty", "", toDoor, noon, CodeMalformed},
		{"larger than 1 MiB", strings.Repeat("a", MaxMessage+1), toDoor, noon, CodeTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Command
			_, err := Open(context.Background(), tt.token, enginePublic, tt.want, tt.now, &Memory{}, &c)
			wantCode(t, err, tt.code)
			if c != (Command{}) {
				t.Errorf("a refused message was read: %+v", c)
			}
		})
	}
	t.Run("an intact one is accepted to the last second", func(t *testing.T) {
		for _, at := range []time.Time{noon, noon.Add(messageTTL + clockTolerance), noon.Add(-clockTolerance)} {
			if _, err := Open(context.Background(), good, enginePublic, toDoor, at, &Memory{}, new(Command)); err != nil {
				t.Errorf("at %s: %v", at, err)
			}
		}
	})
}

// P1: Ed25519 and nothing else, whatever a header says; the key is the receiver's
// to know.
func TestHeadersCannotChooseTheKey(t *testing.T) {
	hmac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(enginePublic)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es256, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p256}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(envelopeAt(noon))
	if err != nil {
		t.Fatal(err)
	}
	compact := func(s jose.Signer) string {
		signed, err := s.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	own, err := json.Marshal(PublicJWK("", enginePublic))
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	tests := map[string]string{
		"the public key as an HMAC secret": compact(hmac),
		"another signature algorithm":      compact(es256),
		"alg none":                         none,
		"no alg":                           handmade(t, map[string]any{}, envelopeAt(noon)),
		"alg none over a good signature":   handmade(t, map[string]any{"alg": "none"}, envelopeAt(noon)),
		"a key brought along":              handmade(t, map[string]any{"alg": "EdDSA", "jwk": json.RawMessage(own)}, envelopeAt(noon)),
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Open(context.Background(), token, enginePublic, toDoor, noon, &Memory{}, new(Command))
			wantCode(t, err, CodeMalformed)
			if _, err := Sender(token); err == nil {
				t.Error("the sender of a malformed message was read")
			}
		})
	}
	t.Run("an unknown critical header", func(t *testing.T) {
		token := handmade(t, map[string]any{"alg": "EdDSA", "crit": []string{"x"}, "x": 1}, envelopeAt(noon))
		if _, err := Open(context.Background(), token, enginePublic, toDoor, noon, &Memory{}, new(Command)); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("no key is known", func(t *testing.T) {
		_, err := Open(context.Background(), command(t), nil, toDoor, noon, &Memory{}, new(Command))
		wantCode(t, err, CodeBadSignature)
	})
}

// Even who has the right key cannot make a message that lives longer than a minute.
func TestNoMessageLivesLong(t *testing.T) {
	for _, times := range [][2]int64{
		{noon.Unix(), noon.Unix() + 61}, {0, noon.Unix() + 60}, {noon.Unix(), math.MaxInt64}, {math.MinInt64, math.MaxInt64},
		{-10, math.MaxInt64}, {math.MaxInt64, math.MinInt64}, {math.MinInt64, math.MinInt64}, {math.MaxInt64, math.MaxInt64},
	} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			e := envelopeAt(noon)
			e.IssuedAt, e.Expires = times[0], times[1]
			_, err := Open(context.Background(), handmade(t, map[string]any{"alg": "EdDSA"}, e), enginePublic, toDoor, noon, &Memory{}, new(Command))
			wantCode(t, err, CodeExpiredMessage)
		})
	}
	for name, id := range map[string]string{"without an id": "", "with a huge id": strings.Repeat("x", maxID+1)} {
		t.Run(name, func(t *testing.T) {
			e := envelopeAt(noon)
			e.ID = id
			_, err := Open(context.Background(), handmade(t, map[string]any{"alg": "EdDSA"}, e), enginePublic, toDoor, noon, &Memory{}, new(Command))
			wantCode(t, err, CodeMalformed)
		})
	}
}

// P1: a message is accepted once, and a refused one does not use up its id.
func TestReplay(t *testing.T) {
	guard, token := &Memory{Now: func() time.Time { return noon }}, command(t)
	open := func(want Expect) error {
		_, err := Open(context.Background(), token, enginePublic, want, noon, guard, new(Command))
		return err
	}
	wantCode(t, open(Expect{Issuer: EngineName, Audience: "pan_2", Type: TypeCommand}), CodeWrongAudience)
	if err := open(toDoor); err != nil {
		t.Fatal(err)
	}
	wantCode(t, open(toDoor), CodeReplayed)
}

// The memory of ids is bounded by their age and forgets none that could come back.
func TestMemoryForgetsOnlyWhatIsTooOld(t *testing.T) {
	now := noon
	m := &Memory{Now: func() time.Time { return now }}
	for i := range 5 * sweepFrom {
		now = now.Add(10 * time.Millisecond)
		if seen, err := m.SeenBefore(context.Background(), "pan_1", fmt.Sprint(i), now.Add(90*time.Second)); seen || err != nil {
			t.Fatalf("id %d: %v, %v", i, seen, err)
		}
	}
	if len(m.seen) > 2*sweepFrom {
		t.Errorf("%d ids are held", len(m.seen))
	}
	if seen, err := m.SeenBefore(context.Background(), "pan_1", fmt.Sprint(5*sweepFrom-8000), now); !seen || err != nil {
		t.Errorf("an id of 80 seconds ago is forgotten (%v)", err)
	}
	if seen, err := m.SeenBefore(context.Background(), "pan_2", fmt.Sprint(5*sweepFrom-1), now); seen || err != nil {
		t.Errorf("another sender's id counts (%v)", err)
	}
}

// Whatever is signed is read back as it was, by its receiver alone, and no single
// changed byte goes unnoticed.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z]{3}_[a-v0-9]{1,20}`)
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		sent := Grant{GrantID: id.Draw(t, "grant"), Kind: rapid.String().Draw(t, "kind"), Revision: rapid.Int64().Draw(t, "revision"),
			EntranceIDs: rapid.SliceOf(id).Draw(t, "entrances"), Tombstone: rapid.Bool().Draw(t, "tombstone")}
		if rapid.Bool().Draw(t, "ends") {
			sent.EndsAt = &at
		}
		receiver := id.Draw(t, "receiver")
		token, jti, err := engine.Signer().Sign(receiver, TypeGrant, "", sent, at)
		if err != nil {
			t.Fatal(err)
		}
		want := Expect{Issuer: EngineName, Audience: receiver, Type: TypeGrant}
		var got Grant
		e, err := Open(context.Background(), token, enginePublic, want, at, &Memory{}, &got)
		if err != nil || e.ID != jti || !reflect.DeepEqual(got, sent) {
			t.Fatalf("sent %+v, got %+v (%v)", sent, got, err)
		}
		broken := []byte(token)
		broken[rapid.IntRange(0, len(broken)-1).Draw(t, "where")] ^= byte(rapid.IntRange(1, 127).Draw(t, "bits"))
		var read Grant
		if _, err := Open(context.Background(), string(broken), enginePublic, want, at, &Memory{}, &read); err == nil && !reflect.DeepEqual(read, sent) {
			t.Fatalf("a changed message was read as %+v", read)
		}
	})
}
