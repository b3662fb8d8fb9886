package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/internal/notify"
	"latchkey/internal/web"
)

// OutboxMessage is a message that in production a vendor would have been given.
type OutboxMessage struct {
	To       string    `json:"to"`
	Channel  string    `json:"channel"`
	Template string    `json:"template"`
	Locale   string    `json:"locale"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	HTML     string    `json:"html"`
	Links    []string  `json:"links"`
	At       time.Time `json:"at"`
}

// outboxShown is how many messages the outbox shows at most.
const outboxShown = 200

// outbox shows what was sent, newest first, as JSON or to a browser as a page.
func (s *service) outbox(c *gin.Context) {
	messages, err := s.outboxMessages(c.Request.Context())
	if err != nil {
		abort(c, problemOf(s.explain(c.Request.Context(), err)))
		return
	}
	if strings.Contains(c.GetHeader("Accept"), "text/html") {
		c.Writer.Header().Del("Content-Security-Policy")
		web.OutboxPage(c.Writer, c.Request, messages)
		return
	}
	shown := listOf(messages, "", func(m notify.Message) OutboxMessage {
		return OutboxMessage{
			To: m.To, Channel: string(m.Channel), Template: string(m.Template), Locale: m.Locale,
			Subject: m.Subject, Text: m.Text, HTML: m.HTML, Links: append([]string{}, m.Links...), At: m.At.UTC(),
		}
	})
	c.JSON(http.StatusOK, shown.Body)
}

func (s *service) outboxMessages(ctx context.Context) ([]notify.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	return s.Store.OutboxMessages(ctx, outboxShown)
}
