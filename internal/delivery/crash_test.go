package delivery_test

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/sendgrid"
	"latchkey/internal/notify/twilio"
	"latchkey/internal/notify/vendortest"
)

// dead is a worker that died after it had claimed a message: nobody has recorded
// anything.
func (w *world) dead(id string) {
	w.t.Helper()
	claimed, err := w.ClaimMessage(w.t.Context(), id, w.now.Add(30*time.Second), w.now)
	w.ok(err)
	if !claimed {
		w.t.Fatal("the message could not be claimed")
	}
}

// E1: a worker died after Twilio took the message. Twilio is asked, and nothing is
// sent again.
func TestDiedAfterTwilioTookIt(t *testing.T) {
	w := open(t)
	v := vendortest.Twilio(t, vendortest.Answer{Status: 200, Body: `{"messages":[{"body":"This is msg_1","date_created":"Tue, 01 Dec 2026 12:00:01 +0000"}]}`})
	w.senders[notify.ChannelSMS] = twilio.Sender{AccountSID: "AC0123456789abcdef0123456789abcdef", AuthToken: "secret", URL: v.URL, From: "Latchkey"}
	w.owe("msg_1", w.person("ana", mobile), notify.ChannelSMS, access.TemplateKeyLateHost)
	w.dead("msg_1")
	worker := w.worker()
	w.now = w.now.Add(29 * time.Second)
	w.send(worker)
	if len(v.Requests()) != 0 {
		t.Fatal("somebody else's message was touched")
	}
	w.now = w.now.Add(time.Second)
	w.send(worker)
	if got := v.Requests(); len(got) != 1 || got[0].Method != "GET" {
		t.Errorf("asked %d times, first %+v", len(got), got)
	}
	w.tells("message.sent sms")
}

// E1: it died before Twilio had it.
func TestDiedBeforeTwilioTookIt(t *testing.T) {
	w := open(t)
	v := vendortest.Twilio(t, vendortest.Answer{Status: 200, Body: `{"messages":[]}`}, vendortest.Answer{Status: 201, Body: "{}"})
	w.senders[notify.ChannelSMS] = twilio.Sender{AccountSID: "AC0123456789abcdef0123456789abcdef", AuthToken: "secret", URL: v.URL, From: "Latchkey"}
	w.owe("msg_1", w.person("ana", mobile), notify.ChannelSMS, access.TemplateKeyLateHost)
	w.dead("msg_1")
	w.now = w.now.Add(30 * time.Second)
	w.send(w.worker())
	if got := v.Requests(); len(got) != 2 || got[1].Method != "POST" {
		t.Errorf("asked %+v", got)
	}
	w.tells("message.sent sms")
}

// E1: SendGrid took it, and its webhook says so before the claim has run out.
func TestWebhookTellsOfATakenMessage(t *testing.T) {
	w := open(t)
	v := vendortest.SendGrid(t, vendortest.Answer{Status: 202})
	w.senders[notify.ChannelEmail] = sendgrid.Sender{Key: "SG.x", URL: v.URL, From: mail.Address{Address: "keys@door.example"}}
	w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateInvitation)
	w.owe("msg_2", w.person("ben", ""), notify.ChannelEmail, access.TemplateInvitation)
	w.dead("msg_1")
	for range 3 { // events are at least once
		w.ok(w.MessageTaken(t.Context(), "msg_1", w.now))
		w.ok(w.MessageTaken(t.Context(), "msg_2", w.now)) // was never given to anybody, so this is not about it
	}
	w.tells("message.sent email")
	w.now = w.now.Add(time.Minute)
	w.send(w.worker())
	if got := v.Requests(); len(got) != 1 {
		t.Errorf("sent %d times, want msg_2 once", len(got))
	}
}

// E1: where nobody can say whether a message was taken, there are few copies, all
// with one id, and then a visible end by no other channel.
func TestOutcomeUnknownEndsVisibly(t *testing.T) {
	w := open(t)
	mails, texts := &vendor{answers: slices.Repeat([]error{lost}, 10)}, &vendor{}
	w.senders = notify.Senders{notify.ChannelEmail: mails, notify.ChannelSMS: texts}
	w.owe("msg_1", w.person("ana", mobile), notify.ChannelEmail, access.TemplateKeyLateHost)
	worker := w.worker()
	for range 10 {
		w.send(worker)
		w.now = w.now.Add(time.Hour)
	}
	if got := mails.ids(); !slices.Equal(got, []string{"msg_1", "msg_1", "msg_1"}) || len(texts.got) != 0 {
		t.Errorf("mails %q, texts %d", got, len(texts.got))
	}
	w.tells("message.failed email outcome_unknown")

	w.owe("msg_2", w.person("ben", ""), notify.ChannelEmail, access.TemplateKeyLateHost)
	for range 3 { // workers that die one after another
		w.dead("msg_2")
		w.now = w.now.Add(time.Minute)
	}
	w.send(w.worker())
	if got := mails.ids(); slices.Contains(got, "msg_2") {
		t.Error("a fourth copy was sent")
	}
}

// E1: two workers at once send each message once.
func TestTwoWorkers(t *testing.T) {
	w := open(t)
	mails := &vendor{}
	w.senders[notify.ChannelEmail] = mails
	const people = 12
	for n := range people {
		w.owe(fmt.Sprintf("msg_%02d", n), w.person(fmt.Sprintf("p%d", n), ""), notify.ChannelEmail, access.TemplateKeyLateHost)
	}
	var group sync.WaitGroup
	for range 3 {
		worker := w.worker()
		group.Go(func() {
			if _, _, err := worker.SendQueued(t.Context(), 100, w.now); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := mails.ids()
	slices.Sort(got)
	if len(got) != people || len(slices.Compact(got)) != people {
		t.Errorf("sent %q", got)
	}
}

// stopping is a vendor during whose answer the worker is told to stop.
type stopping struct {
	vendor
	stop   func()
	answer func(ctx context.Context) error
}

func (s *stopping) Send(ctx context.Context, m notify.Message) error {
	_ = s.vendor.Send(ctx, m) // keeps it
	s.stop()
	return s.answer(ctx)
}

// A worker that stops while it sends leaves the message as it is: sent, to be sent,
// or in doubt.
func TestWorkerStops(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(ctx context.Context) error
		later  int // how often it is sent afterwards
		story  []string
	}{
		"taken":     {func(context.Context) error { return nil }, 0, []string{"message.sent email"}},
		"not taken": {func(context.Context) error { return outOfOrder }, 1, []string{"message.sent email"}},
		"in doubt":  {func(context.Context) error { return lost }, 1, []string{"message.sent email"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			ctx, stop := context.WithCancel(t.Context())
			w.senders[notify.ChannelEmail] = &stopping{stop: stop, answer: c.answer}
			w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateKeyLateHost)
			_, _, _ = w.worker().SendQueued(ctx, 100, w.now) // it is stopping; what counts is what is left
			next := &vendor{}
			w.senders = notify.Senders{notify.ChannelEmail: next}
			w.now = w.now.Add(time.Minute)
			w.send(w.worker())
			if len(next.got) != c.later {
				t.Errorf("sent %d times afterwards", len(next.got))
			}
			w.tells(c.story...)
		})
	}
}
