// Package smtp sends email through a mail server, a connection for each message.
//
// A server that refuses says for how long: a reply that begins with 4 (a full
// queue, greylisting) is tried again, one that begins with 5 ends the message. If
// the connection breaks, it matters where. Until the last line of the message was
// sent nothing can have been taken. After it the server may have taken the message
// and died before it could say so: such a send is repeated, as RFC 5321 asks (at
// least once), with the Message-ID of the first try, by which mailboxes show one
// message.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"latchkey/internal/email"
	"latchkey/internal/notify"
)

// TLS is how the way to the server is protected.
type TLS string

// The ways to protect it. Plain is for a server on this machine.
const (
	Opportunistic TLS = "opportunistic" // STARTTLS if the server offers it
	Mandatory     TLS = "mandatory"     // STARTTLS or nothing is sent
	Implicit      TLS = "implicit"      // TLS from the first byte
	Plain         TLS = "none"
)

// Config is where mail is handed in.
type Config struct {
	Host     string
	Port     int
	TLS      TLS
	User     string // empty: without signing in
	Password string
	From     mail.Address

	// Roots verify the server's certificate; nil: those of the machine.
	Roots *x509.CertPool
}

// Sender hands mail to a server.
type Sender struct {
	config  Config
	options []gomail.Option
}

// commandTimeout is how long one command may take; Send is bound by its context.
const commandTimeout = 15 * time.Second

// New refuses what would send passwords or mail in the clear over a network.
func New(c Config) (*Sender, error) {
	options := []gomail.Option{
		gomail.WithPort(c.Port), gomail.WithTimeout(commandTimeout), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch c.TLS {
	case Opportunistic:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case Mandatory:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Implicit:
		options = append(options, gomail.WithSSL())
	case Plain:
		if !loopback(c.Host) {
			return nil, errors.New("mail goes without TLS to a server on this machine only (127.0.0.1, ::1 or localhost)")
		}
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		return nil, fmt.Errorf("%q is no way to protect the connection", c.TLS)
	}
	options = append(options, gomail.WithTLSConfig(c.settings()))
	if c.User != "" {
		options = append(options, gomail.WithUsername(c.User), gomail.WithPassword(c.Password), gomail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	s := &Sender{config: c, options: options}
	_, err := s.client(context.Background())
	return s, err
}

// mechanisms are the ways to sign in, the best first. Those that show the password
// are used under TLS and to this machine only.
var mechanisms = []gomail.SMTPAuthType{
	gomail.SMTPAuthSCRAMSHA256PLUS, gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5,
}

func (c Config) settings() *tls.Config {
	return &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// client is made for each message: the library's has the state of one connection.
func (s *Sender) client(ctx context.Context) (*gomail.Client, error) {
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		connection, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		connection = within(ctx, connection)
		if s.config.TLS == Implicit {
			connection = tls.Client(connection, s.config.settings())
		}
		return connection, nil
	}
	return gomail.NewClient(s.config.Host, append([]gomail.Option{gomail.WithDialContextFunc(dial)}, s.options...)...)
}

// Send implements [notify.Sender].
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	to, err := email.Normalize(m.To)
	if err != nil {
		return &notify.Refusal{Code: notify.CodeBadAddress, Fate: notify.Ends}
	}
	letter, err := Letter(m, s.config.From, to)
	if err != nil {
		return &notify.Refusal{Code: notify.CodeRefused, Fate: notify.Ends}
	}
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() { // what fails after the server took it is only the farewell
		return nil
	}
	return refusalOf(err)
}

// refusalOf reads what the server said, or where the connection broke.
func refusalOf(err error) *notify.Refusal {
	var failed *gomail.SendError
	if !errors.As(err, &failed) { // greeting, TLS or sign-in: no message was spoken of
		return beforeMail(err)
	}
	r := &notify.Refusal{Code: notify.CodeUnavailable, Fate: notify.Retries}
	code := failed.ErrorCode()
	if code != 0 {
		r.Says = strconv.Itoa(code)
		if enhanced := failed.EnhancedStatusCode(); enhanced != "" {
			r.Says += " " + enhanced
		}
	}
	switch {
	case code == 0 && failed.Reason == gomail.ErrSMTPDataClose:
		r.Code, r.Fate = notify.CodeUnknown, notify.Unknown
	case code == 530 || code == 535 || code == 538: // sign in first
		r.Code, r.Fate = notify.CodeUnauthorized, notify.Misconfigured
	case code == 552 && failed.Reason != gomail.ErrSMTPRcptTo, code == 523 || code == 554 && failed.EnhancedStatusCode() == "5.3.4":
		r.Code, r.Fate = notify.CodeTooLarge, notify.Ends
	case code >= 500 && failed.Reason == gomail.ErrSMTPMailFrom: // the server does not want us
		r.Code, r.Fate = notify.CodeUnauthorized, notify.Misconfigured
	case code >= 500 && failed.Reason == gomail.ErrSMTPRcptTo:
		r.Code, r.Fate = notify.CodeBadAddress, notify.Ends
	case code >= 500:
		r.Code, r.Fate = notify.CodeRefused, notify.Ends
	}
	return r
}

// beforeMail is a failure to get as far as the message. Nothing was sent. What is
// neither the server's own word nor the network's fault is a matter of settings: a
// certificate, TLS or a way to sign in that one side does not have.
func beforeMail(err error) *notify.Refusal {
	var said *textproto.Error
	var broken net.Error
	r := &notify.Refusal{Code: notify.CodeUnavailable, Fate: notify.Retries}
	switch {
	case errors.As(err, &said):
		r.Says = strconv.Itoa(said.Code)
		if said.Code >= 500 {
			r.Code, r.Fate = notify.CodeUnauthorized, notify.Misconfigured
		}
	case errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		r.Code, r.Fate, r.Says = notify.CodeUnauthorized, notify.Misconfigured, "TLS or sign-in"
	}
	return r
}

// bounded is a connection that nothing uses beyond an instant: the library renews its
// deadline with each command and knows no context after the dial.
type bounded struct {
	net.Conn
	until time.Time
	stop  func() bool
}

// within binds a connection to a context.
func within(ctx context.Context, connection net.Conn) net.Conn {
	b := &bounded{Conn: connection}
	b.until, _ = ctx.Deadline() // zero: none
	b.stop = context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
	return b
}

func (b *bounded) SetDeadline(t time.Time) error {
	if !b.until.IsZero() && t.After(b.until) {
		t = b.until
	}
	return b.Conn.SetDeadline(t)
}

func (b *bounded) Close() error {
	b.stop()
	return b.Conn.Close()
}
