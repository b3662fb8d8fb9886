package conformance

import (
	"crypto/ed25519"
	"net/http"
	"slices"
)

var keyChecks = []Check{
	{Name: "keys/known_ones_are_named", Rule: "P1", run: keysNamed},
	{Name: "keys/new_set_replaces_the_old_one", Rule: "P1", run: keysReplaced},
	{Name: "keys/new_set_comes_with_the_sync_as_well", Rule: "P1", run: keysSynced},
	{Name: "keys/are_kept_over_a_power_cycle", Rule: "P1", run: keysKept},
	{Name: "keys/set_of_another_engine_is_refused", Rule: "P1", run: keysOfAnother},
	{Name: "keys/set_without_a_usable_one_is_ignored", Rule: "P1", run: keysUnusable},
}

// signer is a key of the engine with its name.
type signer struct {
	id  string
	key ed25519.PrivateKey
}

func (s signer) jwk() jwk { return publicJWK(s.id, s.key.Public().(ed25519.PublicKey)) }

// own is the key with which the engine signs now.
func (b *bench) own() (s signer) {
	b.engine.do(func(e *engine) { s = signer{e.keyID, e.key} })
	return s
}

func newSigner(b *bench) signer { return signer{newID("eng"), foreignKey(b)} }

// sign has the engine sign with another key from now on.
func (b *bench) sign(s signer) {
	b.engine.do(func(e *engine) { e.keyID, e.key = s.id, s.key })
}

// rotate has the engine tell the panel of a set of keys, and waits until the panel
// names just these.
func (b *bench) rotate(set ...signer) {
	b.t.Helper()
	b.tell(set...)
	b.happens()
	b.awaitKeys(set...)
}

// tell puts a set of keys into every acknowledgement.
func (b *bench) tell(set ...signer) {
	keys := &jwkSet{}
	for _, s := range set {
		keys.Keys = append(keys.Keys, s.jwk())
	}
	b.engine.do(func(e *engine) { e.onAck = func(ack *eventsAck) { ack.EngineKeys = keys } })
}

func ids(set []signer) (ids []string) {
	for _, s := range set {
		ids = append(ids, s.id)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}

// awaitKeys waits for a report that names these keys.
func (b *bench) awaitKeys(set ...signer) {
	b.t.Helper()
	before := 0
	b.engine.do(func(e *engine) { before = max(len(e.batches)-1, 0) })
	for range 3 { // a report that was on its way is another one
		b.happens()
	}
	b.await("the panel names the keys that it trusts", func(e *engine) bool {
		return slices.ContainsFunc(e.batches[before:], func(batch eventBatch) bool { return slices.Equal(sorted(batch.EngineKeyIDs), ids(set)) })
	})
}

// trusts says whether a message that this key signs is believed.
func (b *bench) trusts(s signer, yes bool) {
	b.t.Helper()
	token, jti := b.message("status_query", struct{}{}, func(r *reply) { r.key = s.key })
	if !yes {
		b.refused("a message of a key that is not in the set", http.MethodGet, "/status", token, "bad_signature")
		return
	}
	code, said, err := b.deliver(http.MethodGet, "/status", token)
	if err != nil || code != http.StatusOK {
		b.t.Fatalf("a message of a key in the set: %d %s %v", code, said, err)
	}
	b.answered(said, "status", jti, &status{})
}

func keysNamed(b *bench) {
	b.awaitKeys(b.own())
	asked := b.syncsSince("the panel asks for all that it should hold", b.powerCycle, atLeast(1))
	if !slices.Equal(sorted(asked[0].EngineKeyIDs), []string{b.own().id}) {
		b.t.Errorf("a sync must name the keys that the panel trusts, but has %v", asked[0].EngineKeyIDs)
	}
}

func keysReplaced(b *bench) {
	first, second := b.own(), newSigner(b)
	b.rotate(first, second)
	b.trusts(first, true)
	b.trusts(second, true)
	b.sign(second)
	g, _ := b.held()
	b.mustCommand(b.opens(g), "opened")
	b.rotate(second)
	b.trusts(second, true)
	b.trusts(first, false)
	b.mustCommand(b.opens(g), "opened")
}

func keysSynced(b *bench) {
	first, second := b.own(), newSigner(b)
	b.engine.do(func(e *engine) {
		e.onReply = func(typ string, r *reply) {
			if typ == "sync_answer" {
				r.body = struct {
					holding
					EngineKeys jwkSet `json:"engine_keys"`
				}{r.body.(holding), jwkSet{Keys: []jwk{first.jwk(), second.jwk()}}}
			}
		}
	})
	b.powerCycle()
	b.awaitKeys(first, second)
	b.trusts(first, true)
	b.trusts(second, true)
}

func keysKept(b *bench) {
	first, second := b.own(), newSigner(b)
	b.rotate(first, second)
	b.rotate(second, first)
	b.sign(second)
	b.rotate(second)
	b.cutOff(func() {
		b.powerCycle()
		b.trusts(second, true)
		b.trusts(first, false)
	})
}

// keysOfAnother is a set in an answer that the panel must not believe.
func keysOfAnother(b *bench) {
	own, other := b.own(), newSigner(b)
	b.tell(other)
	spoilt := 0
	b.engine.do(func(e *engine) {
		e.onReply = func(typ string, r *reply) {
			if typ == "events_ack" && spoilt == 0 {
				spoilt++
				e.onAck = nil
				r.key = other.key
			}
		}
	})
	c := b.happens()
	b.await("the report is sent again", func(e *engine) bool { return spoilt > 0 && e.batchesWith(c) > 1 })
	b.awaitKeys(own)
	b.trusts(own, true)
	b.trusts(other, false)
}

func keysUnusable(b *bench) {
	own := b.own()
	n := 0
	b.engine.do(func(e *engine) {
		e.onAck = func(ack *eventsAck) {
			n++
			ack.EngineKeys = &jwkSet{Keys: []jwk{}}
			if n%2 == 0 {
				ack.EngineKeys.Keys = []jwk{{Kty: "OKP", Crv: "Ed25519", Kid: own.id, X: base64url.EncodeToString([]byte("short"))}}
			}
		}
	})
	for range 2 {
		c := b.happens()
		b.reported("the event", about(c))
	}
	b.awaitKeys(own)
	b.trusts(own, true)
}
