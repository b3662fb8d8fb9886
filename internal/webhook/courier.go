package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"latchkey/internal/directory"
)

// Lane is what is delivered in order: the events of one item to one endpoint.
type Lane struct {
	WebhookID string `json:"webhook_id"`
	Item      string `json:"item"`
}

// Message is a delivery whose turn it is, with all that an attempt needs.
type Message struct {
	DeliveryID string
	WebhookID  string
	URL        string
	Secrets    []string // in force, the newest first
	Event      directory.Event
	Attempts   int // so far
	DueAt      time.Time
	RetryUntil time.Time
	Revision   int64 // of the endpoint
}

// Attempt is what became of a message.
type Attempt struct {
	State  directory.DeliveryState
	Status int
	Error  string    // a code
	DueAt  time.Time // of the next attempt, while it is pending
	At     time.Time
}

// Deliveries is where messages wait; internal/store satisfies it.
type Deliveries interface {
	// NextDelivery gives the first of a lane that is neither delivered nor dead.
	NextDelivery(ctx context.Context, lane Lane, now time.Time) (m Message, ok bool, err error)
	// RecordAttempt keeps what became of it and gives the next.
	RecordAttempt(ctx context.Context, lane Lane, m Message, a Attempt) (next Message, ok bool, err error)
}

// Courier delivers what waits in a lane, in order.
type Courier struct {
	Deliveries Deliveries
	Sender     *Sender
	// Payload is the body for an event.
	Payload  func(directory.Event) ([]byte, error)
	Schedule []time.Duration // not given: [Schedule]
	Clock    func() time.Time
	Log      *slog.Logger
}

// turn is how long one lane is worked on before others of its endpoint get their turn.
const turn = 15 * time.Second

// Deliver works on a lane until it is empty, or says when to go on: at once after
// its turn, later after a failed attempt. An attempt that ctx cut off counts for
// nothing and is made again.
func (c *Courier) Deliver(ctx context.Context, lane Lane) (empty bool, again time.Duration, err error) {
	begin := c.Clock()
	m, ok, err := c.Deliveries.NextDelivery(ctx, lane, begin)
	for err == nil && ok {
		now := c.Clock()
		if wait := m.DueAt.Sub(now); wait > 0 {
			return false, wait, nil
		}
		if now.Sub(begin) > turn {
			return false, 0, nil
		}
		var result Attempt
		if result, err = c.attempt(ctx, m, now); err == nil {
			m, ok, err = c.Deliveries.RecordAttempt(ctx, lane, m, result)
		}
	}
	return err == nil, 0, err
}

func (c *Courier) attempt(ctx context.Context, m Message, now time.Time) (Attempt, error) {
	payload, err := c.Payload(m.Event)
	if err != nil {
		return Attempt{}, fmt.Errorf("payload of %s: %w", m.Event.ID, err)
	}
	answer, err := c.Sender.send(ctx, m, payload, now)
	if err != nil {
		return Attempt{}, err
	}
	at := c.Clock()
	result := Attempt{State: directory.DeliveryDelivered, Status: answer.status, Error: answer.failed, At: at}
	if answer.failed == "" {
		return result, nil
	}
	schedule := c.Schedule
	if len(schedule) == 0 {
		schedule = Schedule
	}
	next, dead := retry(schedule, m.Attempts+1, m.RetryUntil, at, rand.Float64(), answer.retryAfter)
	result.State, result.DueAt = directory.DeliveryPending, next
	if dead {
		result.State, result.DueAt = directory.DeliveryDead, time.Time{}
		c.Log.LogAttrs(ctx, slog.LevelWarn, "a webhook could not be delivered for a day and is in the dead-letter list",
			slog.String("webhook_id", m.WebhookID), slog.String("delivery_id", m.DeliveryID), slog.String("failed", answer.failed))
	}
	return result, nil
}
