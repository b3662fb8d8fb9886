package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// code asks for a code and reads it as its receiver does.
func (w *world) code(address, network string, now time.Time) (attempt, code string) {
	w.t.Helper()
	attempt, err := w.StartSignIn(w.t.Context(), address, "en", network, now)
	w.ok(err)
	return attempt, w.newestCode(now)
}

func (w *world) newestCode(now time.Time) string {
	w.t.Helper()
	due, _, err := w.DueMessages(w.t.Context(), 100, now)
	w.ok(err)
	if len(due) == 0 {
		w.t.Fatal("no message waits to be sent")
	}
	code, err := w.MessageSecret(due[len(due)-1])
	w.ok(err)
	return code
}

func (w *world) signIn(address string, now time.Time) (token string, session store.Session) {
	w.t.Helper()
	attempt, code := w.code(address, "192.0.2.1", now)
	token, session, err := w.SignIn(w.t.Context(), attempt, code, now)
	w.ok(err)
	return token, session
}

func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func TestSignInMakesTheAccountOnce(t *testing.T) {
	w := open(t)
	w.code("ana@example.com", "192.0.2.1", noon)
	if w.number(`SELECT count(*) FROM people WHERE signed_in_at IS NOT NULL`) != 0 {
		t.Error("asking for a code made an account")
	}
	token, first := w.signIn("ana@example.com", noon)
	_, second := w.signIn("ANA@Example.COM", noon.Add(time.Minute)) // I3: the same address
	if first.PersonID != second.PersonID || w.number(`SELECT count(*) FROM people`) != 1 {
		t.Errorf("signed in as %s, then as %s", first.PersonID, second.PersonID)
	}
	if first.ExpiresAt.Sub(noon) != 30*24*time.Hour {
		t.Errorf("the session ends at %s", first.ExpiresAt)
	}
	if found, err := w.Session(t.Context(), token, noon); err != nil || found != first {
		t.Errorf("Session = %+v, %v", found, err)
	}
	p, err := w.Person(t.Context(), first.PersonID)
	w.ok(err)
	if p.Email != "ana@example.com" || p.AccountID != "" {
		t.Errorf("the person is %+v, want an identity that belongs to no tenant", p)
	}
}

func TestSessionsEnd(t *testing.T) {
	w := open(t)
	token, session := w.signIn("ana@example.com", noon)
	other, kept := w.signIn("ana@example.com", noon.Add(time.Minute))
	_, foreign := w.signIn("ben@example.com", noon)

	sessions, err := w.Sessions(t.Context(), session.PersonID, noon.Add(time.Minute))
	w.ok(err)
	if len(sessions) != 2 || sessions[0] != kept || sessions[1] != session {
		t.Errorf("sessions %+v, want the two of this person, newest first", sessions)
	}
	w.ok(w.SignOut(t.Context(), session.ID, noon.Add(time.Hour)))
	w.ok(w.SignOut(t.Context(), session.ID, noon.Add(2*time.Hour)))
	_, err = w.Session(t.Context(), token, noon.Add(time.Hour))
	w.refused(err, directory.CodeNotFound)
	if _, err := w.Session(t.Context(), other, kept.ExpiresAt.Add(-time.Second)); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	_, err = w.Session(t.Context(), other, kept.ExpiresAt)
	w.refused(err, directory.CodeNotFound)
	for _, token := range []string{"", "ses_unknown", kept.ID} {
		_, err = w.Session(t.Context(), token, noon)
		w.refused(err, directory.CodeNotFound)
	}
	if left, err := w.Sessions(t.Context(), foreign.PersonID, noon); err != nil || len(left) != 1 {
		t.Errorf("another person's sessions: %v, %v", left, err)
	}
}

