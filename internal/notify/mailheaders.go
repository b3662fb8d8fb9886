package notify

import "strings"

// MailHeaders are the headers that an email carries by whichever sender it goes:
// a Message-ID that is the same at every try, so that mailboxes recognise a second
// copy; a way to switch off what a person may do without (RFC 2369, RFC 8058); and
// word that no human wrote it, so that nobody's absence answers it (RFC 3834).
func MailHeaders(m Message, from string) map[string]string {
	headers := map[string]string{
		"Message-ID":               "<" + MessageID(m, from) + ">",
		"Auto-Submitted":           "auto-generated",
		"X-Auto-Response-Suppress": "All",
	}
	if m.Unsubscribe != "" {
		headers["List-Unsubscribe"] = "<" + m.Unsubscribe + ">"
		headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	return headers
}

// MessageID is the identity of an email: the message's own id at the sender's
// domain.
func MessageID(m Message, from string) string {
	_, domain, _ := strings.Cut(from, "@")
	return m.ID + "@" + domain
}
