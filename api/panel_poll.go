package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/panel"
)

const (
	// longestPoll is how long a panel may wait for messages; writeTimeout is longer.
	longestPoll = 25 * time.Second
	// answersMost bounds how many answers come in one message.
	answersMost = 100
)

// pollInput is a request without a body, signed in its header as GET /status is.
type pollInput struct {
	Wait    string `query:"wait" default:"25s" maxLength:"20" doc:"How long to wait for messages, at most 25s"`
	message string
}

// Resolve implements huma.Resolver: OpenAPI has no header parameter of this name.
func (in *pollInput) Resolve(c huma.Context) []error {
	in.message = strings.TrimSpace(strings.TrimPrefix(c.Header("Authorization"), "Bearer "))
	return nil
}

// panelPoll gives a panel without a reachable address the messages that wait for
// it, and waits for some if there are none. The same messages as would be sent to
// its address.
func (s *service) panelPoll(ctx context.Context, in *pollInput) (*signedOutput, error) {
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait < 0 {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "wait must be a duration of at most 25s, such as 25s.")
	}
	var poll panel.Poll
	from, pollID, err := s.fromPanel(ctx, in.message, panel.TypePoll, &poll, s.Clock())
	if err != nil {
		return nil, err
	}
	if poll.BootID == "" || len(poll.BootID) > 64 {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "boot_id is missing.")
	}
	waiting, cancel := s.untilStopping(ctx)
	defer cancel()
	messages, err := s.Store.Poll(waiting, from.ID, pollID, poll.BootID, min(wait, longestPoll), s.Clock)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil { // this process stops: the panel asks the next one
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if messages == nil {
		messages = []string{}
	}
	return s.toPanel(ctx, from, panel.TypeDeliveries, pollID, panel.Deliveries{Messages: messages}, s.Clock())
}

// untilStopping is ctx that also ends when the process begins to stop, so that
// panels that wait do not hold it up.
func (s *service) untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s.Stopping == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(s.Stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// panelAnswers takes what a panel says to the messages that it has fetched. Each
// answer is checked by who waits for it, as one over HTTP is.
func (s *service) panelAnswers(ctx context.Context, in *signedInput) (*signedOutput, error) {
	now := s.Clock()
	var said panel.Answers
	from, re, err := s.fromPanel(ctx, string(in.RawBody), panel.TypeAnswers, &said, now)
	if err != nil {
		return nil, err
	}
	if len(said.Answers)+len(said.Refused) > answersMost {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "These are more answers than messages were delivered. Send them in parts.")
	}
	answers := map[string]string{}
	for _, token := range said.Answers {
		if id, err := panel.AnswerTo(token); err == nil && id != "" {
			answers[id] = token
		}
	}
	for _, refused := range said.Refused {
		document, err := json.Marshal(Problem{Status: http.StatusBadRequest, Code: string(refused.Code), Detail: refused.Detail})
		if err != nil {
			return nil, err
		}
		answers[refused.Re] = string(document)
	}
	if err := s.Store.TakeAnswers(ctx, from.ID, answers); err != nil {
		return nil, err
	}
	return s.toPanel(ctx, from, panel.TypeAnswersAck, re, panel.AnswersAck{}, now)
}