// Wrong, unknown, used, replaced and expired codes get one answer.
func TestEveryBadCodeGetsTheSameAnswer(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	var answers []string
	bad := func(attempt, code string, now time.Time) {
		t.Helper()
		token, _, err := w.SignIn(ctx, attempt, code, now)
		answers = append(answers, w.refused(err, store.CodeInvalidCode).Error())
		if token != "" {
			t.Error("a refused sign-in gave a token")
		}
	}
	bad("att_unknown", "123456", noon)
	attempt, code := w.code("ana@example.com", "192.0.2.1", noon)
	bad(attempt, wrong(code), noon)
	bad(attempt, "", noon)
	bad(attempt, code, noon.Add(10*time.Minute)) // expired

	newer, newCode := w.code("ana@example.com", "192.0.2.1", noon.Add(time.Second))
	bad(attempt, code, noon.Add(time.Second)) // replaced
	if _, _, err := w.SignIn(ctx, newer, newCode, noon.Add(10*time.Minute)); err != nil {
		t.Errorf("the newer code, a second before its end: %v", err)
	}
	bad(newer, newCode, noon.Add(time.Minute)) // used
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("answers differ: %q and %q", a, answers[0])
		}
	}
	if n := w.number(`SELECT count(*) FROM sessions`); n != 1 {
		t.Errorf("%d sessions, want the one", n)
	}
}

// After an outage of the mail nobody finds codes in it that are void already.
func TestAReplacedCodeIsNotSentAnyMore(t *testing.T) {
	w := open(t)
	w.code("ana@example.com", "192.0.2.1", noon)
	w.code("ben@example.com", "192.0.2.1", noon)
	attempt, code := w.code("ana@example.com", "192.0.2.1", noon.Add(time.Minute))
	due, _, err := w.DueMessages(t.Context(), 10, noon.Add(time.Minute))
	w.ok(err)
	if len(due) != 2 {
		t.Errorf("%d messages wait, want Ben's and the newer one of Ana's", len(due))
	}
	if n := w.number(`SELECT count(*) FROM messages WHERE state = 'failed' AND secret IS NOT NULL`); n != 0 {
		t.Error("a code that is never sent is still kept")
	}
	if _, _, err := w.SignIn(t.Context(), attempt, code, noon.Add(time.Minute)); err != nil {
		t.Error(err)
	}
}

func TestACodeCanBeTriedFiveTimes(t *testing.T) {
	w := open(t)
	for wrongs, accepted := range map[int]bool{4: true, 5: false} {
		attempt, code := w.code(fmt.Sprintf("ana%d@example.com", wrongs), "192.0.2.1", noon)
		for range wrongs {
			_, _, err := w.SignIn(t.Context(), attempt, wrong(code), noon)
			w.refused(err, store.CodeInvalidCode)
		}
		if _, _, err := w.SignIn(t.Context(), attempt, code, noon); (err == nil) != accepted {
			t.Errorf("the right code after %d wrong ones: %v", wrongs, err)
		}
		w.finishMessages(noon)
	}
}

// finishMessages marks everything that waits as sent.
func (w *world) finishMessages(now time.Time) {
	w.t.Helper()
	due, _, err := w.DueMessages(w.t.Context(), 100, now)
	w.ok(err)
	for _, m := range due {
		w.ok(w.MessageSent(w.t.Context(), m.ID, now))
	}
}

