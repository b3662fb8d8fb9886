// Package sendgrid sends email through Twilio SendGrid and reads what SendGrid
// reports about it afterwards.
//
// A send is one request to POST /v3/mail/send. SendGrid has no idempotency keys:
// a send whose answer was lost is at least once. What limits the harm is a
// Message-ID that is the same at every try, by which mailboxes recognise a second
// copy, and the event webhook ([Events]), which names the message by its id and so
// tells of one that was taken after all.
//
// Nothing personal goes into categories and arguments, which SendGrid keeps and
// shows apart from the mail: a category is the kind of message, the argument its id.
// Opens, clicks and subscriptions are not tracked.
package sendgrid

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/sendgrid/sendgrid-go"
	vendor "github.com/sendgrid/sendgrid-go/helpers/mail"

	"latchkey/internal/email"
	"latchkey/internal/notify"
)

// DefaultURL is where SendGrid's global API is; regional subusers have another.
const DefaultURL = "https://api.sendgrid.com"

const sendPath = "/v3/mail/send"

// argument names a message in SendGrid's events.
const argument = "latchkey_message_id"

// Sender sends email with an API key, which needs the scope Mail Send only.
type Sender struct {
	Key  string
	URL  string // empty: DefaultURL
	From mail.Address
}

// Send implements [notify.Sender]. The library's client is not used: it writes the
// body of a request into itself, so one that is shared sends one person's mail to
// another.
func (s Sender) Send(ctx context.Context, m notify.Message) error {
	to, err := email.Normalize(m.To)
	if err != nil {
		return &notify.Refusal{Code: notify.CodeBadAddress, Fate: notify.Ends}
	}
	request := sendgrid.GetRequest(s.Key, sendPath, strings.TrimSuffix(s.URL, "/"))
	request.Method = http.MethodPost
	request.Body = vendor.GetRequestBody(s.request(m, to))
	var exchange notify.Exchange
	response, err := sendgrid.MakeRequestWithContext(exchange.Watch(ctx), request)
	switch {
	case err != nil:
		return exchange.Broken()
	case response.StatusCode >= 200 && response.StatusCode < 300:
		return nil
	}
	refusal := notify.RefusalOfStatus(response.StatusCode, http.Header(response.Headers), time.Now())
	if response.StatusCode == http.StatusBadRequest && blamesAddress(response.Body) {
		refusal.Code = notify.CodeBadAddress
	}
	return refusal
}

// request is the message as the API wants it, by the vendor's own types.
func (s Sender) request(m notify.Message, to string) *vendor.SGMailV3 {
	letter := vendor.NewV3Mail()
	letter.SetFrom(vendor.NewEmail(s.From.Name, s.From.Address))
	letter.Subject = m.Subject
	person := vendor.NewPersonalization()
	person.AddTos(vendor.NewEmail("", to))
	person.SetCustomArg(argument, m.ID)
	letter.AddPersonalizations(person)
	letter.AddContent(vendor.NewContent("text/plain", m.Text), vendor.NewContent("text/html", m.HTML))
	if m.Calendar != "" { // the type without parameters: SendGrid refuses a semicolon in it
		letter.AddAttachment(vendor.NewAttachment().SetContent(base64.StdEncoding.EncodeToString([]byte(m.Calendar))).
			SetType("text/calendar").SetFilename(notify.CalendarName).SetDisposition("attachment"))
	}
	letter.AddCategories(string(m.Template))
	for name, value := range notify.MailHeaders(m, s.From.Address) {
		letter.SetHeader(name, value)
	}
	letter.SetTrackingSettings(vendor.NewTrackingSettings().
		SetClickTracking(vendor.NewClickTrackingSetting().SetEnable(false).SetEnableText(false)).
		SetOpenTracking(vendor.NewOpenTrackingSetting().SetEnable(false)).
		SetSubscriptionTracking(vendor.NewSubscriptionTrackingSetting().SetEnable(false)).
		SetGoogleAnalytics(vendor.NewGaSetting().SetEnable(false)))
	return letter
}

// blamesAddress says whether a refusal is about the recipient: SendGrid names the
// field, personalizations.0.to.0.email.
func blamesAddress(body string) bool {
	var answer struct {
		Errors []struct {
			Field string `json:"field"`
		} `json:"errors"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return false
	}
	for _, e := range answer.Errors {
		if strings.HasPrefix(e.Field, "personalizations") && strings.Contains(e.Field, ".to") {
			return true
		}
	}
	return false
}
