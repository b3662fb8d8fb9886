package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"latchkey/activities"
	"latchkey/api"
	"latchkey/internal/delivery"
	"latchkey/internal/keyset"
	"latchkey/internal/notify"
	"latchkey/internal/panel"
	"latchkey/internal/store"
	"latchkey/worker"
	"latchkey/workflows"
)

// engine is what one process runs. Parts are added by start functions and stopped
// in the opposite order.
type engine struct {
	log      *slog.Logger
	store    *store.Store
	temporal client.Client
	panels   *api.PanelDriver
	stops    []func(ctx context.Context) error
}

// stopTimeout is how long a clean stop may take (Ctrl-C drains within 10 seconds).
const stopTimeout = 10 * time.Second

// onStop remembers how to stop a part.
func (e *engine) onStop(stop func(ctx context.Context) error) { e.stops = append(e.stops, stop) }

// stop stops all parts, the last started first. Each is tried, whatever became of
// the others.
func (e *engine) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var failed []error
	for n := len(e.stops) - 1; n >= 0; n-- {
		failed = append(failed, e.stops[n](ctx))
	}
	return errors.Join(failed...)
}

// openStore migrates and opens the database and makes the engine's own key.
func (e *engine) openStore(ctx context.Context, dsn string, keys *keyset.Keyset) error {
	if err := store.Migrate(ctx, dsn); err != nil {
		return fmt.Errorf("bring the database up to date: %w", err)
	}
	opened, err := store.Open(ctx, dsn, keys)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	e.store = opened
	e.onStop(func(context.Context) error { opened.Close(); return nil })
	keysInUse := api.StoredKeys{Store: opened}
	if _, err := keysInUse.Keyring(ctx); err != nil {
		return fmt.Errorf("the engine's key: %w", err)
	}
	e.panels = &api.PanelDriver{Client: panel.NewClient(panel.Engine{}), Reach: api.Reach{Store: opened, Keys: keysInUse}}
	return nil
}

// background runs a loop until the engine stops.
func (e *engine) background(run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { run(ctx) })
	e.onStop(func(context.Context) error {
		cancel()
		done.Wait()
		return nil
	})
}

// startWorker serves workflows and activities and runs the loops beside them. It
// keeps trying while Temporal is away: what must not wait, the doors, does not
// need it (E9).
func (e *engine) startWorker(baseURL string, senders notify.Senders, webhooks Webhooks) {
	write := &writer{store: e.store, baseURL: baseURL}
	a := &activities.Activities{
		Records: e.store, Grants: e.store, Panels: e.panels, Clock: time.Now,
		Messages: &delivery.Delivery{Store: e.store, Senders: senders, Write: write.compose, Clock: time.Now, Log: e.log},
	}
	items := e.items()
	e.background(func(ctx context.Context) { e.serveWorkflows(ctx, a) })
	e.background((&worker.Dispatcher{Wakeups: e.store, Waker: items, Clock: time.Now, Log: e.log}).Run)
	e.background((&worker.Sweeper{Claims: e.store, Creator: items, Clock: time.Now, Log: e.log}).Run)
	e.background((&worker.Presence{Panels: e.store, Clock: time.Now, Log: e.log}).Run)
	e.background(e.serveWebhooks(webhooks))
	e.background((&worker.Replanner{Plans: e.store, Editor: items, Clock: time.Now, Log: e.log}).Run)
	e.background((&worker.Teller{Changes: e.store, Clock: time.Now, Log: e.log}).Run)
	e.background((&worker.Remover{Removals: e.store, Mover: items, Clock: time.Now, Log: e.log}).Run)
}

// items is the way to the workflows.
func (e *engine) items() *workflows.Client {
	return &workflows.Client{Temporal: e.temporal, Reservation: e.store.ReservationFacts}
}

// serveWorkflows starts the worker as soon as Temporal answers.
func (e *engine) serveWorkflows(ctx context.Context, a *activities.Activities) {
	for waited := false; ; waited = true {
		w := worker.New(e.temporal, a)
		err := w.Start()
		if err == nil {
			<-ctx.Done()
			w.Stop()
			return
		}
		if !waited {
			e.log.LogAttrs(ctx, slog.LevelWarn, "Temporal does not answer yet; the worker waits for it", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// startAPI serves the API and the pages on listener.
func (e *engine) startAPI(listener net.Listener, serving Serving, messages Messages, webhooks Webhooks) error {
	baseURL, err := serving.baseURL()
	if err != nil {
		return err
	}
	webhookKey, err := messages.webhookKey()
	if err != nil {
		return err
	}
	opener := activities.NewOpener(e.store, e.panels, time.Now, e.log)
	e.onStop(func(context.Context) error { opener.Wait(); return nil })
	stopping, stop := context.WithCancel(context.Background())
	e.onStop(func(context.Context) error { stop(); return nil })
	handler, err := api.New(api.Config{
		Stopping: stopping,
		Store:    e.store, Logger: e.log, Outbox: messages.outbox(), SendGridKey: webhookKey, Version: Version, TrustedProxies: serving.TrustedProxies,
		Items: e.items(), Reservations: e.items(),
		Doors:   opener,
		Engine:  e.panels.Reach.Keys,
		BaseURL: baseURL, PrivateWebhooks: webhooks.WebhooksAllowPrivate,
		Ready: []api.Check{
			{Name: "database", Ask: e.store.Ping},
			{Name: "temporal", Ask: e.askTemporal},
		},
	})
	if err != nil {
		return err
	}
	server := api.Server(handler, listener.Addr().String())
	server.RegisterOnShutdown(stop)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	e.onStop(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout/2)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil { // somebody waits longer than we can
			return errors.Join(server.Close(), <-failed)
		}
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

// askTemporal reports whether Temporal can be reached now.
func (e *engine) askTemporal(ctx context.Context) error {
	_, err := e.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}