// However many requests try a code at once, wrong ones count and the right one
// signs in once.
func TestACodeSignsInOnceUnderConcurrency(t *testing.T) {
	w := open(t)
	attempt, code := w.code("ana@example.com", "192.0.2.1", noon)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if _, _, err := w.SignIn(t.Context(), attempt, code, noon); err != nil && !errors.As(err, new(*directory.Error)) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.number(`SELECT count(*) FROM sessions`); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

func TestFiveCodesPerAddressAnHour(t *testing.T) {
	w := open(t)
	spellings := []string{"ana@example.com", "ANA@example.com", "ana@EXAMPLE.com", " ana@example.com", "Ana@Example.Com"}
	for n, address := range spellings {
		w.code(address, fmt.Sprintf("192.0.2.%d", n), noon.Add(time.Duration(n)*time.Minute))
	}
	_, err := w.StartSignIn(t.Context(), "ana@example.com", "en", "192.0.2.99", noon.Add(10*time.Minute))
	var limited *store.RateLimited
	if !errors.As(err, &limited) || !limited.RetryAt.Equal(noon.Add(time.Hour)) {
		t.Fatalf("the sixth: %v, want rate limited until an hour after the first", err)
	}
	w.code("ben@example.com", "192.0.2.99", noon.Add(10*time.Minute))
	w.code("ana@example.com", "192.0.2.99", limited.RetryAt)
	if _, err := w.StartSignIn(t.Context(), "ana@example.com", "en", "192.0.2.99", limited.RetryAt); !errors.As(err, &limited) {
		t.Errorf("one more at that instant: %v, want rate limited", err)
	}
}

func TestTwentyCodesPerNetworkAnHour(t *testing.T) {
	w := open(t)
	for n := range 20 {
		w.code(fmt.Sprintf("ana%d@example.com", n), "192.0.2.1", noon)
	}
	var limited *store.RateLimited
	_, err := w.StartSignIn(t.Context(), "new@example.com", "en", "192.0.2.1", noon.Add(time.Minute))
	if !errors.As(err, &limited) || !limited.RetryAt.Equal(noon.Add(time.Hour)) {
		t.Fatalf("the 21st: %v, want rate limited until an hour after the first", err)
	}
	if n := w.number(`SELECT count(*) FROM people`); n != 20 {
		t.Errorf("a refused request left a person: %d", n)
	}
	w.code("new@example.com", "192.0.2.2", noon.Add(time.Minute)) // it was not counted against the address either
}

// Nobody learns whether an address has an account: not by the answer, not by the limit.
func TestSignInDoesNotTellWhoHasAnAccount(t *testing.T) {
	w := open(t)
	w.signIn("known@example.com", noon)
	w.finishMessages(noon)
	later := noon.Add(2 * time.Hour)
	for _, address := range []string{"known@example.com", "unknown@example.com"} {
		for n := range 6 {
			attempt, err := w.StartSignIn(t.Context(), address, "en", fmt.Sprintf("192.0.2.%d", n), later)
			if limited := errors.As(err, new(*store.RateLimited)); limited != (n == 5) || (attempt == "") != limited {
				t.Errorf("%s, request %d: %q, %v", address, n+1, attempt, err)
			}
		}
	}
}

func TestSignInRefusesWhatIsNoAddress(t *testing.T) {
	w := open(t)
	for _, address := range []string{"", "ana", "ana@", "Ana <ana@example.com>", "ana@example.com,ben@example.com"} {
		_, err := w.StartSignIn(t.Context(), address, "en", "192.0.2.1", noon)
		if e := w.refused(err, directory.CodeInvalid); e.Fields[0].Location != "body.email" {
			t.Errorf("%q: blames %s", address, e.Fields[0].Location)
		}
	}
}

// The header that a browser sends is kept as one language tag and nothing else,
// since it says more about a person than the language of a mail.
func TestIdentityKeepsALanguageOnly(t *testing.T) {
	w := open(t)
	for address, want := range map[string]struct{ header, locale string }{
		"a@example.com": {"ja,en-US;q=0.8,en;q=0.5", "ja"},
		"b@example.com": {"pt-BR", "pt-BR"},
		"c@example.com": {"", "en"},
		"d@example.com": {"*", "en"},
		"e@example.com": {"my phone is 0600 111 222", "en"},
	} {
		attempt, err := w.StartSignIn(t.Context(), address, want.header, address, noon)
		w.ok(err)
		_, session, err := w.SignIn(t.Context(), attempt, w.newestCode(noon), noon)
		w.ok(err)
		p, err := w.Person(t.Context(), session.PersonID)
		w.ok(err)
		if p.Locale != want.locale {
			t.Errorf("Accept-Language %q is kept as %q, want %q", want.header, p.Locale, want.locale)
		}
	}
}
