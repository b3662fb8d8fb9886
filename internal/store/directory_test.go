package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

func rename[T any](set func(*T, string), name string) func(*T) error {
	return func(v *T) error { set(v, name); return nil }
}

// Whoever changes what they have not read is told so, and nothing changes.
func TestChangesOfAnOldRevisionAreRefused(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	for name, change := range map[string]func(seen int64) (int64, error){
		"property": func(seen int64) (int64, error) {
			p, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, seen, rename(func(p *directory.Property, n string) { p.Name = n }, time.Now().String()), noon)
			return p.Revision, err
		},
		"member": func(seen int64) (int64, error) {
			m, err := w.UpdateMember(ctx, s.accountID, s.member.ID, seen, rename(func(m *directory.Member, n string) { m.Person.Name = n }, "New"), noon)
			return m.Revision, err
		},
		"panel": func(seen int64) (int64, error) {
			p, err := w.UpdatePanel(ctx, s.accountID, s.panel.ID, seen, rename(func(p *directory.Panel, n string) { p.Name = n }, "New"), noon)
			return p.Revision, err
		},
		"entrance": func(seen int64) (int64, error) {
			e, err := w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, seen, rename(func(e *directory.Entrance, n string) { e.Name = n }, "New"), noon)
			return e.Revision, err
		},
	} {
		if revision, err := change(1); err != nil || revision != 2 {
			t.Errorf("%s at the revision seen: %d, %v", name, revision, err)
		}
		_, err := change(1)
		w.refused(err, directory.CodePreconditionFailed)
		if revision, err := change(0); err != nil || revision != 3 {
			t.Errorf("%s at any revision: %d, %v", name, revision, err)
		}
	}
}

// Of changes at the same time that all read one revision, one wins.
func TestOneOfManyChangesOfARevisionWins(t *testing.T) {
	w := open(t)
	s := w.site()
	var mu sync.Mutex
	var group sync.WaitGroup
	won := 0
	for n := range 8 {
		group.Go(func() {
			_, err := w.UpdateProperty(t.Context(), s.accountID, s.property.ID, 1, func(p *directory.Property) error {
				p.Policy.MaxGuestsPerInviter = n + 1
				return nil
			}, noon)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Errorf("%d changes won", won)
	}
}

// E5: what property and entrance were like at an instant can be read later.
func TestRevisionsKeepTheirValidity(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	later := noon.Add(time.Hour)
	_, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error {
		p.Policy.Verification = access.VerificationOnSite
		return nil
	}, later)
	w.ok(err)
	_, err = w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.Shareable = false; return nil }, later)
	w.ok(err)
	const at = `SELECT count(*) FROM directory_revisions WHERE subject_id = $1 AND valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2) AND document #>> $3 = $4`
	for name, c := range map[string]struct {
		at       time.Time
		id       string
		path     []string
		expected string
	}{
		"property before": {noon, s.property.ID, []string{"policy", "verification"}, "none"},
		"property after":  {later, s.property.ID, []string{"policy", "verification"}, "on_site"},
		"entrance before": {later.Add(-time.Microsecond), s.entrance.ID, []string{"shareable"}, "true"},
		"entrance after":  {later, s.entrance.ID, []string{"shareable"}, "false"},
	} {
		if n := w.number(at, c.id, c.at, c.path, c.expected); n != 1 {
			t.Errorf("%s: %d revisions say %s, want 1", name, n, c.expected)
		}
	}
	w.ok(w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, later.Add(time.Hour)))
	if n := w.number(`SELECT count(*) FROM directory_revisions WHERE subject_id = $1 AND valid_to IS NULL`, s.entrance.ID); n != 0 {
		t.Error("a deleted entrance still has a valid revision")
	}
}

