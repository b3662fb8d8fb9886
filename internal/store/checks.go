package store

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"latchkey/internal/directory"
)

// longestName is how many characters a name may have.
const longestName = 200

// checkName refuses a name that shows nothing, or too much.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > longestName {
		return directory.Invalid("body.name", "name must have 1 to 200 characters.")
	}
	return nil
}

var internationalNumber = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// checkPerson refuses a number that cannot be dialled from anywhere and a language
// that is none. The address is checked where it is indexed.
func checkPerson(p directory.Person) error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	if p.Mobile != "" && !internationalNumber.MatchString(p.Mobile) {
		return directory.Invalid("body.mobile", "mobile must be an international number such as +34600111222.")
	}
	if _, err := language.Parse(p.Locale); err != nil {
		return directory.Invalid("body.locale", "locale must be a language tag such as en, ja or pt-BR.")
	}
	return nil
}

// languageOf takes the language that a browser would like best out of its
// Accept-Language header: language, script and region, and nothing else that
// somebody may have put there. English where it asks for none.
func languageOf(header string) string {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return defaultLocale
	}
	base, script, region := tags[0].Raw()
	if base.String() == "und" || base.String() == "mul" { // "any"
		return defaultLocale
	}
	tag, err := language.Compose(base, script, region)
	if err != nil {
		return defaultLocale
	}
	return tag.String()
}

// defaultLocale is the language of people who chose none.
const defaultLocale = "en"
