package smtp

import (
	"net/mail"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"latchkey/internal/notify"
)

// Letter is a message as it goes over the wire: text and HTML, both UTF-8, in
// lines that every server takes. Latin scripts stay readable in the source
// (quoted-printable); scripts of which nothing would are base64, which is shorter.
func Letter(m notify.Message, from mail.Address, to string) (*gomail.Msg, error) {
	encoding := gomail.EncodingQP
	if mostlyBeyondASCII(m.Text) {
		encoding = gomail.EncodingB64
	}
	letter := gomail.NewMsg(gomail.WithEncoding(encoding), gomail.WithNoDefaultUserAgent())
	letter.FromMailAddress(&from)
	if err := letter.To(to); err != nil {
		return nil, err
	}
	letter.Subject(m.Subject)
	letter.SetDateWithValue(m.At.UTC())
	for name, value := range notify.MailHeaders(m, from.Address) {
		letter.SetGenHeader(gomail.Header(name), value)
	}
	letter.SetBodyString(gomail.TypeTextPlain, m.Text)
	letter.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	if m.Calendar != "" {
		err := letter.AttachReader(notify.CalendarName, strings.NewReader(m.Calendar), gomail.WithFileContentType(notify.CalendarType))
		if err != nil {
			return nil, err
		}
	}
	return letter, nil
}

func mostlyBeyondASCII(text string) bool {
	beyond := 0
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			beyond++
		}
	}
	return beyond > len(text)/2
}
