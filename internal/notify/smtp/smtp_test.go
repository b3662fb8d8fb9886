package smtp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	mailserver "github.com/emersion/go-smtp"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/smtp"
)

// server is a real mail server on this machine whose mood a test sets.
type server struct {
	host  string
	port  int
	roots *x509.CertPool

	lock    sync.Mutex
	rcpt    []error // what it says to the next recipients; then it takes them
	mail    error
	data    error
	dieIn   int  // it dies after so many bytes of the next message
	dieDone bool // it dies when it has the next message, before it says so
	kept    []string
	to      []string
	users   []string
	secure  []bool // whether the connection of a message was under TLS
}

func serve(t *testing.T, change func(*mailserver.Server)) *server {
	t.Helper()
	s := &server{}
	backend := mailserver.NewServer(mailserver.BackendFunc(func(c *mailserver.Conn) (mailserver.Session, error) { return &session{s, c}, nil }))
	backend.Domain, backend.AllowInsecureAuth = "mail.test", true
	backend.ErrorLog = log.New(io.Discard, "", 0)
	certificate, roots := certificate(t)
	s.roots = roots
	backend.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if change != nil {
		change(backend)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	s.host, s.port = "127.0.0.1", address.Port
	done := make(chan error, 1)
	go func() { done <- backend.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(backend.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return s
}

// certificate is one for 127.0.0.1, with what trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

type session struct {
	*server
	conn *mailserver.Conn
}

func (s *session) Reset()                                         {}
func (s *session) Logout() error                                  { return nil }
func (s *session) Mail(_ string, _ *mailserver.MailOptions) error { return s.mail }
func (s *session) AuthMechanisms() []string                       { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "correct" {
			return &mailserver.SMTPError{Code: 535, EnhancedCode: mailserver.EnhancedCode{5, 7, 8}, Message: "no"}
		}
		s.lock.Lock()
		defer s.lock.Unlock()
		s.users = append(s.users, user)
		return nil
	}), nil
}

func (s *session) Rcpt(to string, _ *mailserver.RcptOptions) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.to = append(s.to, to)
	if len(s.rcpt) > 0 {
		said := s.rcpt[0]
		s.rcpt = s.rcpt[1:]
		return said
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	s.lock.Lock()
	dieIn, dieDone, said := s.dieIn, s.dieDone, s.data
	s.dieIn, s.dieDone = 0, false
	s.lock.Unlock()
	if dieIn > 0 {
		_, err := io.CopyN(io.Discard, r, int64(dieIn))
		return errors.Join(err, s.conn.Conn().Close())
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if said != nil {
		return said
	}
	_, secure := s.conn.TLSConnectionState()
	s.lock.Lock()
	s.kept, s.secure = append(s.kept, string(text)), append(s.secure, secure)
	s.lock.Unlock()
	if dieDone {
		return s.conn.Conn().Close()
	}
	return nil
}

func (s *server) letters() []string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return append([]string(nil), s.kept...)
}

func (s *server) sender(t *testing.T, change func(*smtp.Config)) *smtp.Sender {
	t.Helper()
	c := smtp.Config{Host: s.host, Port: s.port, TLS: smtp.Mandatory, From: mail.Address{Name: "Keys", Address: "keys@door.example"}, Roots: s.roots}
	if change != nil {
		change(&c)
	}
	made, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func message(id string) notify.Message {
	return notify.Message{
		ID: id, To: "Ana@Example.com", Channel: notify.ChannelEmail, Template: access.TemplateInvitation, Locale: "en",
		Subject: "You have been invited", Text: "Hello Ana\n" + strings.Repeat("a line of text\n", 2000), HTML: "<p>Hello Ana</p>", At: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC),
	}
}

func code(number int, a, b, c int) error {
	return &mailserver.SMTPError{Code: number, EnhancedCode: mailserver.EnhancedCode{a, b, c}, Message: "ana@example.com is the matter"}
}

// A message arrives once, under TLS, with the address as it is compared (I3).
func TestSend(t *testing.T) {
	s := serve(t, nil)
	if err := s.sender(t, nil).Send(t.Context(), message("msg_1")); err != nil {
		t.Fatal(err)
	}
	letters := s.letters()
	if len(letters) != 1 || s.to[0] != "ana@example.com" || !s.secure[0] {
		t.Fatalf("%d letters to %q, under TLS: %v", len(letters), s.to, s.secure)
	}
	if !strings.Contains(letters[0], "Message-ID: <msg_1@door.example>\r\n") || !strings.Contains(letters[0], "Date: Tue, 01 Dec 2026 12:00:00 +0000\r\n") {
		t.Errorf("the head of the letter:\n%.800s", letters[0])
	}
}

// What the server says decides whether a message ends (message.failed) or waits.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		mood func(*server)
		code string
		fate notify.Fate
		says string
	}{
		"no such mailbox": {func(s *server) { s.rcpt = []error{code(550, 5, 1, 1)} }, notify.CodeBadAddress, notify.Ends, "550 5.1.1"},
		"mailbox full":    {func(s *server) { s.rcpt = []error{code(552, 5, 2, 2)} }, notify.CodeBadAddress, notify.Ends, "552 5.2.2"},
		"greylisted":      {func(s *server) { s.rcpt = []error{code(451, 4, 7, 1)} }, notify.CodeUnavailable, notify.Retries, "451 4.7.1"},
		"sender unwanted": {func(s *server) { s.mail = code(553, 5, 7, 1) }, notify.CodeUnauthorized, notify.Misconfigured, "553 5.7.1"},
		"sender waits":    {func(s *server) { s.mail = code(421, 4, 3, 2) }, notify.CodeUnavailable, notify.Retries, "421 4.3.2"},
		"too large":       {func(s *server) { s.data = code(552, 5, 3, 4) }, notify.CodeTooLarge, notify.Ends, "552 5.3.4"},
		"spam":            {func(s *server) { s.data = code(554, 5, 7, 1) }, notify.CodeRefused, notify.Ends, "554 5.7.1"},
		"queue full":      {func(s *server) { s.data = code(452, 4, 3, 1) }, notify.CodeUnavailable, notify.Retries, "452 4.3.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			c.mood(s)
			err := s.sender(t, nil).Send(t.Context(), message("msg_1"))
			var r *notify.Refusal
			if !errors.As(err, &r) || r.Code != c.code || r.Fate != c.fate || r.Says != c.says {
				t.Fatalf("got %+v, %v", r, err)
			}
			if strings.Contains(err.Error(), "ana") || len(s.letters()) != 0 {
				t.Errorf("the error is %v; %d letters", err, len(s.letters()))
			}
		})
	}
}

