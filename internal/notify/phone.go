package notify

import (
	"context"
	"time"
)

// Phone is where one phone can be notified, as its browser gave it (Push API).
type Phone struct {
	SessionID string // that the phone is signed in with
	Endpoint  string // an address at a push service; whoever has it can write to the phone
	P256dh    string // the phone's public key, base64url
	Auth      string // a secret of the phone, base64url
}

// Phones knows the phones on which people are signed in.
type Phones interface {
	// PhonesOf lists the phones of a person of an account that can be notified.
	PhonesOf(ctx context.Context, personID string, now time.Time) ([]Phone, error)
	// DropPhone forgets a phone that takes no more notifications.
	DropPhone(ctx context.Context, p Phone) error
}

// PushKeys are by what push services know the engine (VAPID): a P-256 key pair as
// base64url without padding, the public key uncompressed.
type PushKeys struct{ Public, Private string }
