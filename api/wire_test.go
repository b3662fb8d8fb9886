package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/workflows"
)

func TestDurationsAreWrittenShort(t *testing.T) {
	for in, want := range map[string]string{
		"336h": "336h", "336h0m0s": "336h", "90s": "90s", "1m30s": "90s", "72h": "72h", "90m": "90m", "0": "0s", "0s": "0s",
		"1.5h": "90m", "1500ms": "1500ms", "1us": "1µs", "24h1s": "86401s",
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if got := d.String(); got != want {
			t.Errorf("%s is written as %s, want %s", in, got, want)
		}
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%s does not come back: %v, %v", d, back, err)
		}
	}
	for _, in := range []string{"", "5", "5 days", "P5D", "1d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was read as %s", in, d)
		}
	}
}

// Every error has one status and code, and what is unexpected says nothing (E6).
func TestErrorsBecomeProblems(t *testing.T) {
	soon := time.Date(2026, 12, 1, 15, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"not found":      {directory.NotFound("property", "prop_1"), http.StatusNotFound, "not_found"},
		"invalid":        {fmt.Errorf("create: %w", directory.Invalid("body.name", "Give a name.")), http.StatusUnprocessableEntity, "invalid"},
		"in use":         {&directory.Error{Code: directory.CodeInUse, Count: 3}, http.StatusConflict, "in_use"},
		"old revision":   {preconditionFailed(), http.StatusPreconditionFailed, "precondition_failed"},
		"cooldown":       {&access.Refusal{Code: access.CodeResendCooldown, NextAllowedAt: soon}, http.StatusConflict, "resend_cooldown"},
		"declined":       {&access.Refusal{Code: access.CodeAlreadyDeclined}, http.StatusConflict, "already_declined"},
		"expired":        {&access.Refusal{Code: access.CodeInvitationExpired}, http.StatusGone, "invitation_expired"},
		"window":         {&access.Refusal{Code: access.CodeInvalidWindow}, http.StatusUnprocessableEntity, "invalid_window"},
		"not shared":     {&access.Refusal{Code: access.CodeNotShared}, http.StatusForbidden, "not_shared"},
		"not verified":   {&access.Refusal{Code: access.CodeVerificationRequired}, http.StatusForbidden, "verification_required"},
		"too late":       {fmt.Errorf("read: %w", context.DeadlineExceeded), http.StatusServiceUnavailable, "unavailable"},
		"no Temporal":    {fmt.Errorf("start: %w", workflows.ErrUnavailable), http.StatusServiceUnavailable, "unavailable"},
		"no database":    {&pgconn.PgError{Code: "57P01"}, http.StatusServiceUnavailable, "unavailable"},
		"broken query":   {&pgconn.PgError{Code: "42601", Message: "syntax error"}, http.StatusInternalServerError, "internal"},
		"something else": {errors.New("secret inside"), http.StatusInternalServerError, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			p := problemOf(c.err)
			if p.Status != c.status || p.Code != c.code || p.Title != http.StatusText(c.status) {
				t.Errorf("%d %s %q, want %d %s", p.Status, p.Code, p.Title, c.status, c.code)
			}
			if p.Status == http.StatusInternalServerError && p.Detail == c.err.Error() {
				t.Errorf("the inside is shown: %s", p.Detail)
			}
			if p.Status == http.StatusServiceUnavailable && p.GetHeaders().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
	if p := problemOf(&access.Refusal{Code: access.CodeResendCooldown, NextAllowedAt: soon}); p.NextAllowedAt == nil || !p.NextAllowedAt.Equal(soon) {
		t.Errorf("next_allowed_at is %v, want %v (K11)", p.NextAllowedAt, soon)
	}
	if p := problemOf(&directory.Error{Code: directory.CodeInUse, Count: 3}); p.Count != 3 {
		t.Errorf("count is %d, want 3", p.Count)
	}
}

func TestIPv6CustomersCountOnce(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64", "": "",
	} {
		if got := networkOf(address); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}