// I12: changes of policy and of what is shareable enter the log; a new name does not.
func TestPolicyChangesEnterTheLog(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	_, err := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error { p.Name = "New"; return nil }, noon)
	w.ok(err)
	_, err = w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.Directions = "Left"; return nil }, noon)
	w.ok(err)
	if n := w.number(`SELECT count(*) FROM events`); n != 0 {
		t.Errorf("%d events after changes of names", n)
	}
	_, err = w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(p *directory.Property) error { p.Policy.ReverifyAfter = time.Hour; return nil }, noon)
	w.ok(err)
	_, err = w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.Shareable = false; return nil }, noon)
	w.ok(err)
	events, _, err := w.Events(ctx, s.accountID, store.EventFilter{Type: access.EventPolicyChanged}, store.Page{})
	w.ok(err)
	if len(events) != 2 || events[0].EntranceID != s.entrance.ID || events[1].EntranceID != "" || events[1].PropertyID != s.property.ID || !events[0].At.Equal(noon) {
		t.Errorf("events %+v", events)
	}
}

// badInput is a request that must be refused, and the field that is to blame.
type badInput struct {
	try   func() error
	field string
}

// refuseAll tries each and checks that none left anything behind (E6).
func (w *world) refuseAll(t *testing.T, inputs map[string]badInput) {
	t.Helper()
	before := w.everything()
	for name, c := range inputs {
		t.Run(name, func(t *testing.T) {
			within := &world{Store: w.Store, t: t}
			e := within.refused(c.try(), directory.CodeInvalid)
			if len(e.Fields) != 1 || e.Fields[0].Location != c.field {
				t.Errorf("blames %+v, want %s", e.Fields, c.field)
			}
		})
	}
	if after := w.everything(); after != before {
		t.Errorf("a refused request left something behind:\n%s", difference(before, after))
	}
}

// alike gives the error of a creation and of the same change, which must be one.
func alike(t *testing.T, created, changed error) error {
	t.Helper()
	if created == nil || changed == nil || created.Error() != changed.Error() {
		t.Errorf("created: %v, changed: %v", created, changed)
	}
	return created
}

func TestBadPropertiesAreRefused(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	with := func(change func(*directory.Property)) func() error {
		return func() error {
			p := directory.Property{AccountID: s.accountID, Name: "House", TimeZone: "Asia/Tokyo", Policy: access.DefaultPolicy()}
			change(&p)
			_, created := w.CreateProperty(ctx, p, noon)
			_, changed := w.UpdateProperty(ctx, s.accountID, s.property.ID, 0, func(known *directory.Property) error { change(known); return nil }, noon)
			return alike(t, created, changed)
		}
	}
	w.refuseAll(t, map[string]badInput{
		"no zone":          {with(func(p *directory.Property) { p.TimeZone = "" }), "body.time_zone"},
		"machine's zone":   {with(func(p *directory.Property) { p.TimeZone = "Local" }), "body.time_zone"},
		"unknown zone":     {with(func(p *directory.Property) { p.TimeZone = "Mars/Olympus" }), "body.time_zone"},
		"zone is a file":   {with(func(p *directory.Property) { p.TimeZone = "../etc/passwd" }), "body.time_zone"},
		"leap seconds":     {with(func(p *directory.Property) { p.TimeZone = "right/Asia/Tokyo" }), "body.time_zone"},
		"no name":          {with(func(p *directory.Property) { p.Name = " " }), "body.name"},
		"long name":        {with(func(p *directory.Property) { p.Name = strings.Repeat("é", 201) }), "body.name"},
		"short period":     {with(func(p *directory.Property) { p.Policy.InvitationTTL = time.Millisecond }), "body.policy.invitation_ttl"},
		"short cooldown":   {with(func(p *directory.Property) { p.Policy.ResendCooldown = 0 }), "body.policy.resend_cooldown"},
		"short lapse":      {with(func(p *directory.Property) { p.Policy.ReverifyAfter = time.Millisecond }), "body.policy.reverify_after"},
		"negative cap":     {with(func(p *directory.Property) { p.Policy.MaxGuestsPerInviter = -1 }), "body.policy.max_guests_per_inviter"},
		"bad clock":        {with(func(p *directory.Property) { p.Policy.ReturnReminderAt = "9am" }), "body.policy.return_reminder_at"},
		"bad verification": {with(func(p *directory.Property) { p.Policy.Verification = "maybe" }), "body.policy.verification"},
		"bad visibility":   {with(func(p *directory.Property) { p.Policy.HistoryVisibility = "some" }), "body.policy.history_visibility"},
	})
}

