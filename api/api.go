package api

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// Config is what the API needs from the rest of the program.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	// Items are the workflows that own invitations.
	Items Items
	// Reservations are the workflows that own reservations.
	Reservations Reservations
	// Doors opens entrances and slots.
	Doors Doors
	// Engine is who the engine is to panels; enrolment codes are bound to its newest key (P1).
	Engine panel.EngineKeys

	// Clock is what messages of panels are judged and answered by; time.Now if nil.
	Clock func() time.Time

	// Stopping ends when the process begins to stop: panels that wait for messages are
	// answered then. None: they wait on.
	Stopping context.Context

	// Outbox shows /dev/outbox, with everything that was sent in it. Set it only
	// while the outbox is the configured sender.
	Outbox bool
	// PrivateWebhooks lets webhooks lead to private addresses, and over plain HTTP.
	PrivateWebhooks bool
	// SendGridKey verifies what SendGrid reports about email (nil: there are no reports).
	SendGridKey *ecdsa.PublicKey
	// Version and BaseURL, where callers reach the API, are shown in the OpenAPI document.
	Version string
	BaseURL string
	// Ready are the parts that /readyz asks: the database, Temporal.
	Ready []Check
	// TrustedProxies are the networks (CIDR) whose X-Forwarded-For is believed.
	// Without any, the network address of a caller is the connection's.
	TrustedProxies []string
}

// Check asks one part of the system whether it can work.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// service answers the calls of the route table.
type service struct {
	Config
	metrics  *metrics
	creating chan struct{} // a slot per creation under way: half the processors at most
}

// New builds the handler of the whole API. The error says which part of the
// configuration is missing or wrong.
func New(config Config) (http.Handler, error) {
	if config.Store == nil || config.Logger == nil || config.Items == nil || config.Reservations == nil || config.Doors == nil || config.Engine == nil {
		return nil, errors.New("api: Store, Logger, Items, Reservations, Doors and Engine are needed")
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	s := &service{Config: config, metrics: newMetrics(), creating: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	s.metrics.registry.MustRegister(&panelGauges{count: func(ctx context.Context) (store.PanelTotals, error) { return s.Store.CountPanels(ctx, time.Now()) }})
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	if err := engine.SetTrustedProxies(config.TrustedProxies); err != nil {
		return nil, fmt.Errorf("api: TrustedProxies: %w", err)
	}
	engine.Use(s.identify, s.record, s.recover, secure)
	engine.NoRoute(func(c *gin.Context) { abort(c, noRoute()) })
	engine.NoMethod(func(c *gin.Context) { abort(c, noMethod(c)) })

	described := humagin.New(engine, s.description())
	for _, r := range s.routes() {
		r.register(s, described)
	}
	describeWebhooks(described.OpenAPI())
	if err := s.pages(engine, described.OpenAPI()); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return engine, nil
}

// The limits of the server. An answer may take as long as the longest poll of a
// panel and what it does afterwards; a body has its own limit, in readBody.
const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// Server is an HTTP server for the handler with limits on what a slow or hostile
// client can hold. It has no read timeout on purpose: it would cut off panels
// that wait for their commands.
func Server(handler http.Handler, addr string) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: readHeaderTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// description is the part of the OpenAPI document that is not in the routes.
func (s *service) description() huma.Config {
	var servers []*huma.Server
	if s.BaseURL != "" {
		servers = append(servers, &huma.Server{URL: s.BaseURL})
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Servers: servers,
			Info: &huma.Info{
				Title:       "Latchkey",
				Version:     s.Version,
				Description: "Access to shared entrances and physical keys: invitations, verification, unlocking.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					schemeKey:     {Type: "http", Scheme: "bearer", Description: "An API key of an account. What it may do is in its scopes."},
					schemeSession: {Type: "http", Scheme: "bearer", Description: "The session token of a signed-in guest, from POST /v1/sign-in."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		Transformers:                 []huma.Transformer{bare},
		RejectUnknownQueryParameters: true,
	}
}
