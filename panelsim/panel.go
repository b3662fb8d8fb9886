package panelsim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/internal/panel"
)

// Config is what a simulated panel needs.
type Config struct {
	EngineURL     string
	EnrolmentCode string // needed until it has enrolled
	Listen        string // host:port; port 0 takes a free one
	Address       string // what to announce to the engine; the listening address if empty
	Poll          bool   // announce no address and fetch messages from the engine
	StateFile     string // empty: remembers nothing after the process ends
	Logger        *slog.Logger
	Now           func() time.Time // the clock that its own goes by; time.Now if nil
}

// Panel is one simulated panel.
type Panel struct {
	config   Config
	listener net.Listener
	http     *http.Client
	polling  *http.Client // without a time limit of its own
	guard    panel.Memory
	enrolled chan struct{}
	wake     chan struct{} // there is something to report

	mu         sync.Mutex
	journal    *journal
	memory     *memory
	bootID     string
	started    time.Time // by its own clock
	seq        int64
	fault      fault
	online     bool
	unknown    bool                 // there may be grants or entrances that only the engine knows
	lost       bool                 // the engine is to hear that the panel no longer holds what it confirmed
	hangUpPoll context.CancelFunc   // ends the poll under way; nil: there was none
	openTil    map[string]time.Time // by entrance or slot: until when it stands open

	// Of a SmartBox.
	encryption *ecdsa.PrivateKey // booking codes are encrypted to it
	codes      map[string]string // by grant, decrypted; in memory only
	openedBy   map[int]string    // by slot: the grant with which it was opened
	number     rotating
}

// New takes the listening address and reads the state file. Run does the rest.
func New(c Config) (*Panel, error) {
	if c.EngineURL == "" || c.Logger == nil {
		return nil, errors.New("a panel needs the engine's address and a logger")
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s cannot be used: stop what uses it, or give another address (%w)", c.Listen, err)
	}
	j, m, err := openJournal(c.StateFile)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if c.EnrolmentCode == "" && (m.identity == nil || m.identity.PanelID == "") {
		return nil, errors.Join(errors.New("the panel has not enrolled yet: give --enrol the code from POST /v1/panels"), j.close(), listener.Close())
	}
	c.EngineURL = strings.TrimSuffix(c.EngineURL, "/")
	p := &Panel{
		config: c, listener: listener, journal: j, memory: m, bootID: rand.Text(), unknown: true, lost: len(m.grants) == 0,
		http:     &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		polling:  &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		enrolled: make(chan struct{}), wake: make(chan struct{}, 1), openTil: map[string]time.Time{},
		codes: map[string]string{}, openedBy: map[int]string{},
	}
	p.guard.Now = p.now
	p.started = p.now()
	if m.identity != nil && len(m.identity.EncryptionKey) > 0 {
		if p.encryption, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), m.identity.EncryptionKey); err != nil {
			return nil, errors.Join(fmt.Errorf("the panel's state file is damaged: %w", err), j.close(), listener.Close())
		}
		p.learnCodes(slices.Collect(maps.Values(m.grants))...)
	}
	return p, nil
}

// URL is where the panel listens, for the engine and for its control interface.
func (p *Panel) URL() string { return "http://" + p.listener.Addr().String() }

// Enrolled is closed once the panel has an identity.
func (p *Panel) Enrolled() <-chan struct{} { return p.enrolled }

// Run enrols if need be, serves, and reports until ctx ends. It is to be called
// once. It gives up where trying again is of no use: when the engine refuses the
// enrolment code, or its answer is not from the engine that made the code.
func (p *Panel) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: p.routes(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, MaxHeaderBytes: 64 << 10,
		IdleTimeout: 3 * time.Minute, // longer than the engine keeps a connection, so that none closes under a command
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(p.listener) }()
	defer func() {
		if err := errors.Join(server.Close(), p.journal.close()); err != nil {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the panel did not stop cleanly", slog.Any("error", err))
		}
	}()
	if err := p.enrol(ctx); err != nil {
		return err
	}
	close(p.enrolled)
	p.config.Logger.LogAttrs(ctx, slog.LevelInfo, "panel serves", slog.String("panel_id", p.name()), slog.String("url", p.URL()))
	var reporting sync.WaitGroup
	reporting.Go(func() { p.report(ctx) })
	if p.config.Poll {
		reporting.Go(func() { p.poll(ctx, server.Handler) })
	}
	defer reporting.Wait()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// now is the panel's own clock, which may run wrong.