func TestBadMembersAreRefused(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	with := func(change func(*directory.Member)) func() error {
		return func() error {
			m := directory.Member{AccountID: s.accountID, Role: directory.RoleHost, Person: directory.Person{Name: "Ben", Email: "ben@example.com", Locale: "en"}}
			change(&m)
			_, created := w.CreateMember(ctx, m, noon)
			_, changed := w.UpdateMember(ctx, s.accountID, s.member.ID, 0, func(known *directory.Member) error { change(known); return nil }, noon)
			return alike(t, created, changed)
		}
	}
	w.refuseAll(t, map[string]badInput{
		"no address":   {with(func(m *directory.Member) { m.Person.Email = "ben" }), "body.email"},
		"nameless":     {with(func(m *directory.Member) { m.Person.Name = "" }), "body.name"},
		"local number": {with(func(m *directory.Member) { m.Person.Mobile = "0600 111 222" }), "body.mobile"},
		"no language":  {with(func(m *directory.Member) { m.Person.Locale = "english please" }), "body.locale"},
		"no role":      {with(func(m *directory.Member) { m.Role = "owner" }), "body.role"},
	})
}

func TestBadEntrancesAreRefused(t *testing.T) {
	w := open(t)
	s := w.site()
	smartbox := w.panel(s.property, directory.PanelSmartBox)
	elsewhere := w.panel(w.property(s.accountID), directory.PanelDoor)
	with := func(change func(*directory.Entrance)) func() error {
		return func() error {
			e := directory.Entrance{AccountID: s.accountID, PropertyID: s.property.ID, PanelID: s.panel.ID, Name: "Door"}
			change(&e)
			_, created := w.CreateEntrance(t.Context(), e, noon)
			_, changed := w.UpdateEntrance(t.Context(), s.accountID, s.entrance.ID, 0, func(known *directory.Entrance) error { change(known); return nil }, noon)
			return alike(t, created, changed)
		}
	}
	w.refuseAll(t, map[string]badInput{
		"four schedules": {with(func(e *directory.Entrance) { e.Schedules = make([]access.Schedule, 4) }), "body.schedules"},
		"bad schedule": {with(func(e *directory.Entrance) {
			e.Schedules = []access.Schedule{{Days: []access.Weekday{"mon"}, From: "8", To: "9"}}
		}), "body.schedules"},
		"smartbox":        {with(func(e *directory.Entrance) { e.PanelID = smartbox.ID }), "body.panel_id"},
		"panel elsewhere": {with(func(e *directory.Entrance) { e.PanelID = elsewhere.ID }), "body.panel_id"},
		"nameless":        {with(func(e *directory.Entrance) { e.Name = "" }), "body.name"},
	})
}

// Deleting what live items need is refused with their number; an invitation that
// is over by now is not live, whatever its row says (T0).
func TestWhatLiveItemsNeedIsKept(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	end := noon.Add(time.Hour)
	w.invite(s, ana, end)
	w.claim(s, directory.Person{Name: "Ben", Email: "ben@example.com", Locale: "en"}, end)

	during, over := end.Add(-time.Second), end
	if e := w.refused(w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, during), directory.CodeInUse); e.Count != 2 {
		t.Errorf("the entrance is needed by %d, want 2", e.Count)
	}
	if e := w.refused(w.DeletePanel(ctx, s.accountID, s.panel.ID, during), directory.CodeInUse); e.Count != 1 {
		t.Errorf("the panel is needed by %d, want 1", e.Count)
	}
	w.refused(w.DeleteProperty(ctx, s.accountID, s.property.ID, during), directory.CodeInUse)
	second := w.panel(s.property, directory.PanelDoor)
	_, err := w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.PanelID = second.ID; return nil }, during)
	if e := w.refused(err, directory.CodeInUse); e.Count != 2 {
		t.Errorf("moving the entrance concerns %d, want 2", e.Count)
	}

	_, err = w.UpdateEntrance(ctx, s.accountID, s.entrance.ID, 0, func(e *directory.Entrance) error { e.PanelID = second.ID; return nil }, over)
	w.ok(err)
	w.ok(w.DeletePanel(ctx, s.accountID, s.panel.ID, over))
	w.ok(w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, over))
	w.refused(w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, over), directory.CodeNotFound)
}

