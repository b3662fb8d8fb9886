package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"latchkey/internal/keyset"
	"latchkey/internal/store"
	"latchkey/panelsim"
)

// newLogger logs ids and sentences to standard error, nothing personal (E7).
func (l Log) newLogger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.LogLevel)); err != nil {
		level = slog.LevelInfo // the flag allows only levels that parse
	}
	options := &slog.HandlerOptions{Level: level}
	if l.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// Keys is the file with the keys to everything that is encrypted.
type Keys struct {
	Keyset string `help:"The keyset file. Lose it and the data is lost." type:"path" required:""`
}

// API is the role that serves the HTTP API and the pages.
type API struct {
	Log
	Outside
	Keys
	Serving
	Webhooks
	Messages
}

// Run serves until ctx ends.
func (c *API) Run(ctx context.Context) error {
	if _, err := c.webhookKey(); err != nil {
		return err
	}
	return runRole(ctx, c.Log, c.Outside, c.Keys, func(e *engine) error {
		listener, err := listen("--listen", c.Listen)
		if err != nil {
			return err
		}
		return e.startAPI(listener, c.Serving, c.Messages, c.Webhooks)
	})
}

// Worker is the role that runs workflows and activities.
type Worker struct {
	Log
	Outside
	Keys
	Webhooks
	Messages
	BaseURL string `help:"How links in messages begin." required:"" placeholder:"URL"`
}

// Run works until ctx ends.
func (c *Worker) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	return runRole(ctx, c.Log, c.Outside, c.Keys, func(e *engine) error {
		baseURL, err := Serving{BaseURL: c.BaseURL}.baseURL()
		if err != nil {
			return err
		}
		senders, err := c.senders(ctx, e.store, baseURL)
		if err != nil {
			return err
		}
		e.startWorker(baseURL, senders, c.Webhooks)
		return nil
	})
}

// runRole opens what every role needs, starts the role and waits.
func runRole(ctx context.Context, l Log, outside Outside, keys Keys, start func(e *engine) error) (err error) {
	e := &engine{log: l.newLogger()}
	defer func() { err = errors.Join(err, e.stop()) }()
	if outside.DatabaseURL == "" {
		return errors.New("set DATABASE_URL to the PostgreSQL database of the engine")
	}
	loaded, err := keyset.Load(keys.Keyset)
	if err != nil {
		return err
	}
	if err := e.openStore(ctx, outside.DatabaseURL, loaded); err != nil {
		return err
	}
	options, err := temporalOptions()
	if err != nil {
		return err
	}
	if err := e.dialTemporal(options); err != nil {
		return err
	}
	if err := start(e); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// temporalOptions reads Temporal's own configuration: profile file and TEMPORAL_*.
func temporalOptions() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("read the TEMPORAL_* variables: %w", err)
	}
	return options, nil
}

// dialTemporal makes the client. It does not wait for Temporal to answer.
func (e *engine) dialTemporal(options client.Options) error {
	options.Logger = sdklog.NewStructuredLogger(e.log.With(slog.String("part", "temporal")))
	c, err := client.NewLazyClient(options)
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	e.temporal = c
	e.onStop(func(context.Context) error { c.Close(); return nil })
	return nil
}

// listen takes an address, or says which flag to change.
func listen(flag, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %s cannot be used: stop what uses it, or give %s another address (%w)", flag, address, flag, err)
	}
	return listener, nil
}

// Migrate brings the schema up to date.
type Migrate struct {
	Outside
	Keyset  string `help:"Make this keyset file if there is none." type:"path"`
	Account string `help:"Make this account with an admin key if there is no account yet." default:"Latchkey"`
	APIKey  string `name:"api-key-file" help:"Where to write the first admin key." type:"path"`
}

// Run migrates and stops. With a keyset and a key file it also makes the first
// account, so that an outside database is ready for the other roles.
func (c *Migrate) Run(ctx context.Context) error {
	if c.DatabaseURL == "" {
		return errors.New("set DATABASE_URL to the PostgreSQL database of the engine")
	}
	if err := store.Migrate(ctx, c.DatabaseURL); err != nil {
		return err
	}
	if c.Keyset == "" {
		return nil
	}
	keys, _, err := openKeyset(c.Keyset)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, c.DatabaseURL, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	if c.APIKey == "" {
		return nil
	}
	return firstAccount(ctx, s, c.Account, c.APIKey)
}

// Panelsim is one simulated panel.
type Panelsim struct {
	Log
	Engine  string `help:"The engine's address." required:"" placeholder:"URL"`
	Enrol   string `help:"The enrolment code; not needed once enrolled." placeholder:"CODE"`
	Addr    string `name:"listen" help:"Where the panel listens." default:"127.0.0.1:9000"`
	Address string `help:"Where the engine reaches the panel; the listening address if not given." placeholder:"URL"`
	Poll    bool   `help:"Announce no address and fetch messages from the engine, as a panel behind a firewall does."`
	State   string `help:"Where the panel keeps its identity and grants." type:"path" placeholder:"FILE"`
}

// Run is the panel until ctx ends.
func (c *Panelsim) Run(ctx context.Context) error {
	p, err := panelsim.New(panelsim.Config{EngineURL: c.Engine, EnrolmentCode: c.Enrol, Listen: c.Addr, Address: c.Address, Poll: c.Poll, StateFile: c.State, Logger: c.newLogger()})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}
