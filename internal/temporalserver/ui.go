package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/temporalio/ui-server/v2/server"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// webUI is Temporal's own web UI, its pages embedded in its package.
type webUI struct {
	server *server.Server
	url    string
	ended  chan struct{}
}

// startUI serves the UI on addr, for the frontend at temporalAddr. No other
// site's pages may call it, and it asks nobody for news or newer versions.
func startUI(addr, temporalAddr string, log *slog.Logger) (*webUI, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("read the address of the Temporal UI: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("read the port of the Temporal UI: %w", err)
	}
	if port == 0 {
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	cfg := &config.Config{
		TemporalGRPCAddress: temporalAddr,
		Host:                host,
		Port:                port,
		EnableUI:            true,
		DefaultNamespace:    Namespace,
		DisableNewsFetch:    true,
		NotifyOnNewVersion:  false,
		HideLogs:            true,
		// The page is plain HTTP on this machine; a Secure cookie would not come back.
		CORS: config.CORS{CookieInsecure: true},
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the Temporal UI: %w", err)
	}
	ui := &webUI{
		server: server.NewServer(server_options.WithConfigProvider(cfg)),
		url:    "http://" + net.JoinHostPort(host, strconv.Itoa(port)),
		ended:  make(chan struct{}),
	}
	go func() {
		defer close(ui.ended)
		if err := ui.server.Start(); err != nil {
			log.Error("the Temporal UI ended", slog.Any("error", err))
		}
	}()
	return ui, ui.await()
}

// await returns when the UI answers.
func (ui *webUI) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui.url+"/healthz", nil)
		if err != nil {
			return fmt.Errorf("ask the Temporal UI: %w", err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the Temporal UI: %w", errors.Join(ctx.Err(), err))
		case <-ui.ended:
			return fmt.Errorf("start the Temporal UI: %w", err)
		case <-again.C:
		}
	}
}

func (ui *webUI) stop() {
	ui.server.Stop()
	<-ui.ended
}
