package access_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"latchkey/internal/access"
)

// reservation is one from tomorrow noon to the noon after, in Lisbon, just made.
func reservation(t testing.TB) *access.Reservation {
	t.Helper()
	r := &access.Reservation{
		ID: "res_1", KeyID: "key_1", HostID: "mem_1", VisitorID: "per_1", State: access.ReservationCreating, Kind: access.OneTime,
		Plan: plan(t, noon.Add(24*time.Hour), noon.Add(48*time.Hour), noon), CreatedAt: noon,
	}
	r.Confirmed(noon)
	r.Confirm(r.Revision)
	return r
}

func plan(t testing.TB, start, end, now time.Time) access.Plan {
	t.Helper()
	p, err := access.PlanReservation(access.Window{Start: start, End: end}, zone(t, "Europe/Lisbon"), access.DefaultPolicy(), now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// act does everything that is due, as the workflow does, and says what happened.
func act(r *access.Reservation, now time.Time) (happened []access.EventType) {
	for {
		next := r.Next(now)
		switch next.What {
		case access.ActionWait, access.ActionClose:
			return happened
		case access.ActionRecord:
			for _, c := range r.Pending {
				happened = append(happened, c.Type)
			}
			r.Confirm(r.Revision)
		case access.ActionLook, access.ActionCheckKey:
			r.CheckKey(access.Standing{InBox: r.KeyOut.IsZero(), KeyOut: r.KeyOut}, next.At, now)
		default:
			r.Fire(next, now)
		}
	}
}

// T0: the state holds from the very instant, whether or not a timer has fired.
func TestT0ReservationState(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	for at, want := range map[time.Duration]access.ReservationState{
		0: access.ReservationScheduled, 24*time.Hour - 1: access.ReservationScheduled, 24 * time.Hour: access.ReservationActive,
		48*time.Hour - 1: access.ReservationActive, 48 * time.Hour: access.ReservationEnded,
	} {
		if got := r.StateAt(noon.Add(at)); got != want {
			t.Errorf("after %s it is %s, want %s", at, got, want)
		}
	}
}

// T0, T2: an end that is noticed late bears its own time.
func TestT2EndBearsItsTime(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	late := noon.Add(100 * time.Hour)
	next := r.Next(late)
	for next.What == access.ActionCheckKey {
		r.CheckKey(access.Standing{InBox: true}, next.At, late)
		r.Confirm(r.Revision)
		next = r.Next(late)
	}
	r.Fire(next, late)
	if r.State != access.ReservationEnded || !r.Pending[0].At.Equal(noon.Add(48*time.Hour)) {
		t.Errorf("%s with %+v", r.State, r.Pending)
	}
}

// K6: when the reminder is sent, and when not.
func TestK6WhenReminded(t *testing.T) {
	t.Parallel()
	nine := time.Date(2026, 12, 3, 9, 0, 0, 0, time.UTC)
	remind := func(r *access.Reservation) { r.ReturnReminder = true }
	cases := map[string]struct {
		prepare func(*access.Reservation)
		at      time.Time
		want    int
	}{
		"switched off":                       {func(r *access.Reservation) { r.KeyOut = nine.Add(-time.Hour) }, nine, 0},
		"a second before nine":               {func(r *access.Reservation) { remind(r); r.KeyOut = nine.Add(-time.Hour) }, nine.Add(-time.Second), 0},
		"at nine, the key out":               {func(r *access.Reservation) { remind(r); r.KeyOut = nine.Add(-time.Hour) }, nine, 1},
		"never picked up":                    {remind, nine.Add(time.Hour), 0},
		"the engine was down at nine":        {func(r *access.Reservation) { remind(r); r.KeyOut = nine.Add(-time.Hour) }, nine.Add(2 * time.Hour), 1},
		"down until after the end, key out":  {func(r *access.Reservation) { remind(r); r.KeyOut = nine.Add(-time.Hour) }, nine.Add(30 * time.Hour), 1},
		"down until after the end, key back": {remind, nine.Add(30 * time.Hour), 0},
		"revoked":                            {func(r *access.Reservation) { remind(r); r.KeyOut = nine; _ = r.Revoke(nine.Add(-time.Hour), "", "") }, nine.Add(time.Minute), 0},
		"switched on late, the end ahead": {func(r *access.Reservation) {
			r.KeyOut = nine.Add(-time.Hour)
			on := true
			p := r.Plan
			p.Since = nine.Add(time.Hour)
			_ = r.Edit(p.Since, access.ReservationEdit{Plan: &p, ReturnReminder: &on}, "")
		}, nine.Add(time.Hour), 1},
		"picked up after nine, the end ahead": {func(r *access.Reservation) { remind(r); r.KeyOut = nine.Add(time.Hour) }, nine.Add(time.Hour), 1},
	}
	for name, c := range cases {
		r := reservation(t)
		c.prepare(r)
		r.Confirm(r.Revision)
		happened := act(r, c.at)
		got := 0
		for _, e := range happened {
			if e == access.EventReturnReminderSent {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%s: reminded %d times, want %d (%v)", name, got, c.want, happened)
		}
	}
}

// K6: an edit of the end moves the reminder over midnight; for one end date it is
// sent once, also if the end goes away from it and comes back.
func TestK6OncePerEndDate(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	r.ReturnReminder, r.KeyOut = true, noon.Add(25*time.Hour)
	first, second := noon.Add(48*time.Hour), noon.Add(60*time.Hour) // the 3rd at noon, and the 4th at 00:00, which is the 3rd still
	third := second.Add(time.Minute)                                // the 4th
	edit := func(end, at time.Time) {
		p := plan(t, r.Plan.Window.Start, end, at)
		if err := r.Edit(at, access.ReservationEdit{Plan: &p}, ""); err != nil {
			t.Fatal(err)
		}
	}
	count := func(at time.Time) (n int) {
		for _, e := range act(r, at) {
			if e == access.EventReturnReminderSent {
				n++
			}
		}
		return n
	}
	at := time.Date(2026, 12, 3, 9, 0, 0, 0, time.UTC)
	if count(at) != 1 {
		t.Fatal("not reminded on the 3rd")
	}
	edit(second, at.Add(time.Minute))
	if count(at.Add(2*time.Minute)) != 0 {
		t.Error("midnight belongs to the 3rd, of which the visitor was reminded")
	}
	edit(third, at.Add(3*time.Minute))
	if n := count(at.Add(4 * time.Minute)); n != 0 {
		t.Errorf("reminded %d times of the 4th on the 3rd", n)
	}
	if want := time.Date(2026, 12, 4, 0, 0, 0, 0, time.UTC); !r.Plan.ReminderAt.Equal(want) {
		t.Errorf("a minute after midnight: reminded at %s, want not before midnight, %s", r.Plan.ReminderAt, want)
	}
	edit(first, at.Add(5*time.Minute))
	if count(at.Add(6*time.Minute)) != 0 {
		t.Error("reminded again of the 3rd")
	}
	edit(third, at.Add(7*time.Minute))
	if n := count(time.Date(2026, 12, 4, 0, 0, 0, 0, time.UTC)); n != 1 {
		t.Errorf("reminded %d times of the 4th", n)
	}
}

// K6: ongoing access has no reminder; an end makes it one_time.
func TestK6OngoingHasNoReminder(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	r.ReturnReminder = true
	endless := plan(t, noon, time.Time{}, noon)
	if err := r.Edit(noon, access.ReservationEdit{Plan: &endless}, ""); err != nil || r.Kind != access.Ongoing || r.ReturnReminder {
		t.Errorf("without end: %s, reminder %v, %v", r.Kind, r.ReturnReminder, err)
	}
	on := true
	if got := code(r.Edit(noon, access.ReservationEdit{ReturnReminder: &on}, "")); got != access.CodeNoReminder {
		t.Errorf("a reminder on ongoing access: %q", got)
	}
	ended := plan(t, noon, noon.Add(time.Hour), noon)
	if err := r.Edit(noon, access.ReservationEdit{Plan: &ended, ReturnReminder: &on}, ""); err != nil || r.Kind != access.OneTime || !r.ReturnReminder {
		t.Errorf("with an end: %s, reminder %v, %v", r.Kind, r.ReturnReminder, err)
	}
}

// K5: the visitor is told of new times and notes, not of what concerns only the host.
func TestK5WhoIsTold(t *testing.T) {
	t.Parallel()
	on, notes := true, "note_1"
	later := plan(t, noon.Add(24*time.Hour), noon.Add(50*time.Hour), noon)
	same := plan(t, noon.Add(24*time.Hour), noon.Add(48*time.Hour), noon)
	for name, c := range map[string]struct {
		edit   access.ReservationEdit
		silent bool
		events []access.EventType
	}{
		"a new end":    {access.ReservationEdit{Plan: &later}, false, []access.EventType{access.EventReservationEdited}},
		"new notes":    {access.ReservationEdit{NotesID: &notes}, false, []access.EventType{access.EventReservationEdited}},
		"the reminder": {access.ReservationEdit{Plan: &same, ReturnReminder: &on}, true, []access.EventType{access.EventReservationEdited}},
		"a photo ID":   {access.ReservationEdit{RequireID: &on}, true, []access.EventType{access.EventReservationEdited, access.EventVisitorIDNeeded}},
	} {
		r := reservation(t)
		if err := r.Edit(noon, c.edit, ""); err != nil {
			t.Fatal(err)
		}
		var types []access.EventType
		for _, change := range r.Pending {
			types = append(types, change.Type)
		}
		if r.Pending[0].Silent != c.silent || !slices.Equal(types, c.events) {
			t.Errorf("%s: %+v", name, r.Pending)
		}
	}
}

// K7: who may confirm what when, and what the box is told meanwhile.
func TestK7PhotoID(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	if got := code(r.SubmitID(noon)); got != access.CodeVisitorIDUnused {
		t.Errorf("where none is needed: %q", got)
	}
	on := true
	if err := r.Edit(noon, access.ReservationEdit{RequireID: &on}, ""); err != nil {
		t.Fatal(err)
	}
	if g := r.GrantFor(); g.NoPickup != access.CodeVisitorIDRequired {
		t.Errorf("the box would let pick up: %+v", g)
	}
	if got := code(r.DecideID(noon, true, "", "")); got != access.CodeVisitorIDMissing {
		t.Errorf("confirming nothing: %q", got)
	}
	steps := []error{r.SubmitID(noon), r.DecideID(noon, false, "mem_1", "note_1"), r.DecideID(noon, false, "mem_1", "note_1"), r.SubmitID(noon), r.DecideID(noon, true, "mem_1", ""), r.DecideID(noon, true, "mem_1", "")}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	if g := r.GrantFor(); g.NoPickup != "" || r.Document.State() != access.IDConfirmed {
		t.Errorf("confirmed, the box is told %+v", g)
	}
	if got := code(r.SubmitID(noon)); got != access.CodeVisitorIDDecided {
		t.Errorf("another one after the confirmation: %q", got)
	}
	var types []access.EventType
	for _, c := range r.Pending {
		types = append(types, c.Type)
	}
	want := []access.EventType{access.EventReservationEdited, access.EventVisitorIDNeeded, access.EventVisitorIDSubmitted, access.EventVisitorIDRejected, access.EventVisitorIDSubmitted, access.EventVisitorIDConfirmed}
	if !slices.Equal(types, want) {
		t.Errorf("told %v, want %v", types, want)
	}
}

// K8, K10, K7: who may pick up when, and why not; returning is always possible.
func TestDecidePickup(t *testing.T) {
	t.Parallel()
	in := access.Custody{State: access.CustodyInBox, PanelID: "pan_1", Slot: 1}
	during := noon.Add(30 * time.Hour)
	cases := map[string]struct {
		prepare func(*access.Reservation)
		custody access.Custody
		at      time.Time
		code    access.Code
		from    time.Time
	}{
		"inside":       {nil, in, during, "", time.Time{}},
		"at the start": {nil, in, noon.Add(24 * time.Hour), "", time.Time{}},
		"before":       {nil, in, noon, access.CodeOutsideWindow, noon.Add(24 * time.Hour)},
		"at the end":   {nil, in, noon.Add(48 * time.Hour), access.CodeReservationEnded, time.Time{}},
		"revoked":      {func(r *access.Reservation) { _ = r.Revoke(noon, "", "") }, in, during, access.CodeReservationRevoked, time.Time{}},
		"no photo ID":  {func(r *access.Reservation) { r.Document.Required = true }, in, during, access.CodeVisitorIDRequired, time.Time{}},
		"photo ID rejected": {func(r *access.Reservation) {
			r.Document = access.IDDocument{Required: true, Progress: access.IDRejected}
		}, in, during, access.CodeVisitorIDRequired, time.Time{}},
		"with somebody":    {nil, access.Custody{State: access.CustodyOut, HolderID: "res_2"}, during, access.CodeKeyNotAvailable, time.Time{}},
		"with the visitor": {nil, access.Custody{State: access.CustodyOut, HolderID: "res_1"}, during, access.CodeKeyNotAvailable, time.Time{}},
		"lost":             {nil, access.Custody{State: access.CustodyUnknown}, during, access.CodeKeyNotAvailable, time.Time{}},
	}
	for name, c := range cases {
		r := reservation(t)
		if c.prepare != nil {
			c.prepare(r)
		}
		f := access.KeyFacts{Reservation: *r, Custody: c.custody}
		d := access.DecidePickup(f, c.at)
		if d.Code != c.code || d.Allowed != (c.code == "") || !d.From.Equal(c.from) || d.Rule == "" || d.Detail == "" {
			t.Errorf("%s: %+v, want %q from %s", name, d, c.code, c.from)
		}
		if d := access.DecideDropOff(f); !d.Allowed || d.Rule != "K8" {
			t.Errorf("%s: a drop-off is refused: %+v", name, d)
		}
	}
}

// K14: a change that comes after the claim of its window has run out changes nothing.
func TestK14LateEditIsRefused(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	before := *r
	later := plan(t, noon.Add(24*time.Hour), noon.Add(50*time.Hour), noon)
	if got := code(r.Edit(noon.Add(time.Minute), access.ReservationEdit{Plan: &later, Until: noon}, "")); got != access.CodeRequestTooLate {
		t.Errorf("answered with %q", got)
	}
	if r.Revision != before.Revision || !r.Plan.Same(before.Plan) {
		t.Error("something changed")
	}
}

// T3: what comes next is shown, and nothing that has passed.
func TestT3ComingOfReservation(t *testing.T) {
	t.Parallel()
	r := reservation(t)
	r.ReturnReminder = true
	if err := r.Resend(noon, true, ""); err != nil {
		t.Fatal(err)
	}
	var got []access.Action
	for _, d := range access.ComingOf(r, noon) {
		got = append(got, d.What)
	}
	want := []access.Action{access.ActionResend, access.ActionCheckKey, access.ActionStart, access.ActionRemind, access.ActionEnd}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if list := access.ComingOf(r, noon.Add(49*time.Hour)); len(list) != 0 {
		t.Errorf("after the end still %v", list)
	}
}

// K12, P6: reports change custody in the order of their time, handovers included; a
// late one changes nothing that came after it.
func TestK12CustodyApply(t *testing.T) {
	t.Parallel()
	c := access.Custody{KeyID: "key_1", State: access.CustodyInBox, PanelID: "pan_1", Slot: 1, Since: noon, Revision: 1}
	out := access.CustodyReport{State: access.CustodyOut, HolderID: "res_1", At: noon.Add(time.Hour)}
	back := access.CustodyReport{State: access.CustodyInBox, PanelID: "pan_2", Slot: 4, At: noon.Add(2 * time.Hour)}
	c, changed := c.Apply(out)
	if !changed || c.HolderID != "res_1" || c.PanelID != "" || c.Slot != 0 {
		t.Errorf("taken: %+v", c)
	}
	if again, changed := c.Apply(out); changed || again != c {
		t.Errorf("the same report twice: %+v", again)
	}
	c, _ = c.Apply(access.CustodyReport{State: access.CustodyOut, HolderID: "res_2", At: noon.Add(90 * time.Minute)})
	if c.HolderID != "res_2" {
		t.Errorf("a handover: %+v", c)
	}
	c, _ = c.Apply(back)
	if c.State != access.CustodyInBox || c.PanelID != "pan_2" || c.Slot != 4 || c.HolderID != "" {
		t.Errorf("back in another box: %+v", c)
	}
	if late, changed := c.Apply(out); changed || late != c {
		t.Errorf("a late report: %+v", late)
	}
}

// E6, K5: an edit that names the revision it was made for is refused once somebody
// else's came first, and changes nothing.
func TestEditOfAnEarlierRevision(t *testing.T) {
	t.Parallel()
	i := sent()
	seen := i.Revision
	if err := i.Edit(noon, access.Edit{Entrances: []string{"ent_2"}, Revision: seen}, ""); err != nil {
		t.Fatal(err)
	}
	if got := code(i.Edit(noon, access.Edit{Entrances: []string{"ent_3"}, Revision: seen}, "")); got != access.CodePreconditionFailed || i.Entrances[0] != "ent_2" {
		t.Errorf("the second of two edits of an invitation: %q, %v", got, i.Entrances)
	}
	r, on := reservation(t), true
	seen = r.Revision
	if err := r.Edit(noon, access.ReservationEdit{RequireID: &on, Revision: seen}, ""); err != nil {
		t.Fatal(err)
	}
	changed := r.Revision
	off := false
	if got := code(r.Edit(noon, access.ReservationEdit{RequireID: &off, Revision: seen}, "")); got != access.CodePreconditionFailed || r.Revision != changed || !r.Document.Required {
		t.Errorf("the second of two edits of a reservation: %q, %+v", got, r.Document)
	}
}
