// Package twilio sends text messages through Twilio.
//
// A send is one request to create a Message. Twilio has no idempotency keys
// either, but it can be asked what it has: after an answer was lost, [Sender.Took]
// looks for the same text to the same number, so that only what Twilio does not
// have is sent again.
package twilio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"latchkey/internal/notify"
)

// DefaultURL is where Twilio's API is.
const DefaultURL = "https://api.twilio.com"

// Sender sends from a number, a name or a messaging service (MG…).
type Sender struct {
	AccountSID string
	AuthToken  string
	URL        string // empty: DefaultURL
	From       string
}

// Send implements [notify.Sender].
func (s Sender) Send(ctx context.Context, m notify.Message) error {
	params := (&api.CreateMessageParams{}).SetTo(m.To).SetBody(m.Text)
	if strings.HasPrefix(s.From, "MG") {
		params.SetMessagingServiceSid(s.From)
	} else {
		params.SetFrom(s.From)
	}
	exchange := &exchange{ctx: ctx, base: s.URL}
	_, err := s.service(exchange).CreateMessage(params)
	switch {
	case exchange.status >= 200 && exchange.status < 300: // taken, whatever became of the answer's text
		return nil
	case exchange.status == 0:
		return exchange.Broken()
	}
	refusal := notify.RefusalOfStatus(exchange.status, exchange.header, time.Now())
	var said *client.TwilioRestError
	if errors.As(err, &said) && said.Code != 0 {
		refusal.Says += " " + strconv.Itoa(said.Code)
		if code, known := refusals[said.Code]; known && refusal.Fate == notify.Ends {
			refusal.Code = code
		}
	}
	return refusal
}

// refusals are the codes of Twilio by which a message ends for another reason than
// that it was refused.
var refusals = map[int]string{
	21211: notify.CodeBadAddress, // no number
	21217: notify.CodeBadAddress, // no number
	21265: notify.CodeBadAddress, // a short code
	21408: notify.CodeBadAddress, // a region that the account may not send to
	21610: notify.CodeBadAddress, // its owner has sent STOP
	21612: notify.CodeBadAddress, // not reachable from ours
	21614: notify.CodeBadAddress, // no mobile number
	21617: notify.CodeTooLarge,
}

// askedFor is how many of the newest messages to a number are looked through.
const askedFor = 50

// Took implements [notify.Witness].
func (s Sender) Took(ctx context.Context, m notify.Message, since time.Time) (bool, error) {
	exchange := &exchange{ctx: ctx, base: s.URL}
	page, err := s.service(exchange).PageMessage((&api.ListMessageParams{}).SetTo(m.To).SetPageSize(askedFor), "", "")
	if err != nil {
		if exchange.status == 0 {
			return false, exchange.Broken()
		}
		return false, notify.RefusalOfStatus(exchange.status, exchange.header, time.Now())
	}
	for _, known := range page.Messages {
		if known.Body == nil || *known.Body != m.Text || known.DateCreated == nil {
			continue
		}
		made, err := time.Parse(time.RFC1123Z, *known.DateCreated)
		if err == nil && !made.Before(since.Add(-clockSkew)) {
			return true, nil
		}
	}
	return false, nil
}

// clockSkew is how much Twilio's clock may be behind ours.
const clockSkew = time.Minute

func (s Sender) service(e *exchange) *api.ApiService {
	made := &client.Client{
		Credentials: client.NewCredentials(s.AccountSID, s.AuthToken),
		HTTPClient:  &http.Client{Transport: e, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	made.SetAccountSid(s.AccountSID)
	return api.NewApiServiceWithClient(made)
}

// exchange is one request. The library knows neither contexts nor another address
// than Twilio's own, and keeps status and headers of a refusal to itself.
type exchange struct {
	notify.Exchange
	ctx    context.Context
	base   string
	status int
	header http.Header
}

func (e *exchange) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(e.Watch(e.ctx))
	if e.base != "" {
		to, err := url.Parse(e.base)
		if err != nil {
			return nil, err
		}
		request.URL.Scheme, request.URL.Host, request.Host = to.Scheme, to.Host, to.Host
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil {
		e.status, e.header = response.StatusCode, response.Header
	}
	return response, err
}
