package twilio_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/twilio"
	"latchkey/internal/notify/vendortest"
)

const account = "AC0123456789abcdef0123456789abcdef"

func message() notify.Message {
	return notify.Message{
		ID: "msg_1", To: "+34600111222", Channel: notify.ChannelSMS, Template: access.TemplateAccessInstructions, Locale: "es",
		Text: "Casa Tejo & Co., key Flat 3: code 40718263. https://door.example/r/x?a=1&b=2 鍵", At: time.Now(),
	}
}

func sender(v *vendortest.Vendor, from string) twilio.Sender {
	return twilio.Sender{AccountSID: account, AuthToken: "0123456789abcdef", URL: v.URL, From: from}
}

var created = vendortest.Answer{Status: 201, Body: `{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}`}

// K3: the request is what Twilio describes, with the number and the text as they are.
func TestRequest(t *testing.T) {
	for from, field := range map[string]string{"+15005550006": "From", "Latchkey": "From", "MG0123456789abcdef0123456789abcdef": "MessagingServiceSid"} {
		v := vendortest.Twilio(t, created)
		m := message()
		if err := sender(v, from).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		request := v.Requests()[0]
		form, err := url.ParseQuery(request.Body)
		if err != nil {
			t.Fatal(err)
		}
		if form.Get("To") != m.To || form.Get("Body") != m.Text || form.Get(field) != from || len(form) != 3 {
			t.Errorf("sent %v", form)
		}
		if request.Method != "POST" || request.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" {
			t.Errorf("asked %s %s", request.Method, request.Path)
		}
		if !strings.HasPrefix(request.Header.Get("Authorization"), "Basic ") {
			t.Error("not signed in")
		}
	}
}

// What Twilio refuses ends, waits or is tried again as it should (message.failed).
func TestRefusals(t *testing.T) {
	said := func(status, code string) vendortest.Answer {
		return vendortest.Answer{Status: map[string]int{"400": 400, "401": 401, "403": 403, "429": 429}[status],
			Header: map[string]string{"Retry-After": "7"}, Body: `{"code":` + code + `,"message":"The number +34600111222 is not good","status":` + status + `}`}
	}
	for name, c := range map[string]struct {
		answer vendortest.Answer
		code   string
		fate   notify.Fate
		after  time.Duration
	}{
		"no number":      {said("400", "21211"), notify.CodeBadAddress, notify.Ends, 0},
		"landline":       {said("400", "21614"), notify.CodeBadAddress, notify.Ends, 0},
		"said STOP":      {said("400", "21610"), notify.CodeBadAddress, notify.Ends, 0},
		"no region":      {said("400", "21408"), notify.CodeBadAddress, notify.Ends, 0},
		"too long":       {said("400", "21617"), notify.CodeTooLarge, notify.Ends, 0},
		"other":          {said("400", "21606"), notify.CodeRefused, notify.Ends, 0},
		"wrong token":    {said("401", "20003"), notify.CodeUnauthorized, notify.Misconfigured, 0},
		"suspended":      {said("403", "20005"), notify.CodeUnauthorized, notify.Misconfigured, 0},
		"rate":           {said("429", "20429"), notify.CodeRateLimited, notify.Retries, 7 * time.Second},
		"out of order":   {vendortest.Answer{Status: 503, Body: "<html>busy</html>"}, notify.CodeUnavailable, notify.Retries, 0},
		"answer is lost": {vendortest.Answer{}, notify.CodeUnknown, notify.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := sender(vendortest.Twilio(t, c.answer), "Latchkey").Send(t.Context(), message())
			var r *notify.Refusal
			if !errors.As(err, &r) || r.Code != c.code || r.Fate != c.fate || r.After != c.after {
				t.Errorf("got %+v, %v", r, err)
			}
			if err != nil && strings.Contains(err.Error(), "34600111222") {
				t.Errorf("the error tells a number: %v", err)
			}
		})
	}
	v := vendortest.Twilio(t, vendortest.Answer{Status: 201, Body: "{"})
	if err := sender(v, "Latchkey").Send(t.Context(), message()); err != nil {
		t.Errorf("taken, with an answer that was cut off: %v", err)
	}
}

// E1: after a lost answer Twilio is asked whether it has the message.
func TestTook(t *testing.T) {
	m := message()
	since := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	text := strings.ReplaceAll(m.Text, `"`, `\"`)
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"has it":        {`{"messages":[{"body":"something else","date_created":"Tue, 01 Dec 2026 12:00:01 +0000"},{"body":"` + text + `","date_created":"Tue, 01 Dec 2026 12:00:01 +0000"}]}`, true},
		"an older one":  {`{"messages":[{"body":"` + text + `","date_created":"Tue, 01 Dec 2026 11:00:00 +0000"}]}`, false},
		"nothing":       {`{"messages":[]}`, false},
		"another's":     {`{"messages":[{"body":"another code","date_created":"Tue, 01 Dec 2026 12:00:01 +0000"}]}`, false},
		"without dates": {`{"messages":[{"body":"` + text + `"}]}`, false},
	} {
		v := vendortest.Twilio(t, vendortest.Answer{Status: 200, Body: c.body})
		took, err := sender(v, "Latchkey").Took(t.Context(), m, since)
		if err != nil || took != c.want {
			t.Errorf("%s: %t, %v", name, took, err)
		}
		if path := v.Requests()[0].Path; !strings.Contains(path, "To=%2B34600111222") {
			t.Errorf("%s: asked %s", name, path)
		}
	}
	v := vendortest.Twilio(t, vendortest.Answer{Status: 500})
	if _, err := sender(v, "Latchkey").Took(t.Context(), m, since); notify.RefusalOf(err).Fate != notify.Retries || err == nil {
		t.Errorf("out of order: %v", err)
	}
}
