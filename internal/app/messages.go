package app

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/notify"
	"latchkey/internal/notify/push"
	"latchkey/internal/notify/sendgrid"
	"latchkey/internal/notify/smtp"
	"latchkey/internal/notify/twilio"
	"latchkey/internal/store"
)

// Messages is how people are written to. Secrets are taken from variables only,
// because a command line can be read by everybody on the machine.
type Messages struct {
	Mail     string `help:"How email leaves: outbox (it does not, see /dev/outbox), sendgrid or smtp." enum:"outbox,sendgrid,smtp" default:"outbox"`
	MailFrom string `help:"Whom email is from, such as 'Keys <keys@example.com>'." placeholder:"ADDRESS"`

	SendGridURL        string `name:"sendgrid-url" help:"SendGrid's API; https://api.eu.sendgrid.com in its European region. The API key is in LATCHKEY_SENDGRID_API_KEY." default:"https://api.sendgrid.com" placeholder:"URL"`
	SendGridWebhookKey string `name:"sendgrid-webhook-key" help:"The verification key of SendGrid's signed event webhook, for /hooks/sendgrid/events." placeholder:"BASE64"`

	SMTPAddress string `name:"smtp-address" help:"The mail server, such as mail.example.com:587." placeholder:"HOST:PORT"`
	SMTPTLS     string `name:"smtp-tls" help:"How the way there is protected: mandatory or opportunistic (STARTTLS), implicit (TLS at once), none (to this machine only)." enum:"mandatory,opportunistic,implicit,none" default:"mandatory"`
	SMTPUser    string `name:"smtp-user" help:"Whom to sign in as; the password is in LATCHKEY_SMTP_PASSWORD." placeholder:"NAME"`

	SMS       string `name:"sms" help:"How text messages leave: outbox, twilio or none. Without a word, as email does: outbox with the outbox, else none." enum:"outbox,twilio,none," default:""`
	SMSFrom   string `name:"sms-from" help:"Whom text messages are from: a number, a name, or a messaging service (MG…)." placeholder:"SENDER"`
	TwilioURL string `name:"twilio-url" help:"Twilio's API. Account and token are in LATCHKEY_TWILIO_ACCOUNT_SID and LATCHKEY_TWILIO_AUTH_TOKEN." default:"https://api.twilio.com" placeholder:"URL"`

	Push string `help:"How members' phones are notified: outbox, web (Web Push) or none. Without a word, as email does: outbox with the outbox, else web." enum:"outbox,web,none," default:""`
}

// The variables with secrets. No flag gives them.
const (
	sendGridAPIKey   = "LATCHKEY_SENDGRID_API_KEY"
	smtpPassword     = "LATCHKEY_SMTP_PASSWORD"
	twilioAccountSID = "LATCHKEY_TWILIO_ACCOUNT_SID"
	twilioAuthToken  = "LATCHKEY_TWILIO_AUTH_TOKEN"
)

var secretVariables = []string{sendGridAPIKey, smtpPassword, twilioAccountSID, twilioAuthToken}

// The senders' names, as the flags have them.
const (
	byOutbox   = "outbox"
	bySendGrid = "sendgrid"
	bySMTP     = "smtp"
	byTwilio   = "twilio"
	byWeb      = "web"
	byNone     = "none"
)

// settle fills in what was left open. An engine whose mail leaves shows nothing of
// what it sends in an outbox unless it is told to.
func (m Messages) settle() Messages {
	if m.SMS == "" {
		m.SMS = byNone
		if m.Mail == byOutbox {
			m.SMS = byOutbox
		}
	}
	if m.Push == "" {
		m.Push = byWeb
		if m.Mail == byOutbox {
			m.Push = byOutbox
		}
	}
	return m
}

// outbox says whether any message is kept instead of sent.
func (m Messages) outbox() bool {
	m = m.settle()
	return slices.Contains([]string{m.Mail, m.SMS, m.Push}, byOutbox)
}

// webhookKey is the key that SendGrid signs its events with; nil if there is none.
func (m Messages) webhookKey() (*ecdsa.PublicKey, error) {
	if m.SendGridWebhookKey == "" {
		return nil, nil
	}
	key, err := sendgrid.Key(m.SendGridWebhookKey)
	if err != nil {
		return nil, wrong("--sendgrid-webhook-key", "LATCHKEY_SENDGRID_WEBHOOK_KEY", "is not the verification key that SendGrid shows under Mail Settings, Event Webhook")
	}
	return key, nil
}

// wrong names a setting by its flag and its variable, and never its value.
func wrong(flag, variable, what string) error {
	if flag == "" {
		return fmt.Errorf("%s %s", variable, what)
	}
	return fmt.Errorf("%s (%s) %s", flag, variable, what)
}

// vendors builds the senders by which messages leave, or says which setting is
// missing or wrong.
func (m Messages) vendors() (notify.Senders, mail.Address, error) {
	m = m.settle()
	senders := notify.Senders{}
	from, err := m.from()
	if err == nil && m.Mail == bySendGrid {
		senders[notify.ChannelEmail], err = m.sendGrid(from)
	}
	if err == nil && m.Mail == bySMTP {
		senders[notify.ChannelEmail], err = m.smtp(from)
	}
	if err == nil && m.SMS == byTwilio {
		senders[notify.ChannelSMS], err = m.twilio()
	}
	return senders, from, err
}

