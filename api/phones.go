package api

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/notify"
)

// PushSubscription is whether the phone of this session is notified of unlocks,
// and the key of the engine that a browser subscribes for (RFC 8292).
type PushSubscription struct {
	ApplicationServerKey string `json:"application_server_key" doc:"For PushManager.subscribe, base64url"`
	Subscribed           bool   `json:"subscribed"`
}

// putPushSubscriptionInput is the browser's own PushSubscription object as JSON.
type putPushSubscriptionInput struct {
	Body struct {
		Endpoint       string   `json:"endpoint" minLength:"1" maxLength:"2000" doc:"The address at the browser's push service"`
		ExpirationTime *float64 `json:"expirationTime,omitempty" doc:"What browsers add; not used"`
		Keys           struct {
			P256dh string `json:"p256dh" minLength:"1" maxLength:"200" doc:"The phone's public key, base64url"`
			Auth   string `json:"auth" minLength:"1" maxLength:"100" doc:"The phone's secret, base64url"`
		} `json:"keys"`
	} `nameHint:"PutPushSubscription"`
}

func (s *service) getPushSubscription(ctx context.Context, _ *struct{}) (*output[PushSubscription], error) {
	return s.pushSubscription(ctx)
}

func (s *service) pushSubscription(ctx context.Context) (*output[PushSubscription], error) {
	keys, err := s.Store.PushKeys(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	has, err := s.Store.HasPhone(ctx, callerOf(ctx).sessionID)
	if err != nil {
		return nil, err
	}
	return &output[PushSubscription]{Body: PushSubscription{ApplicationServerKey: keys.Public, Subscribed: has}}, nil
}

// putPushSubscription lets the phone of this session be notified (I7), in the place
// of what it gave before.
func (s *service) putPushSubscription(ctx context.Context, in *putPushSubscriptionInput) (*output[PushSubscription], error) {
	phone := notify.Phone{SessionID: callerOf(ctx).sessionID, Endpoint: in.Body.Endpoint, P256dh: in.Body.Keys.P256dh, Auth: in.Body.Keys.Auth}
	if err := checkPhone(phone); err != nil {
		return nil, err
	}
	if err := s.Store.KeepPhone(ctx, personID(ctx), phone, time.Now()); err != nil {
		return nil, err
	}
	return s.pushSubscription(ctx)
}

func (s *service) deletePushSubscription(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, s.Store.ForgetPhone(ctx, callerOf(ctx).sessionID)
}

// checkPhone refuses what no browser gives: nothing could be encrypted to it, or it
// is no push service. That the service is in a public network shows when it is asked.
func checkPhone(p notify.Phone) error {
	endpoint, err := url.Parse(p.Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Hostname() == "" || endpoint.User != nil {
		return directory.Invalid("body.endpoint", "endpoint must be the https address that the browser's subscription has.")
	}
	key, err := decodeKey(p.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(key)
	}
	if err != nil {
		return directory.Invalid("body.keys.p256dh", "p256dh must be the public key of the browser's subscription: an uncompressed P-256 point, base64url.")
	}
	if secret, err := decodeKey(p.Auth); err != nil || len(secret) != 16 {
		return directory.Invalid("body.keys.auth", "auth must be the secret of the browser's subscription: 16 bytes, base64url.")
	}
	return nil
}

func decodeKey(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}
