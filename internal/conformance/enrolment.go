package conformance

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

var enrolmentChecks = []Check{
	{Name: "enrolment/request_is_whole", Rule: "P1", fresh: true, run: enrolRequestIsWhole},
	{Name: "enrolment/lost_answer_is_asked_for_again_with_the_same_key", Rule: "P1", fresh: true, run: enrolAgain},
	{Name: "enrolment/grants_of_the_answer_are_held", Rule: "P1", fresh: true, run: enrolHolds},
	{Name: "enrolment/other_engine_is_refused", Rule: "P1", fresh: true, run: impostor(func(b *bench, r *reply) {
		r.key = foreignKey(b)
		answer := r.body.(enrolAnswer)
		answer.EngineKeys.Keys = []jwk{publicJWK(b.engine.keyID, r.key.Public().(ed25519.PublicKey))}
		r.body = answer
	})},
	{Name: "enrolment/other_engine_that_names_the_right_key_is_refused", Rule: "P1", fresh: true, run: impostor(func(b *bench, r *reply) {
		r.key = foreignKey(b)
	})},
	{Name: "enrolment/other_engine_beside_the_right_key_is_refused", Rule: "P1", fresh: true, run: impostor(func(b *bench, r *reply) {
		r.key = foreignKey(b)
		answer := r.body.(enrolAnswer)
		answer.EngineKeys.Keys = append([]jwk{publicJWK("eng_other", r.key.Public().(ed25519.PublicKey))}, answer.EngineKeys.Keys...)
		r.body = answer
	})},
	{Name: "enrolment/answer_to_another_request_is_refused", Rule: "P1", fresh: true, run: impostor(func(_ *bench, r *reply) {
		r.Re = rand.Text()
	})},
	{Name: "enrolment/answer_for_another_receiver_is_refused", Rule: "P1", fresh: true, run: impostor(func(_ *bench, r *reply) {
		r.Aud = "pan_other"
	})},
	{Name: "enrolment/old_answer_is_refused", Rule: "P1", fresh: true, run: impostor(func(_ *bench, r *reply) {
		r.Iat, r.Exp = r.Iat-3600, r.Exp-3600
	})},
	{Name: "enrolment/message_of_another_type_is_refused", Rule: "P1", fresh: true, run: impostor(func(_ *bench, r *reply) {
		r.Typ = "sync_answer"
	})},
}

// foreignKey is a key that the panel has never heard of.
func foreignKey(b *bench) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.t.Error(err)
	}
	return key
}

func enrolRequestIsWhole(b *bench) {
	b.start()
	b.await("the panel enrols", func(e *engine) bool { return len(e.enrolments) > 0 })
	b.engine.do(func(e *engine) {
		request := e.enrolments[0]
		if request.EnrolmentCode != e.code {
			b.t.Errorf("the request must carry the code as it was typed")
		}
		if at, err := url.Parse(request.Address); err != nil || request.Address != "" && at.Host == "" {
			b.t.Errorf("address must be a URL, but is %q", request.Address)
		}
		if request.PublicKey.Alg != "" && request.PublicKey.Alg != "EdDSA" {
			b.t.Errorf("public_key is for %q", request.PublicKey.Alg)
		}
		if e.kind == SmartBoxKind && e.boxKey == nil {
			b.t.Errorf("the request of a SmartBox must carry encryption_key")
		}
	})
	b.await("the panel reports and asks for all that it should hold", func(e *engine) bool { return len(e.batches) > 0 && len(e.syncs) > 0 })
}

func enrolAgain(b *bench) {
	b.engine.do(func(e *engine) { e.lose[pathEnrol] = 2 })
	b.start()
	b.await("the panel asks again after a lost answer, and reports", func(e *engine) bool { return len(e.enrolments) > 2 && len(e.batches) > 0 })
	b.engine.do(func(e *engine) {
		for _, again := range e.enrolments {
			if again.PublicKey != e.enrolments[0].PublicKey || again.EnrolmentCode != e.code {
				b.t.Errorf("the repetition must have the same code and the same key")
			}
		}
	})
}

func enrolHolds(b *bench) {
	// The panel has no key yet for a booking code to be encrypted to.
	from, to := b.engine.now().Add(-2*time.Hour), b.engine.now().Add(-time.Hour)
	g := grant{GrantID: newID("inv"), Kind: "invitation", Revision: 3, StartsAt: &from, EndsAt: &to, EntranceIDs: []string{frontDoor}}
	if b.engine.kind == SmartBoxKind {
		g.GrantID, g.Kind, g.EntranceIDs, g.KeyID = newID("res"), "reservation", []string{}, firstKey
	}
	b.engine.do(func(e *engine) {
		e.hold = []holding{e.holding(g)}
		e.away[pathSync] = true
	})
	b.start()
	b.await("the panel enrols and reports", func(e *engine) bool { return len(e.batches) > 0 })
	b.mustCommand(b.opens(g), "outside_window")
}

// impostor answers an enrolment as somebody else would. The panel must not take it
// for its engine.
func impostor(change func(*bench, *reply)) func(*bench) {
	return func(b *bench) {
		var key ed25519.PrivateKey
		b.engine.do(func(e *engine) {
			e.onEnrol = func(r *reply) {
				change(b, r)
				key = r.key
			}
		})
		b.start()
		b.await("the panel asks to enrol", func(e *engine) bool { return len(e.enrolments) > 0 })
		b.never("the panel reports to who is not its engine", func(e *engine) bool { return len(e.batches)+len(e.syncs) > 0 })
		token, _ := b.message("status_query", struct{}{}, func(r *reply) { r.key = key })
		if code, _, err := b.deliver(http.MethodGet, "/status", token); err == nil && code == http.StatusOK {
			b.t.Errorf("the panel answers who is not its engine")
		}
	}
}