// A greylisted message arrives at the second try, once.
func TestGreylisting(t *testing.T) {
	s := serve(t, nil)
	s.rcpt = []error{code(451, 4, 7, 1)}
	sender := s.sender(t, nil)
	if r := notify.RefusalOf(sender.Send(t.Context(), message("msg_1"))); r.Fate != notify.Retries {
		t.Fatalf("first try: %+v", r)
	}
	if err := sender.Send(t.Context(), message("msg_1")); err != nil || len(s.letters()) != 1 {
		t.Errorf("second try: %v, %d letters", err, len(s.letters()))
	}
}

// E1: a server that dies in the middle of a message has not taken it, and the next
// try brings it once.
func TestServerDiesMidMessage(t *testing.T) {
	s := serve(t, nil)
	s.dieIn = 100
	sender := s.sender(t, nil)
	m := message("msg_1")
	m.Text = strings.Repeat("more than all buffers on the way hold\n", 400_000)
	r := notify.RefusalOf(sender.Send(t.Context(), m))
	if r.Fate != notify.Retries || r.Code != notify.CodeUnavailable || len(s.letters()) != 0 {
		t.Fatalf("died: %+v, %d letters", r, len(s.letters()))
	}
	if err := sender.Send(t.Context(), m); err != nil || len(s.letters()) != 1 {
		t.Errorf("next try: %v, %d letters", err, len(s.letters()))
	}
}

// E1: a server that dies right after it has taken a message leaves us in doubt. The
// next try bears the same Message-ID, so that a mailbox shows one message.
func TestServerDiesRightAfterData(t *testing.T) {
	s := serve(t, nil)
	s.dieDone = true
	sender := s.sender(t, nil)
	if r := notify.RefusalOf(sender.Send(t.Context(), message("msg_1"))); r.Fate != notify.Unknown || r.Code != notify.CodeUnknown {
		t.Fatalf("died: %+v", r)
	}
	if err := sender.Send(t.Context(), message("msg_1")); err != nil {
		t.Fatal(err)
	}
	mailbox := map[string]bool{}
	for _, letter := range s.letters() {
		read, err := mail.ReadMessage(strings.NewReader(letter))
		if err != nil {
			t.Fatal(err)
		}
		mailbox[read.Header.Get("Message-ID")] = true
	}
	if len(s.letters()) != 2 || len(mailbox) != 1 {
		t.Errorf("%d letters, the mailbox shows %v", len(s.letters()), mailbox)
	}
}

