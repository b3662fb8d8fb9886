package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/temporal"

	"latchkey/internal/postgres"
)

// Namespace is where all of Latchkey's workflows live.
const Namespace = "latchkey"

// Config says where the server runs.
type Config struct {
	Postgres     *postgres.Cluster
	FrontendPort int    // of 127.0.0.1; 0: a free one
	UIAddr       string // host:port of the web UI; empty: none
}

// Server is a running Temporal server with its web UI.
type Server struct {
	server temporal.Server
	ui     *webUI // nil without one
	port   int
	log    *slog.Logger
	logger *logger
	stop   sync.Once
}

// Start brings the schema and the namespace up to date, starts the server and
// waits until its frontend answers. Trouble that a person can put right, such as
// a port that is taken, is a sentence that says what to do. ctx bounds the start
// only.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := portIsFree(cfg.UIAddr, "give --temporal-ui another address"); err != nil {
		return nil, err
	}
	if cfg.FrontendPort != 0 {
		if err := portIsFree(localAddr(cfg.FrontendPort), "give --temporal-port another one"); err != nil {
			return nil, err
		}
	}
	ports, err := choosePorts(cfg.FrontendPort)
	if err != nil {
		return nil, err
	}
	s := &Server{port: ports.frontend, log: log, logger: newLogger(log)}
	if err := s.launch(ctx, cfg.Postgres, ports); err != nil {
		s.Stop()
		return nil, err
	}
	if cfg.UIAddr != "" {
		if s.ui, err = startUI(cfg.UIAddr, s.HostPort(), log); err != nil {
			s.Stop()
			return nil, err
		}
	}
	s.logger.phase.settled.Store(true)
	return s, nil
}

// launch prepares the databases, starts the services and waits for the frontend.
func (s *Server) launch(ctx context.Context, pg *postgres.Cluster, p ports) error {
	err := s.logger.guard(ctx, func() error { return prepareDatabases(ctx, pg, s.logger) })
	if err != nil {
		return err
	}
	err = s.logger.guard(ctx, func() (err error) {
		if s.server, err = newTemporal(pg.Login(), p, s.logger); err != nil {
			return err
		}
		return s.server.Start()
	})
	if err != nil {
		return fmt.Errorf("start Temporal: %w", err)
	}
	return s.awaitFrontend(ctx)
}

func (s *Server) awaitFrontend(ctx context.Context) error {
	c, err := client.NewLazyClient(client.Options{HostPort: s.HostPort(), Namespace: Namespace, Logger: sdklog.NewStructuredLogger(s.log)})
	if err != nil {
		return fmt.Errorf("make a client of Temporal: %w", err)
	}
	defer c.Close()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Temporal's frontend: %w: %s", errors.Join(ctx.Err(), err), s.logger.lastWords())
		case <-again.C:
		}
	}
}

// HostPort is where clients reach the frontend.
func (s *Server) HostPort() string { return localAddr(s.port) }

// Namespace is the namespace that clients use.
func (s *Server) Namespace() string { return Namespace }

// UIURL is the address of the web UI for a browser, empty without one.
func (s *Server) UIURL() string {
	if s.ui == nil {
		return ""
	}
	return s.ui.url
}

// stopWithin is how long Stop waits for requests that are under way.
const stopWithin = 8 * time.Second

// Stop stops the UI and the services, each after the ones that depend on it, and
// returns when they are down or after 8 seconds. What was acknowledged is in the
// database in either case. Stopping twice does nothing more.
func (s *Server) Stop() { s.stop.Do(s.shutDown) }

func (s *Server) shutDown() {
	s.logger.phase.settled.Store(false)
	if s.ui != nil {
		s.ui.stop()
	}
	if s.server == nil {
		return
	}
	done := make(chan error, 1)
	go func() { done <- s.server.Stop() }()
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("Temporal did not stop in good order", slog.Any("error", err))
		}
	case <-time.After(stopWithin):
		s.log.Warn("Temporal is still stopping and is left to itself")
	}
}

func localAddr(port int) string { return net.JoinHostPort(localhost, strconv.Itoa(port)) }
