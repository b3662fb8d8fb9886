package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"latchkey/internal/keyset"
	"latchkey/internal/postgres"
	"latchkey/internal/store"
	"latchkey/internal/temporalserver"
)

// Up runs everything in one process.
type Up struct {
	Log
	Outside
	Serving
	Webhooks
	Messages
	Data         string `help:"Where everything is kept." type:"path" default:".latchkey"`
	TemporalUI   string `name:"temporal-ui" help:"Where the Temporal UI listens." default:"127.0.0.1:8233"`
	TemporalPort int    `help:"The port of Temporal's frontend on 127.0.0.1; 0 takes a free one." default:"0"`
	Demo         bool   `help:"Add a demo property with simulated panels."`
}

// up is a running Up: the engine and what it stands on.
type up struct {
	engine
	settings *Up
	baseURL  string
	urls     []string // what to tell the person who started it
}

// Run starts everything, prints the addresses and a line that begins with
// "ready", and serves until ctx ends. A second start on the same directory goes
// on where the first stopped.
func (c *Up) Run(ctx context.Context) (err error) {
	baseURL, err := c.baseURL()
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // Temporal allocates much and keeps little: half the collections cost a few megabytes
	}
	u := &up{engine: engine{log: c.newLogger()}, settings: c, baseURL: baseURL}
	defer func() { err = errors.Join(err, u.stop()) }()
	begin := time.Now()
	if err := u.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it was starting
		}
		return err
	}
	for _, url := range u.urls {
		fmt.Println(url)
	}
	fmt.Printf("ready after %.1f s\n", time.Since(begin).Seconds())
	<-ctx.Done()
	fmt.Println("stopping")
	return nil
}

func (u *up) start(ctx context.Context) error {
	listener, err := listen("--listen", u.settings.Listen)
	if err != nil {
		return err
	}
	u.onStop(func(context.Context) error { return ignoreClosed(listener.Close()) })
	if err := u.lock(); err != nil {
		return err
	}
	keys, made, err := openKeyset(filepath.Join(u.settings.Data, "keyset.json"))
	if err != nil {
		return err
	}
	if made {
		fmt.Printf("made %s: the key to everything that is encrypted. Keep a copy of it elsewhere; lose it and the data is lost.\n", u.inData("keyset.json"))
	}
	if err := u.startDatabases(ctx, keys); err != nil {
		return err
	}
	if err := firstAccount(ctx, u.store, "Latchkey", filepath.Join(u.settings.Data, "api-key")); err != nil {
		return err
	}
	senders, err := u.settings.senders(ctx, u.store, u.baseURL)
	if err != nil {
		return err
	}
	u.startWorker(u.baseURL, senders, u.settings.Webhooks)
	if err := u.startAPI(listener, u.settings.Serving, u.settings.Messages, u.settings.Webhooks); err != nil {
		return err
	}
	u.say("API", u.baseURL, "documentation at /docs")
	if u.settings.outbox() {
		u.say("Messages", u.baseURL+"/dev/outbox", "what would have been sent")
	}
	u.say("API key", u.inData("api-key"), "for Authorization: Bearer")
	if u.settings.Demo {
		return u.startDemo(ctx)
	}
	return nil
}

// say adds a line to what is printed when all is serving.
func (u *up) say(what, where, note string) {
	u.urls = append(u.urls, fmt.Sprintf("%-12s %s  (%s)", what, where, note))
}

func (u *up) inData(name string) string { return filepath.Join(u.settings.Data, name) }

// lock makes the data directory this process's own.
func (u *up) lock() error {
	if err := os.MkdirAll(u.settings.Data, 0o755); err != nil {
		return fmt.Errorf("--data %s cannot be made: %w", u.settings.Data, err)
	}
	lock, err := postgres.LockDataDir(u.settings.Data)
	if err != nil {
		return err
	}
	u.onStop(func(context.Context) error { return lock.Release() })
	return nil
}

// startDatabases starts what is not given from outside: PostgreSQL, then the
// store and Temporal side by side, since both are in it.
func (u *up) startDatabases(ctx context.Context, keys *keyset.Keyset) error {
	dsn := u.settings.DatabaseURL
	temporalOutside := os.Getenv("TEMPORAL_ADDRESS") != ""
	var cluster *postgres.Cluster
	if dsn == "" || !temporalOutside {
		started, err := postgres.Start(ctx, u.settings.Data, u.log)
		if err != nil {
			return err
		}
		cluster = started
		u.onStop(cluster.Stop)
	}
	if dsn == "" {
		dsn = cluster.DSN("latchkey")
	}
	options, err := temporalOptions()
	if err != nil {
		return err
	}
	if !temporalOutside {
		server, err := temporalserver.Start(ctx, temporalserver.Config{
			Postgres: cluster, FrontendPort: u.settings.TemporalPort, UIAddr: u.settings.TemporalUI,
		}, u.log)
		if err != nil {
			return err
		}
		u.onStop(func(context.Context) error { server.Stop(); return nil })
		options.HostPort, options.Namespace = server.HostPort(), server.Namespace()
		u.say("Temporal UI", server.UIURL(), "every item and its history")
		u.say("Temporal", server.HostPort(), "frontend, namespace "+server.Namespace())
	}
	if err := u.openStore(ctx, dsn, keys); err != nil {
		return err
	}
	return u.dialTemporal(options)
}

// openKeyset loads the keyset or makes a new one.
func openKeyset(path string) (keys *keyset.Keyset, made bool, err error) {
	keys, err = keyset.Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	keys, err = keyset.Create(path)
	return keys, err == nil, err
}

// firstAccount makes the first account with an admin key in a file that only its
// owner can read. Where there is an account already, nothing happens. The file is
// written before the key counts, so that a crash leaves no key nobody knows.
func firstAccount(ctx context.Context, s *store.Store, name, keyFile string) error {
	exists, err := s.HasAccount(ctx)
	if err != nil || exists {
		return err
	}
	_, err = s.CreateAccount(ctx, name, func(secret string) error { return writeFile(keyFile, secret+"\n") }, time.Now())
	if err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	return nil
}

// writeFile replaces a file by one that only its owner can read.
func writeFile(path, text string) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
