package web_test

import (
	"html"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/web"
)

func visit(v web.VisitView) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { web.VisitPage(w, r, v) }
}

func visitView(t *testing.T) web.VisitView {
	t.Helper()
	return web.VisitView{
		State: access.ReservationActive, PropertyName: "Casa Tejo", KeyName: "Flat 3", HostName: "Hugo", Code: "48215937",
		AccessNotes: "Ring at the kiosk.", EndsAt: time.Date(2026, 12, 3, 2, 0, 0, 0, time.UTC), Zone: tokyo(t), Locale: "en",
		Pickup: access.Decision{Allowed: true}, Document: access.IDNotRequired,
		Boxes: []web.VisitBox{{ID: "pan_1", Name: "Kiosk"}}, Path: "/r/secret", Press: "press-1",
	}
}

// K3, K7, K8: the page says in each state what can be done now, offers that and
// nothing else, and always a way to return the key.
func TestVisitPage(t *testing.T) {
	for name, c := range map[string]struct {
		change          func(*web.VisitView)
		says            string
		pickup, uploads bool
	}{
		"ready":     {func(*web.VisitView) {}, "You can pick it up now", true, false},
		"has key":   {func(v *web.VisitView) { v.HasKey, v.Pickup = true, access.Decision{} }, "You have the key", false, false},
		"too early": {func(v *web.VisitView) { v.State, v.Pickup = access.ReservationScheduled, access.Decision{} }, "You can pick up the key from", false, false},
		"key away":  {func(v *web.VisitView) { v.Pickup = access.Decision{Code: access.CodeKeyNotAvailable} }, "The key is not available yet", false, false},
		"ended":     {func(v *web.VisitView) { v.State, v.Pickup = access.ReservationEnded, access.Decision{} }, "is over", false, false},
		"revoked":   {func(v *web.VisitView) { v.State, v.Pickup = access.ReservationRevoked, access.Decision{} }, "Hugo has withdrawn", false, false},
		"needs ID": {func(v *web.VisitView) {
			v.Document, v.Pickup = access.IDNeeded, access.Decision{Code: access.CodeVisitorIDRequired}
		}, "needs to see a photo ID", false, true},
		"ID waits": {func(v *web.VisitView) {
			v.Document, v.Pickup = access.IDSubmitted, access.Decision{Code: access.CodeVisitorIDRequired}
		}, "Your photo ID has arrived", false, true},
		"ID rejected": {func(v *web.VisitView) {
			v.Document, v.IDReason, v.Pickup = access.IDRejected, "It is <b>blurred</b>.", access.Decision{Code: access.CodeVisitorIDRequired}
		}, "It is <b>blurred</b>.", false, true},
	} {
		v := visitView(t)
		c.change(&v)
		a := get(t, http.MethodGet, "en", visit(v), "/r/secret")
		text := html.UnescapeString(a.body)
		if a.status != http.StatusOK || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d, want %q in\n%s", name, a.status, c.says, a.body)
		}
		for _, fact := range []string{"48215937", "Flat 3", "Casa Tejo", "Ring at the kiosk.", "Thu 3 December 2026, 11:00 (JST)"} {
			if !strings.Contains(text, fact) {
				t.Errorf("%s: the page does not show %q", name, fact)
			}
		}
		for action, want := range map[string]bool{"/r/secret/pickup": c.pickup, "/r/secret/dropoff": true, "/r/secret/photo-id": c.uploads} {
			if got := strings.Contains(a.body, `action="`+action+`"`); got != want {
				t.Errorf("%s: the form for %s: %t, want %t", name, action, got, want)
			}
		}
		if c.uploads && !strings.Contains(a.body, `accept="image/jpeg,image/png"`) {
			t.Errorf("%s: phones are not asked for JPEG or PNG", name)
		}
		if strings.Contains(a.body, "<b>") || strings.Contains(a.body, "<script") {
			t.Errorf("%s: words of a person became markup", name)
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self'") || strings.Contains(csp, "script") {
			t.Errorf("%s: the policy is %q", name, csp)
		}
	}
}

