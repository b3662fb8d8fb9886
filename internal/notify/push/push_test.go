package push_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/notify/push"
)

// device is a phone with its browser: it can read what is sent to it.
type device struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{key: key, auth: make([]byte, 16)}
	if _, err := rand.Read(d.auth); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) phone(session, endpoint string) notify.Phone {
	encoding := base64.RawURLEncoding
	return notify.Phone{SessionID: session, Endpoint: endpoint, P256dh: encoding.EncodeToString(d.key.PublicKey().Bytes()), Auth: encoding.EncodeToString(d.auth)}
}

// read decrypts as RFC 8291 and RFC 8188 say.
func (d *device) read(body []byte) (map[string]string, error) {
	salt, size, length := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	sender, err := ecdh.P256().NewPublicKey(body[21 : 21+length])
	if err != nil {
		return nil, err
	}
	secret, err := d.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(d.key.PublicKey().Bytes()) + string(sender.Bytes())
	ikm, errI := hkdf.Key(sha256.New, secret, d.auth, info, 32)
	key, errK := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, errN := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	block, errB := aes.NewCipher(key)
	if err := errors.Join(errI, errK, errN, errB); err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	record := body[21+length:]
	if len(record) > int(size) {
		return nil, errors.New("more than one record")
	}
	padded, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	text, _, _ := strings.Cut(string(padded), "\x02")
	var shown map[string]string
	return shown, json.Unmarshal([]byte(text), &shown)
}

// people has the phones of one person.
type people struct {
	lock    sync.Mutex
	phones  []notify.Phone
	dropped []notify.Phone
}

func (p *people) PhonesOf(_ context.Context, personID string, _ time.Time) ([]notify.Phone, error) {
	if personID != "per_1" {
		return nil, nil
	}
	return p.phones, nil
}

func (p *people) DropPhone(_ context.Context, phone notify.Phone) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.dropped = append(p.dropped, phone)
	return nil
}

// service is a push service that answers each endpoint as told, and keeps what it got.
type service struct {
	*httptest.Server
	lock sync.Mutex
	got  map[string][]byte
	head map[string]http.Header
}

