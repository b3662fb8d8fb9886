package store_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// E8: another account's id is simply not found, whatever is done with it, and
// nothing of the other account changes.
func TestAnotherAccountsThingsAreNotFound(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	theirs := w.site()
	key, _, err := w.CreateAPIKey(ctx, theirs.accountID, "app", []directory.Scope{directory.ScopeRead}, noon)
	w.ok(err)
	inv := w.invite(theirs, ana, noon.Add(time.Hour))
	mine := w.account("Mine")
	before := w.everything()
	for name, touch := range map[string]func() error{
		"property":         func() error { _, err := w.Property(ctx, mine, theirs.property.ID); return err },
		"change property":  func() error { _, err := w.UpdateProperty(ctx, mine, theirs.property.ID, 0, never, noon); return err },
		"delete property":  func() error { return w.DeleteProperty(ctx, mine, theirs.property.ID, noon) },
		"member":           func() error { _, err := w.Member(ctx, mine, theirs.member.ID); return err },
		"change member":    func() error { _, err := w.UpdateMember(ctx, mine, theirs.member.ID, 0, never, noon); return err },
		"delete member":    func() error { return w.RemoveMember(ctx, mine, theirs.member.ID, "", noon) },
		"preview removal":  func() error { _, err := w.PreviewRemoval(ctx, mine, theirs.member.ID, noon); return err },
		"lock down":        func() error { _, err := w.LockDown(ctx, mine, theirs.property.ID, true, noon); return err },
		"panel":            func() error { _, err := w.Panel(ctx, mine, theirs.panel.ID); return err },
		"change panel":     func() error { _, err := w.UpdatePanel(ctx, mine, theirs.panel.ID, 0, never, noon); return err },
		"delete panel":     func() error { return w.DeletePanel(ctx, mine, theirs.panel.ID, noon) },
		"disown panel":     func() error { _, err := w.DisownPanel(ctx, mine, theirs.panel.ID, noon); return err },
		"new code":         func() error { return w.SetEnrolmentCode(ctx, mine, theirs.panel.ID, []byte("x"), noon, noon) },
		"entrance":         func() error { _, err := w.Entrance(ctx, mine, theirs.entrance.ID); return err },
		"change entrance":  func() error { _, err := w.UpdateEntrance(ctx, mine, theirs.entrance.ID, 0, never, noon); return err },
		"delete entrance":  func() error { return w.DeleteEntrance(ctx, mine, theirs.entrance.ID, noon) },
		"key":              func() error { _, err := w.APIKey(ctx, mine, key.ID); return err },
		"change key":       func() error { _, err := w.UpdateAPIKey(ctx, mine, key.ID, never, noon); return err },
		"revoke key":       func() error { return w.RevokeAPIKey(ctx, mine, key.ID, noon) },
		"invitation":       func() error { _, err := w.Invitation(ctx, mine, inv.ID, noon); return err },
		"member at theirs": func() error { return w.createMemberAt(mine, theirs.property.ID) },
		"panel at theirs": func() error {
			_, err := w.CreatePanel(ctx, directory.Panel{AccountID: mine, PropertyID: theirs.property.ID, Name: "Gate", Kind: directory.PanelDoor}, nil, noon, noon)
			return err
		},
		"entrance at theirs": func() error {
			_, err := w.CreateEntrance(ctx, directory.Entrance{AccountID: mine, PropertyID: theirs.property.ID, PanelID: theirs.panel.ID, Name: "Door"}, noon)
			return err
		},
		"invitation to theirs": func() error {
			_, err := w.ClaimInvitation(ctx, store.NewInvitation{
				AccountID: mine, PropertyID: theirs.property.ID, InviterID: theirs.member.ID, Guest: ana, EntranceIDs: []string{theirs.entrance.ID},
			}, nil, noon)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			within := &world{Store: w.Store, t: t}
			within.refused(touch(), directory.CodeNotFound)
		})
	}
	if after := w.everything(); after != before {
		t.Errorf("the database has changed:\n%s", difference(before, after))
	}
}

