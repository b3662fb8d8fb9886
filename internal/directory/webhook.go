package directory

import "time"

// Webhook is an endpoint of an app that is sent the account's events (E4). Its
// secrets are not part of it: they are shown once.
type Webhook struct {
	ID        string
	AccountID string
	URL       string
	Events    []string // types, or [AllEvents]

	FailingSince    time.Time // of the first failed attempt since the last that succeeded; zero: none
	LastDeliveredAt time.Time
	LastError       string    // a code, while it is failing
	OldSecretUntil  time.Time // until when a replaced secret still signs; zero: none does
	Pending, Dead   int       // deliveries

	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64
}

// AllEvents asks for events of every type.
const AllEvents = "*"

// DeliveryState is what has become of a delivery.
type DeliveryState string

// A delivery is pending until the endpoint has taken it, or is dead when that took
// too long. A dead one can be replayed.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryDead      DeliveryState = "dead"
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID          string
	WebhookID   string
	EventID     string
	EventType   string
	State       DeliveryState
	Attempts    int
	DueAt       time.Time // of the next attempt, while it is pending
	AttemptedAt time.Time
	Status      int    // of the last answer; 0: there was none
	Error       string // a code: why the last attempt failed
	CreatedAt   time.Time
	EndedAt     time.Time // when it was delivered or died
}
