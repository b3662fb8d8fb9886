package web_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/web"
)

// I17: a guest can give an access up from the page of their keys, and is told what
// that means before; a lock-down is said beside the entrance.
func TestI17GuestPage(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string][]string{
		"en": {`action="/guest/inv_1/leave"`, "Give up this access", "stop opening for you at once", "The property is locked down", "You have given up this access."},
		"ja": {`action="/guest/inv_1/leave"`, "このアクセス権を返上する", "封鎖中", "アクセス権を返上しました。"},
	} {
		answer := httptest.NewRecorder()
		web.GuestPage(answer, httptest.NewRequest("GET", "/guest", nil), web.GuestView{
			Locale: locale, Notice: web.GuestNotice{Code: web.NoticeLeft},
			Locations: []web.GuestLocation{{ID: "prop_1", Name: "Harbour House", Keys: []web.GuestKey{{
				InvitationID: "inv_1", InviterName: "Rita", Zone: time.UTC,
				Entrances: []web.GuestEntrance{{ID: "ent_1", Name: "Lobby", Decision: access.Decision{Code: access.CodeLockedDown, Rule: "I17"}}},
			}}}},
		})
		for _, text := range want {
			if !strings.Contains(answer.Body.String(), text) {
				t.Errorf("the %s page does not say %q", locale, text)
			}
		}
	}
}
