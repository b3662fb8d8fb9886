package panelsim

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strconv"

	"latchkey/internal/panel"
)

//go:embed page.html page.css page.js
var pageFiles embed.FS

var page = template.Must(template.ParseFS(pageFiles, "page.html"))

// pageView is what the page shows: the panel, and what became of the last tap, code
// or hand.
type pageView struct {
	simState
	TapResult string
	TapSaid   string
}

var codeSays = map[string]string{
	reasonWrongCode:             "This code is not known here.",
	reasonLockedOut:             "Too many wrong codes. Wait, or open the slot from your phone.",
	reasonNotYet:                "It is too early to pick up.",
	reasonEnded:                 "The reservation has ended. The key can be returned, but not picked up.",
	"reservation_revoked":       "The reservation was revoked. The key can be returned, but not picked up.",
	"visitor_id_required":       "A photo ID has to be confirmed first. Use the booking URL.",
	reasonKeyNotHere:            "The key is not here. It is not available yet.",
	reasonNoFreeSlot:            "All slots are taken. Return the key at another SmartBox.",
	string(panel.ResultRefused): "The panel is set to refuse everything.",
}

var tapSays = map[string]string{
	"verified":       "Verified.",
	"wrong_entrance": "This is not one of your entrances. Your phone shows where to go.",
	"expired":        "This token is not valid (any more). Ask for a new one.",
}

func (p *Panel) getPage(w http.ResponseWriter, _ *http.Request) { p.showPage(w, pageView{}) }

// postPage does what the page's forms ask for: hold a phone to the panel, type a
// code, put a hand into an open slot.
func (p *Panel) postPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	view := pageView{TapResult: "refused", TapSaid: "Paste the tap token that the phone shows."}
	switch {
	case r.PostFormValue("tap_token") != "":
		view.TapResult, view.TapSaid = p.tapFromPage(r, r.PostFormValue("tap_token"))
	case r.PostForm.Has("code"):
		view.TapResult, view.TapSaid = p.codeFromPage(r.PostFormValue("code"), panel.Purpose(r.PostFormValue("op")))
	case r.PostForm.Has("slot"):
		view.TapResult, view.TapSaid = p.handFromPage(r.PostFormValue("slot"), r.PostFormValue("key_id"))
	}
	p.showPage(w, view)
}

// codeFromPage types a code and says what came of it, in a sentence.
func (p *Panel) codeFromPage(code string, op panel.Purpose) (result, said string) {
	if no := p.takesCodes(code, op); no != nil {
		return "refused", no.detail
	}
	v, err := p.typeCode(code, op)
	switch {
	case err != nil:
		return "refused", "The panel could not write its state."
	case v.Slot > 0:
		return "verified", fmt.Sprintf("Slot %d is open.", v.Slot)
	case v.Reason == reasonNotYet:
		return "refused", codeSays[v.Reason] + " From " + v.From.Format("2006-01-02 15:04 UTC") + "."
	default:
		return "refused", codeSays[v.Reason]
	}
}

// handFromPage takes a key out of an open slot or puts one in.
func (p *Panel) handFromPage(slot, key string) (result, said string) {
	n, err := strconv.Atoi(slot)
	if err != nil {
		return "refused", "This panel has no such slot."
	}
	if no := p.moved(n, key); no != nil {
		return "refused", no.detail
	}
	if key == "" {
		return "verified", fmt.Sprintf("The key is out of slot %d.", n)
	}
	return "verified", fmt.Sprintf("The key is in slot %d.", n)
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
