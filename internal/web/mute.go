package web

import "net/http"

// MuteView is whether a member still gets unlock notices by email. Path is where the
// form goes.
type MuteView struct {
	Locale string
	Muted  bool
	Path   string
}

// MutePage asks whether unlock notices are to be switched off, or says that they are.
func MutePage(w http.ResponseWriter, r *http.Request, v MuteView) {
	say, err := voice(r, v.Locale)
	if err != nil {
		fail(w, r, "mute", err)
		return
	}
	section := "mute.ask"
	if v.Muted {
		section = "mute.done"
	}
	shown := struct {
		Language, Title, Lead, Button, Path string
	}{Language: say.Language(), Title: say.Say(section+".title", nil), Lead: say.Say(section+".lead", nil)}
	if !v.Muted {
		shown.Button, shown.Path = say.Say("mute.button", nil), v.Path
	}
	if err := say.Err(); err != nil {
		fail(w, r, "mute", err)
		return
	}
	page{template: "mute.html", status: http.StatusOK, styles: ownStyles, forms: true, language: say.Language(), data: shown}.show(w, r)
}

// MuteNotFoundPage says that a link leads nowhere, with status 404.
func MuteNotFoundPage(w http.ResponseWriter, r *http.Request) { notFoundPage(w, r, "unknown_mute") }
