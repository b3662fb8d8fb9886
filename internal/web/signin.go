package web

import (
	"net/http"
	"slices"
)

// SignInView is the page on which a person signs in with a code from an email. It
// asks for the address first and, once there is an Attempt, for the code. Next is
// the path of this server to go on to; it is the caller's to check. Notice is a code of the
// API that came of the last form, empty if none.
type SignInView struct {
	Email   string
	Attempt string
	Next    string
	Notice  string
	Status  int // of the answer; 0: 200
}

// signInNotices are the codes that have a sentence of their own.
var signInNotices = []string{"invalid", "invalid_code", "rate_limited"}

type signInContent struct {
	Language string
	Title    string
	Lead     string
	Notice   string
	Good     bool
	Labels   map[string]string
	View     SignInView
}

// SignInPage asks for an address, or for the code that was sent to it. It says the
// same whether or not there is an account.
func SignInPage(w http.ResponseWriter, r *http.Request, v SignInView) {
	say, err := voice(r, "")
	if err != nil {
		fail(w, r, "sign_in", err)
		return
	}
	lead := "sign_in.lead"
	if v.Attempt != "" {
		lead = "sign_in.lead_code"
	}
	c := signInContent{Language: say.Language(), Title: say.Say("sign_in.title", nil), Lead: say.Say(lead, v), View: v, Labels: map[string]string{}}
	for _, label := range []string{"email", "send_code", "code", "sign_in", "another_code", "hint"} {
		c.Labels[label] = say.Say("sign_in.label."+label, nil)
	}
	if v.Notice != "" {
		code := v.Notice
		if !slices.Contains(signInNotices, code) {
			code = noticeFailed
		}
		c.Notice = say.Say("sign_in.notice."+code, nil)
	}
	if err := say.Err(); err != nil {
		fail(w, r, "sign_in", err)
		return
	}
	page{template: "sign_in.html", status: max(v.Status, http.StatusOK), styles: ownStyles, forms: true, language: say.Language(), data: c}.show(w, r)
}

// FailurePage says that something did not work and that nothing was changed, with a
// way back to a path of this server.
func FailurePage(w http.ResponseWriter, r *http.Request, status int, back string) {
	say, err := voice(r, "")
	if err != nil {
		fail(w, r, "failure", err)
		return
	}
	section := "failure.other"
	switch status {
	case http.StatusNotFound:
		section = "failure.not_found"
	case http.StatusForbidden:
		section = "failure.forbidden"
	case http.StatusServiceUnavailable:
		section = "failure.unavailable"
	}
	c := struct{ Language, Title, Lead, Back, BackLabel string }{
		say.Language(), say.Say(section+".title", nil), say.Say(section+".lead", nil), back, say.Say("failure.back", nil),
	}
	if err := say.Err(); err != nil {
		fail(w, r, "failure", err)
		return
	}
	page{template: "failure.html", status: status, styles: ownStyles, language: say.Language(), data: c}.show(w, r)
}