func TestUnusedThingsCanBeDeleted(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	w.ok(w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, noon))
	w.ok(w.DeletePanel(ctx, s.accountID, s.panel.ID, noon))
	w.ok(w.DeleteProperty(ctx, s.accountID, s.property.ID, noon))
	m, err := w.Member(ctx, s.accountID, s.member.ID)
	w.ok(err)
	if len(m.PropertyIDs) != 0 {
		t.Errorf("the member still has a role at %v, which is gone", m.PropertyIDs)
	}
	if _, err := w.UpdateMember(ctx, s.accountID, s.member.ID, 0, func(m *directory.Member) error { m.Person.Name = "Rita B."; return nil }, noon); err != nil {
		t.Errorf("change of a member whose property is gone: %v", err)
	}
}

// Two requests, one that deletes an entrance and one that invites to it: whichever
// comes first, nobody is left with an invitation to nothing.
func TestInvitingAndDeletingAtOnce(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	for range 20 {
		s.entrance = w.entrance(s.panel)
		var invited, deleted error
		var group sync.WaitGroup
		group.Go(func() {
			_, invited = w.ClaimInvitation(ctx, store.NewInvitation{
				AccountID: s.accountID, PropertyID: s.property.ID, InviterID: s.member.ID, Guest: ana, EntranceIDs: []string{s.entrance.ID},
			}, nil, noon)
		})
		group.Go(func() { deleted = w.DeleteEntrance(ctx, s.accountID, s.entrance.ID, noon) })
		group.Wait()
		if (invited == nil) == (deleted == nil) {
			t.Fatalf("invited: %v, deleted: %v, want exactly one", invited, deleted)
		}
	}
}

func TestAnAddressIsOneMembersOnly(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	_, err := w.CreateMember(ctx, directory.Member{
		AccountID: s.accountID, Role: directory.RoleHost, Person: directory.Person{Name: "Other", Email: "RITA@Example.com", Locale: "en"},
	}, noon)
	w.refused(err, directory.CodeConflict)
	ben := w.member(s.accountID, "Ben", "ben@example.com")
	_, err = w.UpdateMember(ctx, s.accountID, ben.ID, 0, func(m *directory.Member) error { m.Person.Email = "rita@example.com"; return nil }, noon)
	w.refused(err, directory.CodeConflict)
	if n := w.number(`SELECT count(*) FROM people`); n != 2 {
		t.Errorf("%d people, want the two members", n)
	}
	w.member(w.account("Other"), "Rita", "rita@example.com") // E8: another account does not know of her
}

// I1: an inviter who is new is made a member once, however many invitations of
// theirs come at the same time; a known one gets a place at the property.
func TestInviterIsMadeAMemberOnce(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	s := w.site()
	invite := func(propertyID, entranceID string) (string, error) {
		inv, err := w.ClaimInvitation(ctx, store.NewInvitation{
			AccountID: s.accountID, PropertyID: propertyID, Inviter: directory.Person{Name: "New", Email: "new@example.com"}, Guest: ana,
			EntranceIDs: []string{entranceID},
		}, nil, noon)
		return inv.InviterID, err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	inviters := map[string]bool{}
	for range 8 {
		group.Go(func() {
			id, err := invite(s.property.ID, s.entrance.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			inviters[id] = true
		})
	}
	group.Wait()
	if len(inviters) != 1 {
		t.Fatalf("%d members were made of one inviter", len(inviters))
	}
	second := w.property(s.accountID)
	id, err := invite(second.ID, w.entrance(w.panel(second, directory.PanelDoor)).ID)
	w.ok(err)
	m, err := w.Member(ctx, s.accountID, id)
	w.ok(err)
	if !inviters[id] || len(m.PropertyIDs) != 2 || m.Role != directory.RoleResident || m.Person.Name != "New" {
		t.Errorf("the inviter is %+v", m)
	}
}
