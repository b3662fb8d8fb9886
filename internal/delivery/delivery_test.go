package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/delivery"
	"latchkey/internal/directory"
	"latchkey/internal/keyset"
	"latchkey/internal/notify"
	"latchkey/internal/pgtest"
	"latchkey/internal/store"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// world is a store with messages in it and somebody who sends them, at a time that
// the test sets.
type world struct {
	*store.Store
	t         *testing.T
	db        *pgx.Conn
	accountID string
	now       time.Time
	senders   notify.Senders
}

func open(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, now: noon, senders: notify.Senders{}}
	dsn := pgtest.New(t, store.Migrate)
	keys, err := keyset.Create(filepath.Join(t.TempDir(), "keyset.json"))
	w.ok(err)
	w.Store, err = store.Open(t.Context(), dsn, keys)
	w.ok(err)
	t.Cleanup(w.Close)
	w.db, err = pgx.Connect(t.Context(), dsn)
	w.ok(err)
	t.Cleanup(func() { w.ok(w.db.Close(context.WithoutCancel(t.Context()))) })
	account, err := w.CreateAccount(t.Context(), "Harbour", func(string) error { return nil }, noon)
	w.ok(err)
	w.accountID = account.ID
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// person is somebody with an address and, if given, a number.
func (w *world) person(name, mobile string) directory.Person {
	w.t.Helper()
	m, err := w.CreateMember(w.t.Context(), directory.Member{
		AccountID: w.accountID, Role: directory.RoleHost,
		Person: directory.Person{Name: name, Email: name + "@example.com", Mobile: mobile, Locale: "en"},
	}, noon)
	w.ok(err)
	return m.Person
}

// owe writes a message; its id is its place in the order.
func (w *world) owe(id string, to directory.Person, channel notify.Channel, template access.Template) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), `INSERT INTO messages (id, account_id, person_id, channel, template, item_id, dedup_key, not_before, created_at)
		VALUES ($1, $2, $3, $4, $5, 'res_1', $1, $6, $6)`, id, w.accountID, to.ID, string(channel), string(template), w.now)
	w.ok(err)
}

// write is the text of a message, which names it.
func write(_ context.Context, m store.QueuedMessage, reader directory.Person, c notify.Channel, now time.Time) (notify.Message, error) {
	return notify.Message{
		ID: m.ID, To: delivery.AddressOf(reader, c), Channel: c, Template: m.Template, Locale: "en", Subject: "A message", Text: "This is " + m.ID, HTML: "<p>This is " + m.ID + "</p>", At: now,
	}, nil
}

