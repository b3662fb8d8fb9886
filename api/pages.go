package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"latchkey/internal/web"
)

// pages are the routes that are no calls of the API: what an operator and a
// developer look at.
func (s *service) pages(engine *gin.Engine, document *huma.OpenAPI) error {
	description, err := published(document)
	if err != nil {
		return fmt.Errorf("openapi document: %w", err)
	}
	engine.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", description) })

	docs := docsPage()
	engine.GET("/docs", docs)
	engine.GET("/docs/*asset", docs)

	engine.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	engine.GET("/readyz", s.readiness)
	engine.GET("/metrics", gin.WrapH(s.metrics.handler()))

	assets := gin.WrapH(web.Assets())
	engine.GET("/assets/*file", cacheable, assets)
	engine.HEAD("/assets/*file", cacheable, assets)
	s.visitPages(engine)
	s.signInPages(engine)
	s.guestPages(engine)
	engine.GET("/mute/:token", s.mutePage)
	engine.POST("/mute/:token", s.mute)
	if s.Outbox {
		engine.GET("/dev/outbox", s.outbox)
	}
	return nil
}

// published is the document as it is served: without huma's own keyword for
// messages, which strict readers of OpenAPI refuse.
func published(document *huma.OpenAPI) ([]byte, error) {
	raw, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	drop(tree, "patternDescription")
	return json.Marshal(tree)
}

// drop removes a member from all objects of a JSON tree.
func drop(tree any, member string) {
	switch node := tree.(type) {
	case map[string]any:
		delete(node, member)
		for _, child := range node {
			drop(child, member)
		}
	case []any:
		for _, child := range node {
			drop(child, member)
		}
	}
}

// cacheable lifts no-store from what holds nothing personal.
func cacheable(c *gin.Context) {
	c.Writer.Header().Del("Cache-Control")
	c.Writer.Header().Del("Content-Security-Policy")
	c.Next()
}

// docsPage is Swagger UI from the program itself. Its policy lets it load from
// this server and nowhere else, and run only the scripts it came with: those
// inside the page are named by their hashes.
func docsPage() gin.HandlerFunc {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{Title: "Latchkey API", SwaggerJSON: "/openapi.json", BasePath: "/docs/"})
	rendered := &pageBuffer{header: http.Header{}}
	ui.ServeHTTP(rendered, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/docs/"}})
	page := rendered.Bytes()

	scripts := []string{"script-src 'self'"}
	for _, script := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(script[1])
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	policy := strings.Join([]string{
		"default-src 'none'", strings.Join(scripts, " "),
		"style-src 'self' 'unsafe-inline'", // Swagger UI writes styles into its elements
		"img-src 'self' data:", "font-src 'self'", "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
	return func(c *gin.Context) {
		c.Header("Content-Security-Policy", policy)
		if asset := c.Param("asset"); asset != "" && asset != "/" {
			ui.ServeHTTP(c.Writer, c.Request)
			return
		}
		c.Data(http.StatusOK, "text/html; charset=utf-8", page)
	}
}

// pageBuffer takes a page that is rendered once, at the start.
type pageBuffer struct {
	bytes.Buffer
	header http.Header
}

func (b *pageBuffer) Header() http.Header { return b.header }
func (b *pageBuffer) WriteHeader(int)     {}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// readinessTimeout is how long one part may take to say that it can work.
const readinessTimeout = 2 * time.Second

// readiness answers 200 if every part can work and 503 with the parts that
// cannot. Why is in the log.
func (s *service) readiness(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readinessTimeout)
	defer cancel()
	status, parts := http.StatusOK, gin.H{}
	for _, check := range s.Ready {
		parts[check.Name] = "ok"
		if err := check.Ask(ctx); err != nil {
			status, parts[check.Name] = http.StatusServiceUnavailable, "unavailable"
			s.Logger.WarnContext(ctx, "not ready", slog.String("part", check.Name), slog.Any("error", err))
		}
	}
	c.JSON(status, gin.H{"ready": status == http.StatusOK, "parts": parts})
}
