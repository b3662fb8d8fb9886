package delivery_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	mailserver "github.com/emersion/go-smtp"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/sendgrid"
	"latchkey/internal/notify/smtp"
	"latchkey/internal/notify/twilio"
	"latchkey/internal/notify/vendortest"
)

// post is a real mail server with one mailbox, in which a message is what a mail
// program shows: letters with one Message-ID are one.
type post struct {
	lock    sync.Mutex
	refuse  bool
	die     string // "mid" or "end" of the next letter
	mailbox map[string]int
}

type letters struct {
	*post
	conn *mailserver.Conn
}

func (l *letters) Reset()                                     {}
func (l *letters) Logout() error                              { return nil }
func (l *letters) Mail(string, *mailserver.MailOptions) error { return nil }

func (l *letters) Rcpt(string, *mailserver.RcptOptions) error {
	if l.refuse {
		return &mailserver.SMTPError{Code: 550, EnhancedCode: mailserver.EnhancedCode{5, 1, 1}, Message: "no ana@example.com here"}
	}
	return nil
}

func (l *letters) Data(r io.Reader) error {
	l.lock.Lock()
	defer l.lock.Unlock()
	die := l.die
	l.die = ""
	if die == "mid" {
		_, err := io.CopyN(io.Discard, r, 50)
		return errors.Join(err, l.conn.Conn().Close())
	}
	read, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, read.Body); err != nil {
		return err
	}
	l.mailbox[read.Header.Get("Message-ID")]++
	if die == "end" {
		return l.conn.Conn().Close()
	}
	return nil
}

func (w *world) post() *post {
	w.t.Helper()
	p := &post{mailbox: map[string]int{}}
	server := mailserver.NewServer(mailserver.BackendFunc(func(c *mailserver.Conn) (mailserver.Session, error) { return &letters{p, c}, nil }))
	server.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	w.ok(err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	w.t.Cleanup(func() { w.ok(errors.Join(server.Close(), <-done)) })
	address, _ := listener.Addr().(*net.TCPAddr)
	w.senders[notify.ChannelEmail], err = smtp.New(smtp.Config{Host: "127.0.0.1", Port: address.Port, TLS: smtp.Plain, From: mail.Address{Address: "keys@door.example"}})
	w.ok(err)
	return p
}

// E1, K3: whatever becomes of the mail server, there is one message in the end, or a
// failure that the item shows.
func TestMailServer(t *testing.T) {
	for name, c := range map[string]struct {
		mood   func(*post)
		mobile string
		shown  int // messages that the mailbox shows
		texts  int
		story  []string
	}{
		"takes it":                      {func(*post) {}, mobile, 1, 0, []string{"message.sent email"}},
		"refuses the recipient":         {func(p *post) { p.refuse = true }, "", 0, 0, []string{"message.failed email bad_address"}},
		"refuses, and there is a phone": {func(p *post) { p.refuse = true }, mobile, 0, 1, []string{"message.failed email bad_address", "message.sent sms (instead)"}},
		"dies in the middle":            {func(p *post) { p.die = "mid" }, mobile, 1, 0, []string{"message.sent email"}},
		"dies when it has it":           {func(p *post) { p.die = "end" }, mobile, 1, 0, []string{"message.sent email"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			p := w.post()
			c.mood(p)
			v := vendortest.Twilio(t, vendortest.Answer{Status: 201, Body: "{}"})
			w.senders[notify.ChannelSMS] = twilio.Sender{AccountSID: "AC0123456789abcdef0123456789abcdef", AuthToken: "secret", URL: v.URL, From: "Latchkey"}
			w.owe("msg_1", w.person("ana", c.mobile), notify.ChannelEmail, access.TemplateKeyLateHost)
			worker := w.worker()
			for range 3 {
				w.send(worker)
				w.now = w.now.Add(time.Minute)
			}
			if len(p.mailbox) != c.shown || len(v.Requests()) != c.texts {
				t.Errorf("the mailbox shows %v, %d texts", p.mailbox, len(v.Requests()))
			}
			w.tells(c.story...)
		})
	}
}

// What SendGrid says ends, waits or is tried again, and shows on the item.
func TestSendGridRefusals(t *testing.T) {
	ok := vendortest.Answer{Status: 202}
	for name, c := range map[string]struct {
		answers []vendortest.Answer
		asked   int
		story   string
	}{
		"bad address":     {[]vendortest.Answer{{Status: 400, Body: `{"errors":[{"message":"ana@example.com is bad","field":"personalizations.0.to.0.email"}]}`}}, 1, "message.failed email bad_address"},
		"too large":       {[]vendortest.Answer{{Status: 413}}, 1, "message.failed email too_large"},
		"wrong key":       {[]vendortest.Answer{{Status: 401}, ok}, 2, "message.failed email unauthorized(retrying), message.sent email"},
		"not allowed":     {[]vendortest.Answer{{Status: 403}, ok}, 2, "message.failed email unauthorized(retrying), message.sent email"},
		"rate":            {[]vendortest.Answer{{Status: 429, Header: map[string]string{"Retry-After": "100"}}, ok}, 2, "message.sent email"},
		"broken":          {[]vendortest.Answer{{Status: 502}, {Status: 500}, ok}, 3, "message.sent email"},
		"silent":          {[]vendortest.Answer{{}, ok}, 2, "message.sent email"},
		"silent for ever": {[]vendortest.Answer{{}}, 3, "message.failed email outcome_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			v := vendortest.SendGrid(t, c.answers...)
			w.senders[notify.ChannelEmail] = sendgrid.Sender{Key: "SG.x", URL: v.URL, From: mail.Address{Address: "keys@door.example"}}
			w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateKeyLateHost)
			worker := w.worker()
			for range 5 {
				w.send(worker)
				w.now = w.now.Add(time.Minute)
			}
			if len(v.Requests()) != c.asked {
				t.Errorf("asked %d times", len(v.Requests()))
			}
			w.tells(strings.Split(c.story, ", ")...)
		})
	}
}
