package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/internal/store"
)

// metrics are what /metrics shows. Labels are route templates and never paths,
// so that they neither grow without end nor hold a token.
type metrics struct {
	registry  *prometheus.Registry
	durations *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "latchkey_http_request_duration_seconds",
			Help:    "How long requests took, by method, route and status.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
	}
	m.registry.MustRegister(m.durations, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// panelGauges counts panels when somebody asks. What cannot be counted in time is
// left out, so that a busy database does not take the other metrics with it.
type panelGauges struct {
	count func(ctx context.Context) (store.PanelTotals, error)
}

var (
	panelsGauge  = prometheus.NewDesc("latchkey_panels", "How many enrolled panels there are, by presence.", []string{"state"}, nil)
	pendingGauge = prometheus.NewDesc("latchkey_panel_pending", "How much panels have yet to confirm, by kind.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (g *panelGauges) Describe(to chan<- *prometheus.Desc) {
	to <- panelsGauge
	to <- pendingGauge
}

// Collect implements prometheus.Collector.
func (g *panelGauges) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	t, err := g.count(ctx)
	if err != nil {
		return
	}
	to <- prometheus.MustNewConstMetric(panelsGauge, prometheus.GaugeValue, float64(t.Online), "online")
	to <- prometheus.MustNewConstMetric(panelsGauge, prometheus.GaugeValue, float64(t.Offline), "offline")
	to <- prometheus.MustNewConstMetric(pendingGauge, prometheus.GaugeValue, float64(t.PendingGrants), "grants")
	to <- prometheus.MustNewConstMetric(pendingGauge, prometheus.GaugeValue, float64(t.PendingPolicies), "policies")
}

func (m *metrics) observe(method, template string, status int, took time.Duration) {
	if !knownMethod(method) {
		method = "other"
	}
	m.durations.WithLabelValues(method, template, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	default:
		return false
	}
}
