package sendgrid_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/sendgrid"
	"latchkey/internal/notify/vendortest"
)

func message() notify.Message {
	return notify.Message{
		ID: "msg_1", To: "Ana@Example.com", Channel: notify.ChannelEmail, Template: access.TemplateEntranceUnlocked, Locale: "ja",
		Subject: "田中 太郎様が正面玄関を解錠しました", Text: "解錠\n", HTML: "<p>解錠</p>", At: time.Now(),
		Unsubscribe: "https://door.example/mute/per_1.x",
	}
}

func sender(v *vendortest.Vendor) sendgrid.Sender {
	return sendgrid.Sender{Key: "SG.secret", URL: v.URL, From: mail.Address{Name: "Keys", Address: "keys@door.example"}}
}

var accepted = vendortest.Answer{Status: 202}

// I7, E7: the request is what SendGrid describes, says the message in both forms,
// tracks nothing, and gives SendGrid nothing personal beside the mail itself.
func TestRequest(t *testing.T) {
	v := vendortest.SendGrid(t, accepted)
	m := message()
	if err := sender(v).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	request := v.Requests()[0]
	if got := request.Header.Get("Authorization"); got != "Bearer SG.secret" {
		t.Errorf("authorization %q", got)
	}
	var sent struct {
		Personalizations []struct {
			To         []map[string]string `json:"to"`
			CustomArgs map[string]string   `json:"custom_args"`
		} `json:"personalizations"`
		From, Headers map[string]string
		Subject       string
		Content       []struct{ Type, Value string }
		Categories    []string
		CustomArgs    any                       `json:"custom_args"`
		Tracking      map[string]map[string]any `json:"tracking_settings"`
	}
	if err := json.Unmarshal([]byte(request.Body), &sent); err != nil {
		t.Fatal(err)
	}
	if len(sent.Personalizations) != 1 || len(sent.Personalizations[0].To) != 1 || sent.Personalizations[0].To[0]["email"] != "ana@example.com" {
		t.Errorf("goes to %+v", sent.Personalizations)
	}
	if got := sent.Personalizations[0].CustomArgs; len(got) != 1 || got["latchkey_message_id"] != m.ID || sent.CustomArgs != nil {
		t.Errorf("arguments %v and %v, want the id inside the personalization and nothing else", got, sent.CustomArgs)
	}
	if !slices.Equal(sent.Categories, []string{"entrance_unlocked"}) {
		t.Errorf("categories %q", sent.Categories)
	}
	if len(sent.Content) != 2 || sent.Content[0].Type != "text/plain" || sent.Content[0].Value != m.Text || sent.Content[1].Type != "text/html" || sent.Content[1].Value != m.HTML {
		t.Errorf("content %+v, want text, then HTML", sent.Content)
	}
	if sent.Headers["Message-ID"] != "<msg_1@door.example>" || sent.Headers["List-Unsubscribe"] != "<https://door.example/mute/per_1.x>" ||
		sent.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" {
		t.Errorf("headers %v", sent.Headers)
	}
	for _, way := range []string{"click_tracking", "open_tracking", "subscription_tracking", "ganalytics"} {
		if on, said := sent.Tracking[way]["enable"]; !said || on != false {
			t.Errorf("%s is not switched off", way)
		}
	}
	if sent.Tracking["click_tracking"]["enable_text"] != false {
		t.Error("links in the text are tracked")
	}
}

// An invitation for a window brings its calendar entry.
func TestCalendarEntry(t *testing.T) {
	v := vendortest.SendGrid(t, accepted)
	m := message()
	m.Calendar = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
	if err := sender(v).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	want := `"attachments":[{"content":"` + base64.StdEncoding.EncodeToString([]byte(m.Calendar)) + `","type":"text/calendar","filename":"invitation.ics","disposition":"attachment"}]`
	if body := v.Requests()[0].Body; !strings.Contains(body, want) {
		t.Errorf("sent %s", body)
	}
}

