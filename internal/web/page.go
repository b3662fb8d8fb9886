package web

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/internal/notify/wording"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed locales/*.toml
var locales embed.FS

var templates = template.Must(template.New("").
	Funcs(template.FuncMap{"asset": assetURL}).
	ParseFS(templateFiles, "templates/*.html"))

var catalog = sync.OnceValues(func() (*wording.Catalog, error) { return wording.Load(locales) })

// policy is what every page is allowed to load: its own style sheet, icon and manifest.
const policy = "default-src 'none'; img-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// page is one response: a template, what it shows, and under which style policy.
type page struct {
	template string
	status   int
	styles   string // Content-Security-Policy directives for styles
	forms    bool   // the page has forms, all to this server
	language string // Content-Language, if not English
	data     any
}

// ownStyles allows the style sheet and nothing inline.
const ownStyles = "style-src 'self'"

// show renders first and writes then, so that a failure is a whole error page and
// never half a page.
func (p page) show(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := templates.ExecuteTemplate(&body, p.template, p.data); err != nil {
		fail(w, r, p.template, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	forms := "form-action 'none'"
	if p.forms {
		forms = "form-action 'self'"
	}
	h.Set("Content-Security-Policy", policy+"; "+forms+"; "+p.styles)
	h.Set("X-Content-Type-Options", "nosniff")
	// Addresses of pages hold secrets, and pages hold personal data.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	if p.language != "" {
		h.Set("Content-Language", p.language)
		h.Add("Vary", "Accept-Language")
	}
	write(w, r, p.status, body.Bytes())
}

// fact is a line of what an item is about.
type fact struct{ Label, Value string }

// instantOr writes an instant in a zone, or the phrase that stands for none.
func instantOr(say *wording.Voice, at time.Time, zone *time.Location, none string) string {
	if at.IsZero() {
		return say.Say(none, nil)
	}
	if zone == nil {
		zone = time.UTC
	}
	return say.Instant(at, zone)
}

// notFoundPage answers a link whose secret nobody knows, in the words of a section.
func notFoundPage(w http.ResponseWriter, r *http.Request, section string) {
	say, err := voice(r, "")
	if err != nil {
		fail(w, r, section, err)
		return
	}
	shown := invitationContent{
		Language: say.Language(),
		Title:    say.Say(section+".title", nil),
		Next:     []string{say.Say(section+".lead", nil), say.Say(section+".next", nil)},
	}
	if err := say.Err(); err != nil {
		fail(w, r, section, err)
		return
	}
	page{template: "invitation.html", status: http.StatusNotFound, styles: ownStyles, language: say.Language(), data: shown}.show(w, r)
}

// fail logs what went wrong and tells the reader only that something did.
func fail(w http.ResponseWriter, r *http.Request, what string, err error) {
	slog.ErrorContext(r.Context(), "page not rendered", slog.String("page", what), slog.Any("error", err))
	http.Error(w, "Something went wrong on our side. Please try again in a moment.", http.StatusInternalServerError)
}

// write sends a response. A reader who has gone away is not an error of ours, but
// worth a line when looking for one.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		slog.DebugContext(r.Context(), "response not delivered", slog.Any("error", err))
	}
}

// voice speaks the language of the person's record, or else of their browser.
func voice(r *http.Request, locale string) (*wording.Voice, error) {
	messages, err := catalog()
	if err != nil {
		return nil, err
	}
	return messages.In(strings.TrimSpace(locale), r.Header.Get("Accept-Language")), nil
}
