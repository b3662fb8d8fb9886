package web

import (
	"net/http"
	"time"

	"latchkey/internal/notify"
)

// OutboxPage shows messages that were kept instead of sent, in the order given
// (newest first). Which of them, and how many, is the caller's choice.
//
// A message's HTML is shown in a frame that may run nothing, open nothing and
// submit nothing. The frame inherits the page's policy, which therefore allows the
// style attributes that emails are made of and the one style block of our layout.
func OutboxPage(w http.ResponseWriter, r *http.Request, messages []notify.Message) {
	shown := make([]outboxMessage, 0, len(messages))
	for _, m := range messages {
		shown = append(shown, outboxMessage{m})
	}
	page{
		template: "outbox.html",
		status:   http.StatusOK,
		styles:   "style-src-elem 'self' " + notify.StyleSource() + "; style-src-attr 'unsafe-inline'",
		data:     shown,
	}.show(w, r)
}

type outboxMessage struct{ notify.Message }

// Instant is when the message was due, for machines.
func (m outboxMessage) Instant() string { return m.At.UTC().Format(time.RFC3339) }

// Clock is the same for people.
func (m outboxMessage) Clock() string { return m.At.UTC().Format("2 Jan 2006, 15:04:05 UTC") }
