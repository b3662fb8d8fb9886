package panelsim

import (
	"embed"
	"html/template"
	"net/http"
	"path"
	"slices"

	"latchkey/internal/panel"
)

//go:embed page.html page.css page.js
var pageFiles embed.FS

var page = template.Must(template.ParseFS(pageFiles, "page.html"))

// pageView is what the page shows: the panel, and what became of the last tap.
type pageView struct {
	simState
	TapResult string
	TapSaid   string
}

var tapSays = map[string]string{
	"verified":       "Verified.",
	"wrong_entrance": "This is not one of your entrances. Your phone shows where to go.",
	"expired":        "This token is not valid (any more). Ask for a new one.",
}

func (p *Panel) getPage(w http.ResponseWriter, _ *http.Request) { p.showPage(w, pageView{}) }

// postPage holds a phone to the panel from the page's form.
func (p *Panel) postPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	view := pageView{TapResult: "refused", TapSaid: "Paste the tap token that the phone shows."}
	if token := r.PostFormValue("tap_token"); token != "" {
		view.TapResult, view.TapSaid = p.tapFromPage(r, token)
	}
	p.showPage(w, view)
}

// tapFromPage holds a phone to the panel and says what came of it, in a sentence.
func (p *Panel) tapFromPage(r *http.Request, token string) (result, said string) {
	answer, done, err := p.hold(r.Context(), token, r.PostFormValue("entrance_id"))
	refusal, refused := panel.AsError(err)
	switch {
	case refused:
		return "refused", refusal.Detail
	case err != nil:
		return "refused", "The engine did not answer. Hold the phone to the panel again."
	case done.Result == panel.ResultOpened:
		return answer.Result, "Verified. The door is open."
	case answer.Command != nil:
		return "refused", "Verified, but the door stays closed. " + done.Reason
	default:
		return answer.Result, tapSays[answer.Result]
	}
}

func (p *Panel) showPage(w http.ResponseWriter, view pageView) {
	view.simState = p.state()
	slices.Reverse(view.Opened)
	slices.Reverse(view.Denied)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, view) // the template is tested; what can fail is the connection
}

// getPageFile serves the style sheet or the script.
func getPageFile(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, path.Base(r.URL.Path))
}
