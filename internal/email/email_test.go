package email_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/email"
)

// One address, many spellings (I3).
func TestNormalizeGivesOneFormToOneAddress(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":                        {"ana@example.com", "ana@example.com"},
		"capitals":                     {"Ana.Lima@Example.COM", "ana.lima@example.com"},
		"tag":                          {"ana+door@example.com", "ana+door@example.com"},
		"spaces around":                {"  ana@example.com ", "ana@example.com"},
		"ideographic space around":     {"\u3000ana@example.com\u3000", "ana@example.com"},
		"full-width":                   {"ａｎａ＠ｅｘａｍｐｌｅ．ｊｐ", "ana@example.jp"},
		"half-width katakana":          {"ｱﾅ@example.jp", "アナ@example.jp"},
		"decomposed":                   {"jose\u0301@example.com", "josé@example.com"},
		"composed":                     {"JOSÉ@example.com", "josé@example.com"},
		"sharp s before the @":         {"Strauß@example.de", "strauss@example.de"},
		"sharp s in the domain":        {"a@straße.de", "a@xn--strae-oqa.de"},
		"final sigma":                  {"ΝΊΚΟΣ@example.gr", "νίκοσ@example.gr"},
		"dotless i stays itself":       {"ılker@example.com", "ılker@example.com"},
		"capital I is a dotted i":      {"ILKER@example.com", "ilker@example.com"},
		"capital dotted I keeps a dot": {"İlker@example.com", "i̇lker@example.com"},
		"dotless i in the domain":      {"a@gıthub.com", "a@xn--gthub-n4a.com"},
		"international domain":         {"a@例え.テスト", "a@xn--r8jz45g.xn--zckzah"},
		"its ASCII spelling":           {"a@XN--R8JZ45G.xn--zckzah", "a@xn--r8jz45g.xn--zckzah"},
		"ideographic full stop":        {"a@例え。テスト", "a@xn--r8jz45g.xn--zckzah"},
		"redundant quotes":             {`"ana"@example.com`, "ana@example.com"},
		"localhost":                    {"root@LOCALHOST", "root@localhost"},
		"longest local part":           {strings.Repeat("a", 64) + "@example.com", strings.Repeat("a", 64) + "@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := email.Normalize(c.in)
			if err != nil {
				t.Fatalf("Normalize(%q): %v", c.in, err)
			}
			if got != c.want {
				t.Errorf("Normalize(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// What is not a plain address is refused with a sentence that says what to change (E6).
func TestNormalizeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, says string }{
		"empty":                   {"", "empty"},
		"only spaces":             {"   ", "empty"},
		"no @":                    {"ana.example.com", "no @"},
		"two @":                   {"ana@home@example.com", "more than one @"},
		"nothing before the @":    {"@example.com", "not an email address"},
		"nothing after the @":     {"ana@", "not an email address"},
		"display name":            {"Ana <ana@example.com>", "without a name"},
		"angle brackets":          {"<ana@example.com>", "without a name"},
		"comment":                 {"ana@example.com (Ana)", "without a name"},
		"list":                    {"ana@example.com,ben@example.com", "a list"},
		"space inside":            {"ana maria@example.com", "space"},
		"space in quotes":         {`"ana maria"@example.com`, "space"},
		"quotes that are needed":  {`"ana..m"@example.com`, "without quotes"},
		"empty quotes":            {`""@example.com`, "not an email address"},
		"double dot":              {"ana..m@example.com", "not an email address"},
		"leading dot":             {".ana@example.com", "not an email address"},
		"trailing dot":            {"ana@example.com.", "Remove the dot"},
		"trailing full-width dot": {"ana@example.com．", "Remove the dot"},
		"trailing ideographic":    {"ana@example.com。", "Remove the dot"},
		"IPv4 literal":            {"ana@[192.0.2.1]", "not an IP address"},
		"IPv4 without brackets":   {"ana@192.0.2.1", "not an IP address"},
		"number at the end":       {"ana@example.1", "not an IP address"},
		"IPv6 literal":            {"ana@[IPv6:2001:db8::1]", "without a name"},
		"single label":            {"ana@example", "needs a dot"},
		"new line":                {"ana@example.com\nBcc: all@example.com", "control character"},
		"carriage return at end":  {"ana@example.com\r", "control character"},
		"NUL":                     {"ana\x00@example.com", "control character"},
		"zero-width space":        {"ana\u200b@example.com", "invisible"},
		"right-to-left override":  {"ana\u202emoc@example.com", "invisible"},
		"soft hyphen in domain":   {"ana@exam\u00adple.com", "invisible"},
		"Hangul filler":           {"ana\u3164@example.com", "invisible"},
		"line separator":          {"ana\u2028@example.com", "control character"},
		"not UTF-8":               {"ana\xff@example.com", "UTF-8"},
		"bad punycode":            {"ana@xn--a.com", "valid domain"},
		"underscore in domain":    {"ana@ex_ample.com", "valid domain"},
		"hyphen at label's edge":  {"ana@-example.com", "valid domain"},
		"local part too long":     {strings.Repeat("a", 65) + "@example.com", "64 bytes"},
		"too long":                {strings.Repeat("a", 64) + "@" + strings.Repeat("abcdefgh.", 22) + "com", "254 bytes"},
		"far too long":            {strings.Repeat("a", 10<<20), "254 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := email.Normalize(c.in)
			if err == nil {
				t.Fatalf("Normalize gave %q, want a refusal", got)
			}
			var refusal *email.Error
			if !errors.As(err, &refusal) {
				t.Errorf("error is %T, want *email.Error", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
}

// I3: case, width and spelling of the domain do not matter; everything else does.
func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"Ana@Example.com", "ana@example.COM", true},
		{"a@例え.テスト", "A@xn--r8jz45g.xn--zckzah", true},
		{"ＡＮＡ@example.com", "ana@example.com", true},
		{"ana@example.com", "ana@example.org", false},
		{"ana+door@example.com", "ana@example.com", false},
		{"a.na@example.com", "ana@example.com", false},
		{"ılker@example.com", "ilker@example.com", false},
		{"nobody", "nobody", false},
		{"ana@example.com", "nobody", false},
	} {
		if got := email.Equal(c.a, c.b); got != c.want {
			t.Errorf("Equal(%q, %q) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

// I3: whatever is accepted has one form, which is its own form, fits a header and
// does not depend on the case it was typed in.
func TestNormalizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[\p{L}\p{N}+._-]{1,20}`).Draw(t, "local")
		domain := rapid.SampledFrom([]string{"example.com", "EXAMPLE.com", "例え.テスト", "straße.de", "ｅｘ．ｊｐ", "localhost"}).Draw(t, "domain")
		checkForm(t, local+"@"+domain)
	})
	rapid.Check(t, func(t *rapid.T) { checkForm(t, rapid.String().Draw(t, "anything")) })
}

// FuzzNormalize looks for an accepted address whose form is unstable or unsafe.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{
		"ana@example.com", "Ana <ana@example.com>", "ａ＠ｂ．ｃｏ", `"a b"@c.de`, "a@[::1]", "İ@ß.de",
		"ᾷ@example.com", "ŉ@example.com", "a@xn--zckzah.com", "a@b。c", "a@\u00bd.com", "\u1e9e@x.de", "a\u0345\u0301@x.de",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) { checkForm(t, address) })
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

func checkForm(t failer, address string) {
	t.Helper()
	form, err := email.Normalize(address)
	if err != nil {
		if form != "" || len(err.Error()) < 10 {
			t.Errorf("refusal of %q gave %q and the sentence %q", address, form, err)
		}
		return
	}
	again, err := email.Normalize(form)
	if err != nil || again != form {
		t.Errorf("Normalize(%q) = %q, whose own form is %q, %v", address, form, again, err)
	}
	if len(form) > 254 || strings.ContainsAny(form, " \r\n\t<>\"") || strings.Count(form, "@") != 1 {
		t.Errorf("Normalize(%q) = %q is not a bare address", address, form)
	}
	if !email.Equal(address, form) {
		t.Errorf("%q does not equal its own form %q", address, form)
	}
}
