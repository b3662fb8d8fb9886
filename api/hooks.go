package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/sendgrid"
)

type sendGridEventsInput struct {
	Signature string `header:"X-Twilio-Email-Event-Webhook-Signature" doc:"ECDSA over timestamp and body, base64"`
	Timestamp string `header:"X-Twilio-Email-Event-Webhook-Timestamp" doc:"Unix seconds"`
	RawBody   []byte `contentType:"application/json"`
}

// sendGridEvents takes in what became of emails. A report is taken once, however
// often it comes: what has ended does not end again.
func (s *service) sendGridEvents(ctx context.Context, in *sendGridEventsInput) (*struct{}, error) {
	if s.SendGridKey == nil {
		return nil, noRoute()
	}
	now := time.Now()
	events, err := sendgrid.Events(s.SendGridKey, in.RawBody, in.Signature, in.Timestamp, now)
	switch {
	case errors.Is(err, sendgrid.ErrSignature), errors.Is(err, sendgrid.ErrAge):
		return nil, newProblem(http.StatusForbidden, "signature_refused", "Signature or timestamp of these events are not what SendGrid's would be now. Check the verification key and this machine's clock.")
	case err != nil:
		return nil, newProblem(http.StatusBadRequest, "malformed", "The body is not a list of SendGrid's events.")
	}
	for _, e := range events {
		if e.Outcome == sendgrid.Accepted {
			err = s.Store.MessageTaken(ctx, e.MessageID, now)
		} else {
			err = s.Store.MessageBounced(ctx, e.MessageID, string(e.Outcome), insteadOf, now)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// insteadOf is the channel that a message which came back is to go by. Whether the
// person can be reached by it shows when it is sent.
func insteadOf(t access.Template, channel string) string {
	for _, other := range notify.Others(notify.Channel(channel)) {
		if notify.Reaches(other, t) {
			return string(other)
		}
	}
	return ""
}