// Passwords and mail go under TLS or not at all.
func TestTLSAndSignIn(t *testing.T) {
	plain := func(s *mailserver.Server) { s.TLSConfig = nil }
	as := func(password string, way smtp.TLS) func(*smtp.Config) {
		return func(c *smtp.Config) { c.User, c.Password, c.TLS = "keys", password, way }
	}
	for name, c := range map[string]struct {
		server func(*mailserver.Server)
		config func(*smtp.Config)
		fate   notify.Fate
		sent   bool
		secure bool
	}{
		"mandatory":                       {nil, as("correct", smtp.Mandatory), 0, true, true},
		"mandatory, not offered":          {plain, as("correct", smtp.Mandatory), notify.Misconfigured, false, false},
		"opportunistic":                   {nil, as("correct", smtp.Opportunistic), 0, true, true},
		"opportunistic, not offered":      {plain, func(c *smtp.Config) { c.TLS = smtp.Opportunistic }, 0, true, false},
		"none, on this machine":           {nil, as("correct", smtp.Plain), 0, true, false},
		"wrong password":                  {nil, as("wrong", smtp.Mandatory), notify.Misconfigured, false, false},
		"certificate of somebody unknown": {nil, func(c *smtp.Config) { c.Roots = x509.NewCertPool() }, notify.Misconfigured, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.server)
			err := s.sender(t, c.config).Send(t.Context(), message("msg_1"))
			if c.sent != (err == nil) || err != nil && notify.RefusalOf(err).Fate != c.fate {
				t.Fatalf("got %v", err)
			}
			if c.sent && s.secure[0] != c.secure {
				t.Errorf("under TLS: %t", s.secure[0])
			}
			if err != nil && len(s.users) != 0 {
				t.Error("signed in all the same")
			}
		})
	}
}

// TLS from the first byte, with a password under it.
func TestImplicitTLS(t *testing.T) {
	s := &server{}
	certificate, roots := certificate(t)
	backend := mailserver.NewServer(mailserver.BackendFunc(func(c *mailserver.Conn) (mailserver.Session, error) { return &session{s, c}, nil }))
	backend.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- backend.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(backend.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	address, _ := listener.Addr().(*net.TCPAddr)
	s.host, s.port, s.roots = "127.0.0.1", address.Port, roots
	sender := s.sender(t, func(c *smtp.Config) { c.TLS, c.User, c.Password = smtp.Implicit, "keys", "correct" })
	if err := sender.Send(t.Context(), message("msg_1")); err != nil || len(s.users) != 1 || !s.secure[0] {
		t.Errorf("%v, signed in %q, under TLS %v", err, s.users, s.secure)
	}
}

// What would send in the clear over a network is no configuration.
func TestConfig(t *testing.T) {
	for host, good := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "10.0.0.1": false, "mail.example.com": false, "localhost.example.com": false} {
		if _, err := smtp.New(smtp.Config{Host: host, Port: 25, TLS: smtp.Plain}); (err == nil) != good {
			t.Errorf("none to %s: %v", host, err)
		}
	}
	if _, err := smtp.New(smtp.Config{Host: "mail.example.com", Port: 587, TLS: "ssl"}); err == nil {
		t.Error("a way that is none was taken")
	}
}

// A server that is away or says nothing is tried again, and holds nobody up.
func TestServerAway(t *testing.T) {
	s := serve(t, nil)
	away := s.sender(t, func(c *smtp.Config) { c.Port = 1 })
	if r := notify.RefusalOf(away.Send(t.Context(), message("msg_1"))); r.Fate != notify.Retries || r.Code != notify.CodeUnavailable {
		t.Errorf("away: %+v", r)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address, _ := listener.Addr().(*net.TCPAddr)
	mute := s.sender(t, func(c *smtp.Config) { c.Port = address.Port })
	ctx, cancel := contextOf(t)
	defer cancel()
	if r := notify.RefusalOf(mute.Send(ctx, message("msg_1"))); r.Fate != notify.Retries {
		t.Errorf("mute: %+v", r)
	}
}