// Every field has a label, and a box is chosen where there are several.
func TestVisitPageForms(t *testing.T) {
	v := visitView(t)
	v.Boxes = append(v.Boxes, web.VisitBox{ID: "pan_2", Name: "Bakery"})
	a := get(t, http.MethodGet, "en", visit(v), "/r/secret")
	for _, want := range []string{`<option value="pan_2">Bakery</option>`, `name="press" value="press-1"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	fields := regexp.MustCompile(`<(input|select)\b[^>]*>`).FindAllStringIndex(a.body, -1)
	for _, at := range fields {
		field, before := a.body[at[0]:at[1]], a.body[:at[0]]
		if !strings.Contains(field, `type="hidden"`) && strings.LastIndex(before, "<label>") <= strings.LastIndex(before, "</label>") {
			t.Errorf("%s has no label", field)
		}
	}
}

// What came of a button is said first, with the status of the answer; a code that
// has no sentence is not shown raw.
func TestVisitPageNotices(t *testing.T) {
	for _, c := range []struct {
		notice web.VisitNotice
		says   string
		role   string
	}{
		{web.VisitNotice{Code: web.NoticePickupOpened, Slot: 3}, "Slot 3 is open. Take the key", "status"},
		{web.VisitNotice{Code: web.NoticeDropOffOpened, Slot: 2}, "Slot 2 is open. Put the key in", "status"},
		{web.VisitNotice{Code: "wrong_panel_code", Status: http.StatusForbidden}, "not the number that the SmartBox shows", "alert"},
		{web.VisitNotice{Code: "some_new_code", Status: http.StatusConflict}, "That did not work", "alert"},
	} {
		v := visitView(t)
		v.Notice = c.notice
		a := get(t, http.MethodGet, "en", visit(v), "/r/secret")
		if want := max(c.notice.Status, http.StatusOK); a.status != want || !strings.Contains(a.body, c.says) || !strings.Contains(a.body, `role="`+c.role+`"`) {
			t.Errorf("%s: %d\n%s", c.notice.Code, a.status, a.body)
		}
		if strings.Contains(a.body, "some_new_code") {
			t.Error("a code is shown to a visitor")
		}
	}
}

// Every notice that the program can give has its sentence in every language.
func TestVisitPageNoticesInEveryLanguage(t *testing.T) {
	source, err := os.ReadFile("locales/en.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(source), "[visit.notice]\n")
	if !found {
		t.Fatal("there are no notices")
	}
	section, _, _ = strings.Cut(section, "\n[")
	for _, line := range strings.Split(strings.TrimSpace(section), "\n") {
		code, _, _ := strings.Cut(line, " = ")
		for _, language := range []string{"en", "ja"} {
			v := visitView(t)
			v.Locale, v.Notice = language, web.VisitNotice{Code: code, Slot: 1}
			a := get(t, http.MethodGet, "", visit(v), "/r/secret")
			if a.status != http.StatusOK || !strings.Contains(a.body, `<p class="notice`) {
				t.Errorf("%s in %s: %d", code, language, a.status)
			}
			if language == "ja" && regexp.MustCompile(`class="notice[^>]*>[\x00-\x7f]*<`).MatchString(a.body) {
				t.Errorf("%s is not said in Japanese", code)
			}
		}
	}
}

// A booking URL that nobody knows is not found and gives nothing away.
func TestVisitPageUnknown(t *testing.T) {
	a := get(t, http.MethodGet, "en", http.HandlerFunc(web.VisitNotFoundPage), "/r/nothing")
	if a.status != http.StatusNotFound || !strings.Contains(a.body, "does not lead to a reservation") {
		t.Errorf("%d\n%s", a.status, a.body)
	}
}
