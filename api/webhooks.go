package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/webhook"
)

// Webhook is an endpoint of an app on the wire, without its secret (E4).
type Webhook struct {
	ID              string     `json:"id" example:"whk_d4k2m1c7h1qg00f3v5tg"`
	URL             string     `json:"url"`
	Events          []string   `json:"events" doc:"Types of events, or *"`
	State           string     `json:"state" enum:"untried,working,failing" doc:"failing: nothing was delivered since the last failure. Nothing is switched off by itself"`
	FailingSince    *time.Time `json:"failing_since"`
	LastError       *string    `json:"last_error" doc:"Why the last attempt failed, while it is failing"`
	LastDeliveredAt *time.Time `json:"last_delivered_at"`
	Pending         int        `json:"pending" doc:"How many deliveries wait"`
	Dead            int        `json:"dead" doc:"How many deliveries failed for a day and can be replayed"`
	OldSecretUntil  *time.Time `json:"old_secret_until" doc:"After a rotation: until when requests are signed with the old secret as well"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
	Revision        int64      `json:"revision"`
}

// WebhookWithSecret is a webhook with its signing secret, which is shown once.
type WebhookWithSecret struct {
	Webhook
	Secret string `json:"secret" doc:"What signatures are verified with, as Standard Webhooks says. Shown once" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="`
}

// WebhookTest says which event an endpoint is about to get.
type WebhookTest struct {
	EventID string `json:"event_id" doc:"Its delivery is the newest one of the endpoint within a second"`
	Type    string `json:"type" enum:"webhook.test"`
}

type createWebhookInput struct {
	Body struct {
		URL    string   `json:"url" minLength:"1" maxLength:"2000" example:"https://app.example.com/latchkey"`
		Events []string `json:"events" minItems:"1" maxItems:"100" uniqueItems:"true" doc:"Types of events, or * for all, those to come included" example:"[\"*\"]"`
	} `nameHint:"CreateWebhook"`
}

type changeWebhookInput struct {
	ByID
	Matching
	Body struct {
		URL    Optional[string]   `json:"url,omitempty" minLength:"1" maxLength:"2000"`
		Events Optional[[]string] `json:"events,omitempty" minItems:"1" maxItems:"100"`
	} `nameHint:"ChangeWebhook"`
}

func (s *service) createWebhook(ctx context.Context, in *createWebhookInput) (*entity[WebhookWithSecret], error) {
	w := directory.Webhook{AccountID: accountID(ctx), URL: in.Body.URL, Events: in.Body.Events}
	if err := s.checkWebhook(w); err != nil {
		return nil, err
	}
	w, secret, err := s.Store.CreateWebhook(ctx, w, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(w.Revision, WebhookWithSecret{Webhook: webhookOf(w), Secret: secret}), nil
}

func (s *service) listWebhooks(ctx context.Context, in *Paging) (*output[List[Webhook]], error) {
	values, next, err := s.Store.Webhooks(ctx, accountID(ctx), in.page(), time.Now())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, webhookOf), nil
}

func (s *service) getWebhook(ctx context.Context, in *ByID) (*entity[Webhook], error) {
	w, err := s.Store.Webhook(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(w.Revision, webhookOf(w)), nil
}

func (s *service) changeWebhook(ctx context.Context, in *changeWebhookInput) (*entity[Webhook], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	w, err := s.Store.UpdateWebhook(ctx, accountID(ctx), in.ID, revision, func(w *directory.Webhook) error {
		in.Body.URL.set(&w.URL)
		in.Body.Events.set(&w.Events)
		return s.checkWebhook(*w)
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(w.Revision, webhookOf(w)), nil
}

func (s *service) deleteWebhook(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.DeleteWebhook(ctx, accountID(ctx), in.ID)
}

// rotateWebhookSecret gives an endpoint a new secret; the old one signs beside it for a day.
func (s *service) rotateWebhookSecret(ctx context.Context, in *ByID) (*entity[WebhookWithSecret], error) {
	w, secret, err := s.Store.RotateWebhookSecret(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(w.Revision, WebhookWithSecret{Webhook: webhookOf(w), Secret: secret}), nil
}

// testWebhook sends an endpoint an event that nobody else gets.
func (s *service) testWebhook(ctx context.Context, in *ByID) (*output[WebhookTest], error) {
	id, err := s.Store.TestWebhook(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return &output[WebhookTest]{Body: WebhookTest{EventID: id, Type: string(access.EventWebhookTest)}}, nil
}

// checkWebhook refuses what could never be delivered.
func (s *service) checkWebhook(w directory.Webhook) error {
	if wrong := webhook.CheckURL(w.URL, s.PrivateWebhooks); wrong != "" {
		return directory.Invalid("body.url", wrong)
	}
	known := access.EventTypes()
	for n, name := range w.Events {
		if name != directory.AllEvents && !slices.Contains(known, access.EventType(name)) {
			return directory.Invalid(fmt.Sprintf("body.events[%d]", n), "This is not a type of event. Give types such as entrance.opened, or * for all.")
		}
	}
	return nil
}

func webhookOf(w directory.Webhook) Webhook {
	state := "working"
	switch {
	case !w.FailingSince.IsZero():
		state = "failing"
	case w.LastDeliveredAt.IsZero():
		state = "untried"
	}
	return Webhook{
		ID: w.ID, URL: w.URL, Events: w.Events, State: state, FailingSince: instant(w.FailingSince), LastError: orNull(w.LastError),
		LastDeliveredAt: instant(w.LastDeliveredAt), Pending: w.Pending, Dead: w.Dead, OldSecretUntil: instant(w.OldSecretUntil),
		CreatedAt: w.CreatedAt.UTC(), UpdatedAt: w.UpdatedAt.UTC(), Revision: w.Revision,
	}
}

// WebhookEvent is the body of a request to an endpoint: an event as GET /v1/events
// shows it, without people's own words.
type WebhookEvent struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp" doc:"When it happened"`
	Data      Event     `json:"data"`
}

// WebhookPayload is the body for an event, the same whenever it is asked for.
func WebhookPayload(e directory.Event) ([]byte, error) {
	e.Note = ""
	data := eventOf(e)
	return json.Marshal(WebhookEvent{Type: data.Type, Timestamp: data.At, Data: data})
}

// describeWebhooks puts what endpoints get into the OpenAPI document.
func describeWebhooks(document *huma.OpenAPI) {
	header := func(name, description string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Required: true, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	document.Webhooks = map[string]*huma.PathItem{"event": {Post: &huma.Operation{
		OperationID: "webhook-event", Tags: []string{"webhooks"}, Summary: "An event, as an endpoint gets it",
		Description: "Signed as Standard Webhooks says (https://www.standardwebhooks.com). At least once; events of one item in order, each tried for a day. " +
			"People's own words are left out: note is null.",
		Parameters: []*huma.Param{
			header("webhook-id", "The event's id: the same in every attempt and replay, so that a repetition can be told"),
			header("webhook-timestamp", "When this attempt was made, in Unix seconds. Refuse one that is more than five minutes away"),
			header("webhook-signature", "v1, and the base64 of HMAC-SHA256 over id.timestamp.body; one for each secret in force, divided by blanks"),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: document.Components.Schemas.Schema(reflect.TypeFor[WebhookEvent](), true, "")}}},
		Responses: map[string]*huma.Response{"2XX": {Description: "Taken, within ten seconds. Any other answer, or none, is tried again"}},
	}}}
}
