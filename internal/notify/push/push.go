// Package push notifies members' phones (I7) by Web Push: RFC 8030, encrypted to
// the phone (RFC 8291), in the engine's name (VAPID, RFC 8292).
//
// A notification is a JSON object for the service worker that shows it:
//
//	{"title": "Ana opened Main door", "body": "…", "tag": "msg_…", "url": "https://…/console"}
//
// A phone that gets one twice shows it once, because both bear the same tag. It
// holds no secrets: what it says is shown on a locked screen.
package push

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/SherClockHolmes/webpush-go"

	"latchkey/internal/notify"
)

// Sender notifies all phones of a person.
type Sender struct {
	Phones  notify.Phones
	Keys    notify.PushKeys
	Contact string // whom a push service can write to: an address, or an https URL
	URL     string // what opens when the notification is tapped
	Client  *http.Client
}

// Repeatable says that a phone shows a notification once, however often it gets it.
func (Sender) Repeatable() {}

// useful is how long a push service keeps a notification for a phone that is off:
// an opened door is news for an hour.
const useful = time.Hour

// Send implements [notify.Sender]. It is sent if one phone has it. A phone that is
// gone (404 or 410) is forgotten; a person without phones is reached by another channel.
func (s Sender) Send(ctx context.Context, m notify.Message) error {
	phones, err := s.Phones.PhonesOf(ctx, m.To, m.At)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]string{"title": m.Subject, "body": m.Text, "tag": m.ID, "url": s.URL})
	if err != nil {
		return err
	}
	refusal := &notify.Refusal{Code: notify.CodeGone, Fate: notify.Ends}
	sent := false
	for _, phone := range phones {
		failed := s.notify(ctx, phone, payload)
		switch {
		case failed == nil:
			sent = true
		case failed.Code == notify.CodeGone:
			if err := s.Phones.DropPhone(ctx, phone); err != nil {
				return err
			}
		default:
			refusal = failed
		}
	}
	if sent {
		return nil
	}
	return refusal
}

func (s Sender) notify(ctx context.Context, phone notify.Phone, payload []byte) *notify.Refusal {
	var exchange notify.Exchange
	response, err := webpush.SendNotificationWithContext(exchange.Watch(ctx), payload,
		&webpush.Subscription{Endpoint: phone.Endpoint, Keys: webpush.Keys{Auth: phone.Auth, P256dh: phone.P256dh}},
		&webpush.Options{
			HTTPClient: s.Client, Subscriber: s.Contact, TTL: int(useful / time.Second), Urgency: webpush.UrgencyHigh,
			VAPIDPublicKey: s.Keys.Public, VAPIDPrivateKey: s.Keys.Private,
		})
	if err != nil {
		if errors.Is(err, errInside) {
			return &notify.Refusal{Code: notify.CodeGone, Fate: notify.Ends}
		}
		return exchange.Broken()
	}
	defer func() { _ = response.Body.Close() }() // nothing of it is read
	switch {
	case response.StatusCode >= 200 && response.StatusCode < 300:
		return nil
	case response.StatusCode == http.StatusNotFound, response.StatusCode == http.StatusGone:
		return &notify.Refusal{Code: notify.CodeGone, Fate: notify.Ends}
	}
	return notify.RefusalOfStatus(response.StatusCode, response.Header, time.Now())
}

// errInside refuses an endpoint in a network that the engine can see and others
// cannot: the endpoint is the caller's word.
var errInside = errors.New("the address of the push service is not a public one")

// PublicClient asks push services in public networks only, whatever their names
// resolve to, and follows nobody elsewhere.
func PublicClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !public(to.Addr().Unmap()) {
			return errInside
		}
		return nil
	}}
	return &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
	}
}

// shared is the address space of carriers (RFC 6598), which netip does not know as private.
var shared = netip.MustParsePrefix("100.64.0.0/10")

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !shared.Contains(a)
}