// What SendGrid refuses ends, waits or is tried again as it should (message.failed).
func TestRefusals(t *testing.T) {
	soon := time.Now().Add(90 * time.Second)
	for name, c := range map[string]struct {
		answer vendortest.Answer
		code   string
		fate   notify.Fate
		after  time.Duration
	}{
		"bad address": {vendortest.Answer{Status: 400, Body: `{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.to.0.email"}]}`},
			notify.CodeBadAddress, notify.Ends, 0},
		"bad content":  {vendortest.Answer{Status: 400, Body: `{"errors":[{"message":"The content value must be a string","field":"content.0.value"}]}`}, notify.CodeRefused, notify.Ends, 0},
		"wrong key":    {vendortest.Answer{Status: 401, Body: `{"errors":[{"message":"authorization required"}]}`}, notify.CodeUnauthorized, notify.Misconfigured, 0},
		"no scope":     {vendortest.Answer{Status: 403}, notify.CodeUnauthorized, notify.Misconfigured, 0},
		"too large":    {vendortest.Answer{Status: 413}, notify.CodeTooLarge, notify.Ends, 0},
		"rate":         {vendortest.Answer{Status: 429, Header: map[string]string{"Retry-After": "42"}}, notify.CodeRateLimited, notify.Retries, 42 * time.Second},
		"rate, absurd": {vendortest.Answer{Status: 429, Header: map[string]string{"Retry-After": "99999999"}}, notify.CodeRateLimited, notify.Retries, time.Hour},
		"rate, date":   {vendortest.Answer{Status: 429, Header: map[string]string{"Retry-After": soon.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}}, notify.CodeRateLimited, notify.Retries, 90 * time.Second},
		"broken":       {vendortest.Answer{Status: 500, Body: "<html>"}, notify.CodeUnavailable, notify.Retries, 0},
		"maintenance":  {vendortest.Answer{Status: 503}, notify.CodeUnavailable, notify.Retries, 0},
		"no answer":    {vendortest.Answer{}, notify.CodeUnknown, notify.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := sender(vendortest.SendGrid(t, c.answer)).Send(t.Context(), message())
			var r *notify.Refusal
			if !errors.As(err, &r) {
				t.Fatalf("got %v", err)
			}
			if r.Code != c.code || r.Fate != c.fate || (r.After-c.after).Abs() > 5*time.Second {
				t.Errorf("got %+v", r)
			}
			if strings.Contains(err.Error(), "address.") || strings.Contains(strings.ToLower(err.Error()), "ana@") {
				t.Errorf("the error repeats what the vendor said: %v", err)
			}
		})
	}
}

// A vendor that cannot be reached surely has nothing; one that does not answer in
// time may have it.
func TestUnreachable(t *testing.T) {
	v := vendortest.SendGrid(t, accepted)
	s := sender(v)
	s.URL = "http://127.0.0.1:1"
	if r := notify.RefusalOf(s.Send(t.Context(), message())); r.Fate != notify.Retries || r.Code != notify.CodeUnavailable {
		t.Errorf("unreachable: %+v", r)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r := notify.RefusalOf(sender(v).Send(ended, message())); r.Fate != notify.Retries || len(v.Requests()) != 0 {
		t.Errorf("stopped before: %+v", r)
	}
	m := message()
	m.To = "not an address"
	if r := notify.RefusalOf(sender(v).Send(t.Context(), m)); r.Fate != notify.Ends || r.Code != notify.CodeBadAddress || len(v.Requests()) != 0 {
		t.Errorf("no address: %+v", r)
	}
}

// Nobody gets another person's mail, however many are sent at once.
func TestManyAtOnce(t *testing.T) {
	v := vendortest.SendGrid(t, accepted)
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() {
			m := message()
			m.ID, m.To = "msg_"+string(rune('a'+n)), string(rune('a'+n))+"@example.com"
			if err := sender(v).Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, r := range v.Requests() {
		var letter string
		if _, rest, found := strings.Cut(r.Body, `"email":"`); found {
			_, rest, _ = strings.Cut(rest, `"to":[{"email":"`)
			letter = rest[:1]
		}
		if !strings.Contains(r.Body, `"latchkey_message_id":"msg_`+letter+`"`) {
			t.Errorf("mixed up: %s", r.Body)
		}
	}
}
