package sendgrid

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
)

// The headers of the Signed Event Webhook.
const (
	SignatureHeader = eventwebhook.VerificationHTTPHeader
	TimestampHeader = eventwebhook.TimestampHTTPHeader
)

// Tolerance is how old a signed batch of events may be, and how far ahead of our
// clock. The signature alone would let a batch be played again for ever.
const Tolerance = 5 * time.Minute

// What is wrong with a batch of events.
var (
	ErrSignature = errors.New("the signature is not SendGrid's")
	ErrAge       = errors.New("the timestamp is not within five minutes of now")
	ErrEvents    = errors.New("the body is no list of events")
)

// Outcome is what SendGrid reports of a message.
type Outcome string

// The outcomes that matter. Dropped was never tried, blocked was refused for now
// and given up, bounced was refused for good.
const (
	Accepted Outcome = "accepted" // SendGrid has it, or has delivered it
	Bounced  Outcome = "bounced"
	Blocked  Outcome = "blocked"
	Dropped  Outcome = "dropped"
)

// Event is one report about one of our messages.
type Event struct {
	MessageID string
	Outcome   Outcome
}

// Key reads the verification key as SendGrid's settings show it: an ECDSA key, as
// DER in base64.
func Key(text string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	ours, ok := key.(*ecdsa.PublicKey) // the library's own reader panics on another kind
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return ours, nil
}

// Events checks signature and age of a batch and takes out what is of use: bounces
// and what shows that a message was taken. Everything else in it is passed over,
// messages that are not ours included.
func Events(key *ecdsa.PublicKey, body []byte, signature, timestamp string, now time.Time) ([]Event, error) {
	genuine, err := eventwebhook.VerifySignature(key, body, signature, timestamp)
	if err != nil || !genuine {
		return nil, ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > Tolerance {
		return nil, ErrAge
	}
	var reports []struct {
		Event     string `json:"event"`
		Type      string `json:"type"`
		MessageID string `json:"latchkey_message_id"` // argument, see Send
	}
	if err := json.Unmarshal(body, &reports); err != nil {
		return nil, ErrEvents
	}
	var events []Event
	for _, r := range reports {
		outcome, known := outcomeOf(r.Event, r.Type)
		if known && r.MessageID != "" {
			events = append(events, Event{MessageID: r.MessageID, Outcome: outcome})
		}
	}
	return events, nil
}

func outcomeOf(event, kind string) (Outcome, bool) {
	switch event {
	case "processed", "delivered":
		return Accepted, true
	case "dropped":
		return Dropped, true
	case "bounce":
		if kind == "blocked" {
			return Blocked, true
		}
		return Bounced, true
	default:
		return "", false
	}
}