// worker is one process that sends.
func (w *world) worker() *delivery.Delivery {
	return &delivery.Delivery{Store: w.Store, Senders: w.senders, Write: write, Clock: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
}

// send sends all that is due now, as the outbox workflow does.
func (w *world) send(worker *delivery.Delivery) {
	w.t.Helper()
	for range 20 {
		handled, _, err := worker.SendQueued(w.t.Context(), 100, w.now)
		w.ok(err)
		if handled == 0 {
			return
		}
	}
	w.t.Fatal("there is always more to send")
}

// story is what the log says of the messages, oldest first.
func (w *world) story() (lines []string) {
	w.t.Helper()
	events, _, err := w.Events(w.t.Context(), w.accountID, store.EventFilter{}, store.Page{Limit: 200})
	w.ok(err)
	for _, e := range events {
		if strings.HasPrefix(string(e.Type), "message.") {
			line := fmt.Sprintf("%s %s %s", e.Type, e.Detail["channel"], e.Code)
			if e.Detail["retrying"] == true {
				line += "(retrying)"
			}
			if e.Detail["instead_of"] != nil {
				line += "(instead)"
			}
			lines = append([]string{strings.TrimSpace(line)}, lines...)
		}
	}
	return lines
}

func (w *world) tells(want ...string) {
	w.t.Helper()
	if got := w.story(); !slices.Equal(got, want) {
		w.t.Errorf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// vendor answers as told and counts what it was given.
type vendor struct {
	lock    sync.Mutex
	answers []error // one a message, then success
	got     []notify.Message
}

func (v *vendor) Send(_ context.Context, m notify.Message) error {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.got = append(v.got, m)
	if len(v.answers) == 0 {
		return nil
	}
	answer := v.answers[0]
	v.answers = v.answers[1:]
	return answer
}

func (v *vendor) ids() (ids []string) {
	v.lock.Lock()
	defer v.lock.Unlock()
	for _, m := range v.got {
		ids = append(ids, m.ID)
	}
	return ids
}

func refusal(code string, fate notify.Fate, after time.Duration) error {
	return fmt.Errorf("send: %w", &notify.Refusal{Code: code, Fate: fate, After: after})
}

var (
	badAddress = refusal(notify.CodeBadAddress, notify.Ends, 0)
	wrongKey   = refusal(notify.CodeUnauthorized, notify.Misconfigured, 0)
	outOfOrder = refusal(notify.CodeUnavailable, notify.Retries, 0)
	lost       = refusal(notify.CodeUnknown, notify.Unknown, 0)
)

const mobile = "+34600111222"

// K3, E1: what a channel refuses goes by the other one that the person has, once,
// and the item shows both.
func TestOtherChannel(t *testing.T) {
	for name, c := range map[string]struct {
		mobile     string
		channel    notify.Channel
		mail, text []error
		mails      int
		texts      int
		story      []string
	}{
		"email fails, number known": {mobile, notify.ChannelEmail, []error{badAddress}, nil, 1, 1,
			[]string{"message.failed email bad_address", "message.sent sms (instead)"}},
		"email fails, no number": {"", notify.ChannelEmail, []error{badAddress}, nil, 1, 0, []string{"message.failed email bad_address"}},
		"text fails": {mobile, notify.ChannelSMS, nil, []error{badAddress}, 1, 1,
			[]string{"message.failed sms bad_address", "message.sent email (instead)"}},
		"both fail": {mobile, notify.ChannelEmail, []error{badAddress}, []error{badAddress}, 1, 1,
			[]string{"message.failed email bad_address", "message.failed sms bad_address(instead)"}},
		"no number to text": {"", notify.ChannelSMS, nil, nil, 1, 0, []string{"message.sent email"}},
		"wrong key, number known": {mobile, notify.ChannelEmail, []error{wrongKey}, nil, 1, 1,
			[]string{"message.failed email unauthorized", "message.sent sms (instead)"}},
		"fine": {mobile, notify.ChannelEmail, nil, nil, 1, 0, []string{"message.sent email"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			mails, texts := &vendor{answers: c.mail}, &vendor{answers: c.text}
			w.senders = notify.Senders{notify.ChannelEmail: mails, notify.ChannelSMS: texts}
			w.owe("msg_1", w.person("ana", c.mobile), c.channel, access.TemplateKeyLateHost)
			worker := w.worker()
			w.send(worker)
			w.now = w.now.Add(time.Hour)
			w.send(worker)
			if len(mails.got) != c.mails || len(texts.got) != c.texts {
				t.Errorf("%d mails and %d texts", len(mails.got), len(texts.got))
			}
			w.tells(c.story...)
		})
	}
}

// A refusal that only the operator can put right is shown on the item at once,
// tried again, and ends well.
func TestWrongKeyIsShownAndTriedAgain(t *testing.T) {
	w := open(t)
	mails := &vendor{answers: []error{wrongKey, wrongKey}}
	w.senders[notify.ChannelEmail] = mails
	w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateInvitation)
	worker := w.worker()
	for range 5 {
		w.send(worker)
		w.now = w.now.Add(time.Minute)
	}
	if len(mails.got) != 3 {
		t.Errorf("tried %d times", len(mails.got))
	}
	w.tells("message.failed email unauthorized(retrying)", "message.sent email")
}

// A vendor that wants to be left alone is, by everybody, until its time.
func TestRateLimit(t *testing.T) {
	w := open(t)
	mails := &vendor{answers: []error{refusal(notify.CodeRateLimited, notify.Retries, 90*time.Second)}}
	w.senders[notify.ChannelEmail] = mails
	w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateInvitation)
	worker := w.worker()
	w.send(worker)
	w.owe("msg_2", w.person("ben", ""), notify.ChannelEmail, access.TemplateInvitation)
	w.now = w.now.Add(89 * time.Second)
	w.send(worker)
	if got := mails.ids(); !slices.Equal(got, []string{"msg_1"}) {
		t.Fatalf("asked for %q within the pause", got)
	}
	_, next, err := worker.SendQueued(t.Context(), 100, w.now)
	w.ok(err)
	if !next.Equal(noon.Add(90 * time.Second)) {
		t.Errorf("comes back at %v", next)
	}
	w.now = w.now.Add(time.Second)
	w.send(worker)
	if got := mails.ids(); len(got) != 3 || !slices.Contains(got, "msg_2") {
		t.Errorf("asked for %q", got)
	}
	w.tells("message.sent email", "message.sent email")
}

// A vendor that is out of order for a day loses the message visibly, and not before.
func TestGivesUpVisibly(t *testing.T) {
	w := open(t)
	w.senders[notify.ChannelEmail] = &vendor{answers: slices.Repeat([]error{outOfOrder}, 100)}
	w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateInvitation)
	worker := w.worker()
	for len(w.story()) == 0 && w.now.Before(noon.Add(48*time.Hour)) {
		w.send(worker)
		w.now = w.now.Add(10 * time.Minute)
	}
	if took := w.now.Sub(noon); took < 10*time.Hour || took > 30*time.Hour {
		t.Errorf("gave up after %v", took)
	}
	w.tells("message.failed email gave_up")
}

