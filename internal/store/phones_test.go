package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/notify"
)

// I7: a member's phone is notified while they are signed in on it, and nobody
// else's is.
func TestPhones(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	_, mine := w.signIn("Rita@Example.com", noon)
	_, tablet := w.signIn("rita@example.com", noon)
	_, stranger := w.signIn("ana@example.com", noon)
	phone := func(session, endpoint string) notify.Phone {
		return notify.Phone{SessionID: session, Endpoint: endpoint, P256dh: "key", Auth: "secret"}
	}
	err := w.KeepPhone(ctx, stranger.PersonID, phone(stranger.ID, "https://push.example/s"), noon)
	w.refused(err, directory.CodeForbidden)
	w.ok(w.KeepPhone(ctx, mine.PersonID, phone(mine.ID, "https://push.example/old"), noon))
	w.ok(w.KeepPhone(ctx, mine.PersonID, phone(mine.ID, "https://push.example/1"), noon)) // a browser renews its subscription
	w.ok(w.KeepPhone(ctx, tablet.PersonID, phone(tablet.ID, "https://push.example/2"), noon.Add(time.Second)))

	endpoints := func(now time.Time) string {
		phones, err := w.PhonesOf(ctx, s.member.Person.ID, now)
		w.ok(err)
		var all []string
		for _, p := range phones {
			all = append(all, strings.TrimPrefix(p.Endpoint, "https://push.example/"))
		}
		return strings.Join(all, " ")
	}
	if got := endpoints(noon); got != "2 1" {
		t.Errorf("phones %q", got)
	}
	if n := w.number(`SELECT count(*) FROM push_subscriptions WHERE position('push.example'::bytea IN body) > 0`); n != 0 {
		t.Error("an endpoint is readable on disk")
	}
	w.ok(w.DropPhone(ctx, phone(mine.ID, "https://push.example/old"))) // a late answer about the one before
	if has, err := w.HasPhone(ctx, mine.ID); err != nil || !has {
		t.Errorf("dropped the wrong one: %v", err)
	}
	w.ok(w.SignOut(ctx, tablet.ID, noon))
	if got := endpoints(noon); got != "1" {
		t.Errorf("after signing out on one: %q", got)
	}
	if got := endpoints(mine.ExpiresAt); got != "" {
		t.Errorf("after the session's end: %q", got)
	}

	// Another member signs in with the same browser.
	other := w.member(s.accountID, "Hugo", "hugo@example.com", s.property.ID)
	_, his := w.signIn("hugo@example.com", noon)
	w.ok(w.KeepPhone(ctx, his.PersonID, phone(his.ID, "https://push.example/1"), noon))
	if got := endpoints(noon); got != "" {
		t.Errorf("the phone still tells who had it before: %q", got)
	}
	phones, err := w.PhonesOf(ctx, other.Person.ID, noon)
	if err != nil || len(phones) != 1 {
		t.Errorf("the phone of who has it now: %v, %v", phones, err)
	}
	w.ok(w.ForgetPhone(ctx, his.ID))
	if has, err := w.HasPhone(ctx, his.ID); err != nil || has {
		t.Errorf("not forgotten: %v", err)
	}
}

// Phones subscribe for one key, whichever process made it, and it is not readable on
// disk (E7).
func TestPushKeysAreMadeOnce(t *testing.T) {
	w := open(t)
	all := make([]notify.PushKeys, 6)
	var group sync.WaitGroup
	for n := range all {
		group.Go(func() {
			var err error
			if all[n], err = w.PushKeys(t.Context(), noon); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, k := range all {
		if k != all[0] || len(k.Public) != 87 || len(k.Private) != 43 {
			t.Errorf("keys %+v", k)
		}
	}
	if n := w.number(`SELECT count(*) FROM push_keys WHERE position(decode($1 || '=', 'base64') IN private_key) > 0`, strings.NewReplacer("-", "+", "_", "/").Replace(all[0].Private)); n != 0 {
		t.Error("the private key is readable")
	}
}

// I7: the link in an unlock notice switches them off, for its reader and nobody else.
func TestMuteUnlocks(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	token := w.MuteToken(s.member.Person.ID)
	if _, muted, err := w.UnlocksMuted(ctx, token); err != nil || muted {
		t.Fatalf("at first: %t, %v", muted, err)
	}
	for range 2 {
		_, err := w.MuteUnlocks(ctx, token, noon)
		w.ok(err)
	}
	m, err := w.Member(ctx, s.accountID, s.member.ID)
	w.ok(err)
	if m.Preferences.Unlocks != directory.NotifyMuted || m.Revision != s.member.Revision+1 {
		t.Errorf("the member is %+v", m)
	}
	other := w.member(s.accountID, "Hugo", "hugo@example.com", s.property.ID)
	_, mac, _ := strings.Cut(token, ".")
	for _, forged := range []string{"", ".", other.Person.ID, other.Person.ID + "." + mac, token + "A", other.Person.ID + "."} {
		_, err := w.MuteUnlocks(ctx, forged, noon)
		w.refused(err, directory.CodeNotFound)
	}
}