// check says which setting is missing or wrong, before anything is started.
func (m Messages) check() error {
	_, _, err := m.vendors()
	if err != nil {
		return err
	}
	_, err = m.webhookKey()
	return err
}

// senders builds all that the settings name.
func (m Messages) senders(ctx context.Context, s *store.Store, baseURL string) (notify.Senders, error) {
	m = m.settle()
	senders, from, err := m.vendors()
	if err != nil {
		return nil, err
	}
	for channel, by := range map[notify.Channel]string{notify.ChannelEmail: m.Mail, notify.ChannelSMS: m.SMS, notify.ChannelPush: m.Push} {
		if by == byOutbox {
			senders[channel] = notify.OutboxSender{Outbox: s}
		}
	}
	if m.Push == byWeb {
		keys, err := s.PushKeys(ctx, time.Now())
		if err != nil {
			return nil, fmt.Errorf("the key for push services: %w", err)
		}
		senders[notify.ChannelPush] = push.Sender{
			Phones: s, Keys: keys, Contact: contact(from.Address, baseURL), URL: baseURL + "/console", Client: push.PublicClient(),
		}
	}
	return senders, nil
}

// contact is whom a push service can write to about what the engine sends: RFC 8292
// wants an email address or an https page.
func contact(from, baseURL string) string {
	if from != "" || strings.HasPrefix(baseURL, "https:") {
		return cmp.Or(from, baseURL)
	}
	return "postmaster@localhost"
}

func (m Messages) from() (mail.Address, error) {
	if m.MailFrom == "" {
		if m.Mail != byOutbox {
			return mail.Address{}, wrong("--mail-from", "LATCHKEY_MAIL_FROM", "is needed with --mail "+m.Mail+": whom email is from, such as 'Keys <keys@example.com>'")
		}
		return mail.Address{}, nil
	}
	from, err := mail.ParseAddress(m.MailFrom)
	if err != nil {
		return mail.Address{}, wrong("--mail-from", "LATCHKEY_MAIL_FROM", "is not an address such as 'Keys <keys@example.com>'")
	}
	return *from, nil
}

func (m Messages) sendGrid(from mail.Address) (notify.Sender, error) {
	key := os.Getenv(sendGridAPIKey)
	if key == "" {
		return nil, wrong("", sendGridAPIKey, "is needed with --mail sendgrid: an API key that may send mail")
	}
	if err := checkURL("--sendgrid-url", "LATCHKEY_SENDGRID_URL", m.SendGridURL); err != nil {
		return nil, err
	}
	return sendgrid.Sender{Key: key, URL: m.SendGridURL, From: from}, nil
}

func (m Messages) smtp(from mail.Address) (notify.Sender, error) {
	host, port, err := net.SplitHostPort(m.SMTPAddress)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || portErr != nil || number == 0 {
		return nil, wrong("--smtp-address", "LATCHKEY_SMTP_ADDRESS", "is needed with --mail smtp: a mail server such as mail.example.com:587")
	}
	password := os.Getenv(smtpPassword)
	if (m.SMTPUser == "") != (password == "") {
		return nil, wrong("--smtp-user", "LATCHKEY_SMTP_USER", "and "+smtpPassword+" belong together: give both or neither")
	}
	sender, err := smtp.New(smtp.Config{Host: host, Port: int(number), TLS: smtp.TLS(m.SMTPTLS), User: m.SMTPUser, Password: password, From: from})
	if err != nil {
		return nil, fmt.Errorf("--smtp-tls (LATCHKEY_SMTP_TLS): %w", err)
	}
	return sender, nil
}

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	smsSender  = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|MG[0-9a-fA-F]{32}|[A-Za-z0-9 ]{1,11})$`)
)

func (m Messages) twilio() (notify.Sender, error) {
	account, token := os.Getenv(twilioAccountSID), os.Getenv(twilioAuthToken)
	switch {
	case !accountSID.MatchString(account):
		return nil, wrong("", twilioAccountSID, "is needed with --sms twilio: the account's SID, AC and 32 hexadecimal digits")
	case token == "":
		return nil, wrong("", twilioAuthToken, "is needed with --sms twilio: the account's auth token")
	case !smsSender.MatchString(m.SMSFrom):
		return nil, wrong("--sms-from", "LATCHKEY_SMS_FROM", "is needed with --sms twilio: a number such as +34600111222, a messaging service (MG…), or a name of up to 11 letters")
	}
	if err := checkURL("--twilio-url", "LATCHKEY_TWILIO_URL", m.TwilioURL); err != nil {
		return nil, err
	}
	return twilio.Sender{AccountSID: account, AuthToken: token, URL: m.TwilioURL, From: m.SMSFrom}, nil
}

// checkURL takes plain HTTP to this machine only: keys and messages go there.
func checkURL(flag, variable, text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "" {
		host, _, splitErr := net.SplitHostPort(u.Host)
		if splitErr != nil {
			host = u.Host
		}
		ip := net.ParseIP(host)
		if u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()) {
			return nil
		}
	}
	return wrong(flag, variable, "is not an https address")
}