func pushService(t *testing.T, answers map[string]int) *service {
	t.Helper()
	s := &service{got: map[string][]byte{}, head: map[string]http.Header{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.lock.Lock()
		s.got[r.URL.Path], s.head[r.URL.Path] = body, r.Header.Clone()
		s.lock.Unlock()
		if answers[r.URL.Path] == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "30")
		}
		w.WriteHeader(answers[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	return s
}

func keys(t *testing.T) (notify.PushKeys, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey().Bytes()
	encoding := base64.RawURLEncoding
	return notify.PushKeys{Public: encoding.EncodeToString(public), Private: encoding.EncodeToString(key.Bytes())},
		&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(public[1:33]), Y: new(big.Int).SetBytes(public[33:])} //nolint:staticcheck // go-jose wants it
}

func message() notify.Message {
	return notify.Message{
		ID: "msg_1", To: "per_1", Channel: notify.ChannelPush, Template: access.TemplateEntranceUnlocked, Locale: "ja",
		Subject: "田中様が正面玄関を解錠しました", Text: "田中様が港レジデンスの正面玄関を解錠しました。", At: time.Now(),
	}
}

// I7: the phone, and nobody on the way, reads who opened what; the push service can
// tell that the engine sent it.
func TestNotification(t *testing.T) {
	d := newDevice(t)
	s := pushService(t, map[string]int{"/a": http.StatusCreated})
	vapid, public := keys(t)
	p := &people{phones: []notify.Phone{d.phone("ses_1", s.URL+"/a")}}
	sender := push.Sender{Phones: p, Keys: vapid, Contact: "keys@door.example", URL: "https://door.example/console", Client: s.Client()}
	m := message()
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	shown, err := d.read(s.got["/a"])
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 4 || shown["title"] != m.Subject || shown["body"] != m.Text || shown["tag"] != "msg_1" || shown["url"] != "https://door.example/console" {
		t.Errorf("the phone reads %v", shown)
	}
	head := s.head["/a"]
	if head.Get("TTL") != "3600" || head.Get("Urgency") != "high" || head.Get("Content-Encoding") != "aes128gcm" {
		t.Errorf("headers %v", head)
	}
	token, rest, _ := strings.Cut(strings.TrimPrefix(head.Get("Authorization"), "vapid t="), ", k=")
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := signed.Verify(public)
	if err != nil || rest != vapid.Public {
		t.Fatalf("signed by another: %v", err)
	}
	var said struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(claims, &said); err != nil || said.Aud != s.URL || said.Sub != "mailto:keys@door.example" || time.Until(time.Unix(said.Exp, 0)) > 24*time.Hour {
		t.Errorf("claims %s, %v", claims, err)
	}
}

// A phone that is gone is forgotten; one that has it is enough; with none left the
// message goes another way (I7).
func TestPhones(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]int
		dropped int
		want    *notify.Refusal
	}{
		"all have it":        {map[string]int{"/a": 201, "/b": 202}, 0, nil},
		"one is gone":        {map[string]int{"/a": 410, "/b": 201}, 1, nil},
		"one unknown":        {map[string]int{"/a": 404, "/b": 201}, 1, nil},
		"all are gone":       {map[string]int{"/a": 410, "/b": 404}, 2, &notify.Refusal{Code: notify.CodeGone, Fate: notify.Ends}},
		"one busy":           {map[string]int{"/a": 410, "/b": 429}, 1, &notify.Refusal{Code: notify.CodeRateLimited, Fate: notify.Retries, After: 30 * time.Second, Says: "HTTP 429"}},
		"service is down":    {map[string]int{"/a": 503, "/b": 503}, 0, &notify.Refusal{Code: notify.CodeUnavailable, Fate: notify.Retries, Says: "HTTP 503"}},
		"engine not trusted": {map[string]int{"/a": 403, "/b": 403}, 0, &notify.Refusal{Code: notify.CodeUnauthorized, Fate: notify.Misconfigured, Says: "HTTP 403"}},
		"payload too large":  {map[string]int{"/a": 413, "/b": 413}, 0, &notify.Refusal{Code: notify.CodeTooLarge, Fate: notify.Ends, Says: "HTTP 413"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pushService(t, c.answers)
			vapid, _ := keys(t)
			d := newDevice(t)
			p := &people{phones: []notify.Phone{d.phone("ses_1", s.URL+"/a"), d.phone("ses_2", s.URL+"/b")}}
			err := push.Sender{Phones: p, Keys: vapid, Contact: "https://door.example", Client: s.Client()}.Send(t.Context(), message())
			if len(p.dropped) != c.dropped {
				t.Errorf("dropped %v", p.dropped)
			}
			var r *notify.Refusal
			if c.want == nil && err != nil || c.want != nil && (!errors.As(err, &r) || *r != *c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	nobody := message()
	nobody.To = "per_2"
	if r := notify.RefusalOf(push.Sender{Phones: &people{}}.Send(t.Context(), nobody)); r.Code != notify.CodeGone || r.Fate != notify.Ends {
		t.Errorf("nobody's phone: %+v", r)
	}
}

// An endpoint is the caller's word: the engine asks nobody in its own network for it.
func TestNoRequestInside(t *testing.T) {
	s := pushService(t, map[string]int{"/a": 201})
	vapid, _ := keys(t)
	d := newDevice(t)
	for _, endpoint := range []string{s.URL + "/a", strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/a", "https://10.0.0.1/a", "https://169.254.169.254/a", "https://[::1]/a", "https://[::ffff:127.0.0.1]/a", "https://100.64.0.1/a", "https://0.0.0.0/a"} {
		p := &people{phones: []notify.Phone{d.phone("ses_1", endpoint)}}
		err := push.Sender{Phones: p, Keys: vapid, Contact: "https://door.example", Client: push.PublicClient()}.Send(t.Context(), message())
		if r := notify.RefusalOf(err); r.Code != notify.CodeGone || len(p.dropped) != 1 {
			t.Errorf("%s: %+v, dropped %d", endpoint, r, len(p.dropped))
		}
	}
	if len(s.got) != 0 {
		t.Error("somebody inside was asked")
	}
}