// Later messages to a person wait for an earlier one by the same channel, and for
// no other.
func TestOrder(t *testing.T) {
	w := open(t)
	mails, texts := &vendor{answers: []error{outOfOrder}}, &vendor{}
	w.senders = notify.Senders{notify.ChannelEmail: mails, notify.ChannelSMS: texts}
	person := w.person("ana", mobile)
	w.owe("msg_1", person, notify.ChannelEmail, access.TemplateKeyLateHost)
	worker := w.worker()
	w.send(worker)
	w.owe("msg_2", person, notify.ChannelEmail, access.TemplateKeyLateHost)
	w.owe("msg_3", person, notify.ChannelSMS, access.TemplateKeyLateHost)
	w.send(worker)
	if got := mails.ids(); !slices.Equal(got, []string{"msg_1"}) || len(texts.got) != 1 {
		t.Errorf("mails %q, %d texts before the retry", got, len(texts.got))
	}
	w.now = w.now.Add(time.Minute)
	w.send(worker)
	if got := mails.ids(); !slices.Equal(got, []string{"msg_1", "msg_1", "msg_2"}) {
		t.Errorf("mails %q", got)
	}
}

// E7: neither the events nor what is kept of a refusal repeat an address.
func TestNothingPersonalIsKept(t *testing.T) {
	w := open(t)
	w.senders = notify.Senders{notify.ChannelEmail: &vendor{answers: []error{badAddress}}}
	w.owe("msg_1", w.person("ana", ""), notify.ChannelEmail, access.TemplateKeyLateHost)
	w.send(w.worker())
	var kept string
	w.ok(w.db.QueryRow(t.Context(), `SELECT string_agg(e::text, '') || (SELECT string_agg(m::text, '') FROM messages m) FROM events e`).Scan(&kept))
	if strings.Contains(kept, "ana@") || !strings.Contains(kept, notify.CodeBadAddress) {
		t.Errorf("kept: %s", kept)
	}
	if text, err := json.Marshal(w.story()); err != nil || strings.Contains(string(text), "example.com") {
		t.Errorf("told: %s, %v", text, err)
	}
}

// keep gives a person's phone, as they do when they are signed in on it.
func (w *world) keep(p directory.Person) {
	w.t.Helper()
	ctx := w.t.Context()
	attempt, err := w.StartSignIn(ctx, p.Email, "en", "192.0.2.1", w.now)
	w.ok(err)
	due, _, err := w.DueMessages(ctx, 10, w.now)
	w.ok(err)
	code, err := w.MessageSecret(due[len(due)-1])
	w.ok(err)
	w.ok(w.MessageSent(ctx, due[len(due)-1].ID, w.now))
	_, session, err := w.SignIn(ctx, attempt, code, w.now)
	w.ok(err)
	w.ok(w.KeepPhone(ctx, session.PersonID, notify.Phone{SessionID: session.ID, Endpoint: "https://push.example/" + p.Name, P256dh: "key", Auth: "secret"}, w.now))
}

// I7: who chose push is told on their phone, and by SMS or email if they have none or
// it is gone; nobody is told twice.
func TestPushFallsBack(t *testing.T) {
	gone := refusal(notify.CodeGone, notify.Ends, 0)
	for name, c := range map[string]struct {
		phone   bool
		mobile  string
		push    []error
		text    []error
		noTexts bool
		story   []string
	}{
		"on the phone":         {phone: true, mobile: mobile, story: []string{"message.sent push"}},
		"no phone":             {mobile: mobile, story: []string{"message.sent sms"}},
		"no phone, no number":  {story: []string{"message.sent email"}},
		"phone is gone":        {phone: true, mobile: mobile, push: []error{gone}, story: []string{"message.failed push gone", "message.sent sms (instead)"}},
		"gone, no number":      {phone: true, push: []error{gone}, story: []string{"message.failed push gone", "message.sent email (instead)"}},
		"gone, text refused":   {phone: true, mobile: mobile, push: []error{gone}, text: []error{badAddress}, story: []string{"message.failed push gone", "message.failed sms bad_address(instead)", "message.sent email (instead)"}},
		"no texts are sent":    {mobile: mobile, noTexts: true, story: []string{"message.sent email"}},
		"push service is busy": {phone: true, mobile: mobile, push: []error{outOfOrder}, story: []string{"message.sent push"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			mails, texts, pushed := &vendor{}, &vendor{answers: c.text}, &vendor{answers: c.push}
			w.senders = notify.Senders{notify.ChannelEmail: mails, notify.ChannelSMS: texts, notify.ChannelPush: pushed}
			if c.noTexts {
				delete(w.senders, notify.ChannelSMS)
			}
			rita := w.person("rita", c.mobile)
			if c.phone {
				w.keep(rita)
			}
			w.owe("msg_1", rita, notify.ChannelPush, access.TemplateEntranceUnlocked)
			worker := w.worker()
			for range 3 {
				w.send(worker)
				w.now = w.now.Add(time.Minute)
			}
			w.tells(c.story...)
			for _, m := range pushed.got {
				if m.To != rita.ID {
					t.Errorf("pushed to %s", m.To)
				}
			}
		})
	}
}
