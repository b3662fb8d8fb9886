package web_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/web"
)

func guestPage(v web.GuestView) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { web.GuestPage(w, r, v) }
}

// I16: the guest page can be kept on a phone's home screen: it names a manifest that
// begins at the page and whose icon exists.
func TestGuestPageIsInstallable(t *testing.T) {
	t.Parallel()
	page := get(t, http.MethodGet, "en", guestPage(web.GuestView{Email: "ana@example.com"}), "/guest")
	link := regexp.MustCompile(`rel="manifest" href="([^"]+)"`).FindStringSubmatch(page.body)
	if link == nil || !strings.Contains(page.header.Get("Content-Security-Policy"), "manifest-src 'self'") {
		t.Fatalf("the page names no manifest that it may load:\n%s", page.body)
	}
	answer := get(t, http.MethodGet, "en", web.Assets(), link[1])
	var manifest struct {
		StartURL string `json:"start_url"`
		Display  string `json:"display"`
		Icons    []struct{ Src string }
	}
	if err := json.Unmarshal([]byte(answer.body), &manifest); err != nil || answer.header.Get("Content-Type") != "application/manifest+json" {
		t.Fatalf("the manifest is %s: %v", answer.body, err)
	}
	if manifest.StartURL != "/guest" || manifest.Display != "standalone" || len(manifest.Icons) == 0 {
		t.Errorf("the manifest says %+v", manifest)
	}
	for _, icon := range manifest.Icons {
		if a := get(t, http.MethodGet, "en", web.Assets(), icon.Src); a.status != http.StatusOK {
			t.Errorf("the icon %s is answered %d", icon.Src, a.status)
		}
	}
}

// I6, I16: an entrance that does not open says why and from when; what to do with a
// phone that cannot tap is on the page, in every language.
func TestGuestPageSaysWhy(t *testing.T) {
	t.Parallel()
	v := web.GuestView{Email: "ana@example.com", Locations: []web.GuestLocation{{ID: "prop_1", Name: "Harbour House", Keys: []web.GuestKey{{
		InvitationID: "inv_1", InviterName: "Ben", Zone: tokyo(t), Verification: access.VerificationStatus{State: access.VerificationMissing},
		Entrances: []web.GuestEntrance{
			{ID: "ent_1", Name: "Main door", Directions: "Left of the café.", Decision: access.Decision{Code: access.CodeVerificationRequired}},
			{ID: "ent_2", Name: "Garage", Decision: access.Decision{Code: access.CodeOutsideSchedule, From: time.Date(2026, 12, 1, 13, 0, 0, 0, time.UTC)}},
			{ID: "ent_3", Name: "Roof", Decision: access.Decision{Allowed: true}},
		},
	}}}}}
	for language, says := range map[string][]string{
		"en": {"Left of the café.", "Verify first; then it opens.", "Opens for you from Tue 1 December 2026, 22:00 (JST).", `aria-label="Unlock Roof"`, "Your phone cannot tap?"},
		"ja": {"先に現地での認証を行うと解錠できます。", "スマートフォンをかざせない場合"},
	} {
		v.Locale = language
		page := get(t, http.MethodGet, "", guestPage(v), "/guest")
		for _, sentence := range says {
			if !strings.Contains(page.body, sentence) {
				t.Errorf("%s: %q is not on the page:\n%s", language, sentence, page.body)
			}
		}
		if n := strings.Count(page.body, "/guest/inv_1/unlock"); n != 1 {
			t.Errorf("%s: %d entrances can be unlocked, want the one", language, n)
		}
	}
}