func never[T any](*T) error {
	return fmt.Errorf("a change was asked for something that should not be found")
}

func (w *world) createMemberAt(accountID, propertyID string) error {
	_, err := w.CreateMember(w.t.Context(), directory.Member{
		AccountID: accountID, Role: directory.RoleHost, PropertyIDs: []string{propertyID},
		Person: directory.Person{Name: "Ben", Email: "ben@example.com", Locale: "en"},
	}, noon)
	return err
}

// A tenant's own panel does not stand behind an entrance of somebody else, and an
// account's lists and log have its own things only (E8).
func TestListsHaveOneAccountsThingsOnly(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	theirs, mine := w.site(), w.account("Mine")
	own := w.property(mine)
	_, err := w.CreateEntrance(ctx, directory.Entrance{AccountID: mine, PropertyID: own.ID, PanelID: theirs.panel.ID, Name: "Door"}, noon)
	w.refused(err, directory.CodeNotFound)
	w.invite(theirs, ana, noon.Add(time.Hour))

	members, _, err := w.Members(ctx, mine, store.Page{})
	w.ok(err)
	panels, _, err := w.Panels(ctx, mine, theirs.property.ID, store.Page{})
	w.ok(err)
	entrances, _, err := w.Entrances(ctx, mine, theirs.property.ID, store.Page{})
	w.ok(err)
	events, _, err := w.Events(ctx, mine, store.EventFilter{PropertyID: theirs.property.ID}, store.Page{})
	w.ok(err)
	keys, _, err := w.APIKeys(ctx, mine, store.Page{})
	w.ok(err)
	if n := len(members) + len(panels) + len(entrances) + len(events); n != 0 || len(keys) != 1 || keys[0].AccountID != mine {
		t.Errorf("the lists have %d things of another account; the keys are %+v", n, keys)
	}
}