func (p *Panel) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock()
}

// clock is now for who holds mu.
func (p *Panel) clock() time.Time { return p.world().Add(p.faulty().skew()).UTC() }

// world is what a clock shows that runs right.
func (p *Panel) world() time.Time {
	if p.config.Now != nil {
		return p.config.Now()
	}
	return time.Now()
}

func (p *Panel) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory.identity.PanelID
}

// signer signs as this panel.
func (p *Panel) signer() panel.Signer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return panel.Signer{Name: p.memory.identity.PanelID, Key: ed25519.NewKeyFromSeed(p.memory.identity.Key)}
}

// enrol asks the engine again and again until it answers. A key is made once and
// kept, so that a lost answer can be asked for again.
func (p *Panel) enrol(ctx context.Context) error {
	if p.hasEnrolled() {
		return nil
	}
	key, err := p.ownKey()
	if err != nil {
		return err
	}
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		answer, trusted, err := p.askToEnrol(ctx, key)
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			id := &identity{PanelID: answer.PanelID, Key: key.Seed(), EngineKeys: trusted, CodeHash: panel.HashEnrolmentCode(p.config.EnrolmentCode),
				Entrances: answer.Entrances, TimeZone: answer.TimeZone, Kind: answer.Kind, Slots: answer.Slots, EncryptionKey: p.memory.identity.EncryptionKey}
			if err := p.keep(entry{Identity: id}); err != nil {
				return err
			}
			if err := p.adopt(answer.Keys); err != nil {
				return err
			}
			return p.takeEnrolled(answer)
		}
		if _, refused := panel.AsError(err); refused {
			return fmt.Errorf("the panel cannot enrol with this code: %w", err)
		}
		p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the engine does not answer; the panel tries again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// hasEnrolled reports whether there is nothing to enrol: the panel has an identity
// and was not given another code since.
func (p *Panel) hasEnrolled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, code := p.memory.identity, p.config.EnrolmentCode
	return id != nil && id.PanelID != "" && (code == "" || len(id.CodeHash) == 0 || bytes.Equal(id.CodeHash, panel.HashEnrolmentCode(code)))
}

// ownKey is the key to enrol with. It is on disk before the engine hears of it.
func (p *Panel) ownKey() (ed25519.PrivateKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory.identity == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if p.encryption, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
		encryption, err := p.encryption.Bytes()
		if err != nil {
			return nil, err
		}
		if err := p.keep(entry{Identity: &identity{Key: key.Seed(), EncryptionKey: encryption}}); err != nil {
			return nil, err
		}
	}
	return ed25519.NewKeyFromSeed(p.memory.identity.Key), nil
}

func (p *Panel) askToEnrol(ctx context.Context, key ed25519.PrivateKey) (panel.EnrolAnswer, panel.TrustedKeys, error) {
	address := p.config.Address
	if address == "" && !p.config.Poll {
		address = p.URL()
	}
	var encryption *ecdsa.PublicKey
	if p.encryption != nil { // an old state file has none: then the panel can only be a door
		encryption = &p.encryption.PublicKey
	}
	token, id, err := panel.SignEnrolment(key, encryption, p.config.EnrolmentCode, address, p.now())
	if err != nil {
		return panel.EnrolAnswer{}, nil, err
	}
	document, err := p.send(ctx, "/panel/v1/enrol", token)
	if err != nil {
		return panel.EnrolAnswer{}, nil, err
	}
	answer, _, err := panel.OpenEnrolled(ctx, document, p.config.EnrolmentCode, id, p.now())
	if err != nil {
		return answer, nil, err
	}
	trusted, err := panel.Trust(answer.EngineKeys)
	return answer, trusted, err
}

// keep writes steps to the journal and then believes them. The caller holds mu.
func (p *Panel) keep(steps ...entry) error {
	if err := p.journal.write(steps...); err != nil {
		return err
	}
	for _, e := range steps {
		p.memory.apply(e)
	}
	return nil
}

// take applies grants, each of another id, by revision (P3). The caller holds mu.
func (p *Panel) take(grants []panel.Grant) error {
	var newer []entry
	for _, g := range grants {
		if known, ok := p.memory.grants[g.GrantID]; !ok || known.Revision < g.Revision {
			newer = append(newer, entry{Grant: &g})
		}
	}
	if err := p.keep(newer...); err != nil {
		return err
	}
	for _, e := range newer {
		p.learnCodes(*e.Grant)
	}
	return nil
}
