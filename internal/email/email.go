// Package email decides when two email addresses are the same one (rule I3).
//
// An invitation is for an address, and only an account with that address may
// accept it. People write one address in many ways: in capitals, in full-width
// letters, with an international domain or its ASCII spelling. [Normalize] gives
// all of these one form, the comparison form, and refuses what is not a plain
// address that mail can be sent to. Two addresses are the same exactly if their
// comparison forms are the same bytes.
//
// Folding makes a few distinct spellings equal (ß and ss in the part before the
// @). Whoever proves an address, for example by a sign-in code, must therefore
// receive the code at the comparison form: then the proof is for exactly what is
// compared.
package email

import (
	"net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The limits of RFC 5321, in bytes.
const (
	maxAddress = 254
	maxLocal   = 64
)

// Error is an address that cannot be used. Its text is a sentence for the person
// who typed it and never repeats the address, so it may be shown and logged.
type Error struct{ sentence string }

func (e *Error) Error() string { return e.sentence }

func refuse(sentence string) error { return &Error{sentence: sentence} }

// Normalize returns the comparison form of a bare address (I3): the local part in
// Unicode NFKC with case folded, the domain in lower-case ASCII (IDNA). Spaces
// around the address are dropped. Normalizing a comparison form changes nothing.
//
// The error is always an [*Error]. Refused are display names and angle brackets,
// control and invisible characters, IP addresses as domain, single-label domains
// other than localhost, and anything over 254 bytes.
func Normalize(address string) (string, error) {
	if err := checkCharacters(address); err != nil {
		return "", err
	}
	// Full-width input carries a full-width @ and dots, so the whole address is
	// composed before it is taken apart.
	bare := strings.TrimSpace(norm.NFKC.String(strings.TrimSpace(address)))
	if err := checkShape(bare); err != nil {
		return "", err
	}
	parsed, err := mail.ParseAddress(bare)
	if err != nil || parsed.Name != "" {
		return "", refuse("This is not an email address; write it like name@example.com.")
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	local, err := normalizeLocal(parsed.Address[:at])
	if err != nil {
		return "", err
	}
	domain, err := normalizeDomain(parsed.Address[at+1:])
	if err != nil {
		return "", err
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", refuse("The email address is too long; 254 bytes is the most.")
	}
	return local + "@" + domain, nil
}

// Equal says whether two addresses are the same one (I3). An address that
// Normalize refuses equals nothing, not even itself.
func Equal(a, b string) bool {
	left, err := Normalize(a)
	if err != nil {
		return false
	}
	right, err := Normalize(b)
	return err == nil && left == right
}

// checkCharacters refuses what could end a mail header or make an address look
// like another: controls, line separators, and characters that are not seen.
func checkCharacters(s string) error {
	if len(s) > 4*maxAddress { // full-width letters shrink when composed
		return refuse("The email address is too long; 254 bytes is the most.")
	}
	if !utf8.ValidString(s) {
		return refuse("The email address is not valid UTF-8 text.")
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co,
			unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return refuse("The email address contains an invisible or control character; type it again instead of pasting it.")
		}
	}
	return nil
}

// checkShape names the usual mistakes in words, before the parser refuses them
// in its own.
func checkShape(s string) error {
	switch {
	case s == "":
		return refuse("The email address is empty.")
	case strings.ContainsAny(s, "<>(),;:\\"):
		return refuse("Give the bare address without a name, brackets or a list, like name@example.com.")
	case strings.ContainsAny(s, "[]"):
		return refuse("The part after the @ must be a domain name, not an IP address.")
	case !strings.Contains(s, "@"):
		return refuse("The email address has no @; write it like name@example.com.")
	case strings.Count(s, "@") > 1:
		return refuse("The email address has more than one @; give one address like name@example.com.")
	case strings.HasSuffix(s, ".") || strings.HasSuffix(s, "。"):
		return refuse("Remove the dot at the end of the email address.")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return refuse("The email address contains a space; remove it.")
	}
	return nil
}

// normalizeLocal folds the part before the @. Quotes have been removed by the
// parser; they were redundant if what they held needs none.
func normalizeLocal(local string) (string, error) {
	folded := fold(local)
	if len(folded) > maxLocal {
		return "", refuse("The part before the @ is too long; 64 bytes is the most.")
	}
	if !plainLocal(folded) {
		return "", refuse("The part before the @ must do without quotes; use letters, digits and single dots between them.")
	}
	return folded, nil
}

// fold applies case folding and NFKC until nothing changes: folding can undo
// composition and composition can bring a foldable letter back.
func fold(s string) string {
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
		if next == s {
			break
		}
		s = next
	}
	return s
}

// plainLocal says whether s is a dot-atom of RFC 5322 with RFC 6532's letters.
func plainLocal(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		ok := unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
		if r > unicode.MaxASCII {
			ok = unicode.IsGraphic(r) && !unicode.IsSpace(r)
		}
		if !ok {
			return false
		}
	}
	return true
}

// domains maps case and width as a look-up does, then checks labels as strictly
// as a registry. The order matters: MapForLookup replaces what comes before it.
var domains = idna.New(
	idna.ValidateForRegistration(),
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.CheckHyphens(true),
	idna.CheckJoiners(true),
	idna.BidiRule(),
	idna.VerifyDNSLength(true),
)

func normalizeDomain(domain string) (string, error) {
	ascii, err := domains.ToASCII(domain)
	if err != nil || ascii == "" {
		return "", refuse("The part after the @ is not a valid domain name.")
	}
	ascii = strings.ToLower(ascii)
	labels := strings.Split(ascii, ".")
	last := labels[len(labels)-1]
	switch _, notIP := netip.ParseAddr(ascii); {
	case last == "":
		return "", refuse("Remove the dot at the end of the email address.")
	case notIP == nil, strings.Trim(last, "0123456789") == "":
		return "", refuse("The part after the @ must be a domain name, not an IP address.")
	case len(labels) == 1 && ascii != "localhost":
		return "", refuse("The part after the @ is not a full domain name; it needs a dot, like example.com.")
	}
	return ascii, nil
}