// everything is the whole database as text, bytes in hexadecimal.
func (w *world) everything() string {
	w.t.Helper()
	ctx := w.t.Context()
	rows, err := w.db.Query(ctx, `SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`)
	w.ok(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	var all strings.Builder
	for _, table := range tables {
		rows, err := w.db.Query(ctx, fmt.Sprintf(`SELECT r::text FROM %s r ORDER BY 1`, table))
		w.ok(err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		w.ok(err)
		fmt.Fprintf(&all, "%s\n%s\n", table, strings.Join(lines, "\n"))
	}
	return all.String()
}

// difference is the lines that only one of two dumps has.
func difference(before, after string) string {
	var lines []string
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			lines = append(lines, "- "+line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "")
}

// E7: whoever reads the database without the keyset finds no name, no address, no
// number, none of people's own words and no secret in any table.
func TestNothingPersonalOrSecretIsReadable(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	var first string
	account, err := w.CreateAccount(ctx, "Harbour", func(secret string) error { first = secret; return nil }, noon)
	w.ok(err)
	s := site{accountID: account.ID}
	s.property = w.property(s.accountID)
	s.panel = w.panel(s.property, directory.PanelDoor)
	s.entrance = w.entrance(s.panel)
	s.member, err = w.CreateMember(ctx, directory.Member{
		AccountID: s.accountID, Role: directory.RoleResident, PropertyIDs: []string{s.property.ID},
		Person: directory.Person{Name: "Zelda Quixote", Email: "zelda@quixote.example", Mobile: "+34600987654", Locale: "en"},
	}, noon)
	w.ok(err)
	inv := w.invite(s, directory.Person{Name: "Yorick Visitor", Email: "yorick@visitor.example", Locale: "en"}, noon.Add(time.Hour))
	_, link, err := w.InvitationMessage(ctx, inv.ID, noon)
	w.ok(err)
	note, err := w.AddNote(ctx, s.accountID, inv.GuestID, "lost the parrot", noon)
	w.ok(err)
	if text, err := w.Note(ctx, note); err != nil || text != "lost the parrot" {
		t.Errorf("Note = %q, %v", text, err)
	}
	_, secret, err := w.CreateAPIKey(ctx, s.accountID, "app", []directory.Scope{directory.ScopeRead}, noon)
	w.ok(err)
	attempt, code := w.code("xenia@signedin.example", "198.51.100.77", noon)
	due, _, err := w.DueMessages(ctx, 100, noon)
	w.ok(err)
	for _, m := range due {
		w.ok(w.Keep(ctx, notify.Message{ID: m.ID, To: "xenia@signedin.example", Channel: notify.ChannelEmail, Template: m.Template, Locale: "en", Subject: "parrot subject", Text: "parrot text", At: noon}))
	}
	token, _, err := w.SignIn(ctx, attempt, code, noon)
	w.ok(err)
	w.begin(s.accountID, request, noon)
	w.ok(w.CompleteIdempotent(ctx, s.accountID, key, 201, []byte(`{"name":"Wanda Answer"}`)))

	dump := strings.ToLower(w.everything())
	if !strings.Contains(dump, "harbour house") {
		t.Fatal("the dump misses what is no secret")
	}
	for _, hidden := range []string{
		"Zelda", "quixote", "34600987654", "600987654", "Yorick", "visitor.example", "parrot", "xenia", "signedin", "198.51.100.77", "Wanda",
		first, secret, strings.TrimPrefix(secret, "lk_"), link, attempt, token,
	} {
		for form, text := range map[string]string{"text": hidden, "bytes": hex.EncodeToString([]byte(hidden))} {
			if strings.Contains(dump, strings.ToLower(text)) {
				t.Errorf("%q is readable as %s", hidden, form)
			}
		}
	}
	// Six digits are found anywhere by chance, but not as a value of their own.
	if n := w.number(`SELECT count(*) FROM messages WHERE position($1::bytea IN secret) > 0`, []byte(code)); n != 0 {
		t.Error("the sign-in code is readable")
	}
}

// E7: erasing a person makes what was written under their key unreadable
// everywhere, while the log stays whole.
func TestDeletedMemberIsErased(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	_, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.Verification = access.VerificationOnSite
		return nil
	}, noon)
	w.ok(err)
	events := w.number(`SELECT count(*) FROM events`)
	w.ok(w.RemoveMember(ctx, s.accountID, s.member.ID, "", noon))
	p, err := w.Person(ctx, s.member.Person.ID)
	w.ok(err)
	if p.Name != "" || p.Email != "" || p.Mobile != "" {
		t.Errorf("still readable: %+v", p)
	}
	if n := w.number(`SELECT count(*) FROM people WHERE id = $1 AND (data_key IS NOT NULL OR name IS NOT NULL OR email IS NOT NULL OR mobile IS NOT NULL OR email_index IS NOT NULL)`, p.ID); n != 0 {
		t.Error("the person's key or fields are still there")
	}
	if after := w.number(`SELECT count(*) FROM events`); after != events {
		t.Errorf("%d events, had %d", after, events)
	}
	w.member(s.accountID, "Rita", "rita@example.com", s.property.ID) // the address is free again
}

// A guest who is also a member of the account is a guest of their own: what
// happens to the member changes nothing about the invitation (I3).
func TestMemberAndGuestOfOneAddressAreApart(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	both := w.member(s.accountID, ana.Name, ana.Email, s.property.ID)
	inv := w.invite(s, ana, noon.Add(time.Hour))
	_, err := w.UpdateMember(ctx, s.accountID, both.ID, 0, func(m *directory.Member) error {
		m.Person.Email = "moved@example.com"
		return nil
	}, noon)
	w.ok(err)
	w.ok(w.RemoveMember(ctx, s.accountID, both.ID, "", noon))
	shown, err := w.Invitation(ctx, s.accountID, inv.ID, noon)
	w.ok(err)
	if shown.Guest.Email != ana.Email || shown.Guest.Name != ana.Name {
		t.Errorf("the guest is now %+v", shown.Guest)
	}
}
