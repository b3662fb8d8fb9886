package e2e

import (
	"bytes"
	"html"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// page is what a browser without JavaScript gets.
func (k *keyStage) page(method, at, contentType string, body io.Reader) (status int, text string) {
	k.t.Helper()
	request := must(http.NewRequestWithContext(k.ctx, method, k.url+at, body))(k.t)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response := must(http.DefaultClient.Do(request))(k.t)
	content := must(io.ReadAll(response.Body))(k.t)
	if err := response.Body.Close(); err != nil {
		k.t.Fatal(err)
	}
	return response.StatusCode, html.UnescapeString(string(content))
}

var pressField = regexp.MustCompile(`name="press" value="([^"]+)"`)

// press sends the form of a page as it was shown.
func (k *keyStage) press(shown, at, panelCode string) (status int, text string) {
	k.t.Helper()
	found := pressField.FindStringSubmatch(shown)
	if found == nil {
		k.t.Fatalf("the page has no form:\n%s", shown)
	}
	form := url.Values{"press": {found[1]}, "panel_code": {panelCode}}
	return k.page(http.MethodPost, at, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

func (k *keyStage) number() string {
	return must(k.play.BoxPanel.Get(k.ctx, "/sim"))(k.t).Body.Text("number")
}

// upload sends the photo form.
func (k *keyStage) upload(at string, content []byte) (status int, text string) {
	k.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part := must(form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="photo"; filename="id.jpg"`}, "Content-Type": {"image/jpeg"},
	}))(k.t)
	must(part.Write(content))(k.t)
	if err := form.Close(); err != nil {
		k.t.Fatal(err)
	}
	return k.page(http.MethodPost, at, form.FormDataContentType(), &body)
}

// TestVisitPage is the booking URL in a browser without JavaScript: photo ID (K7),
// pickup and return by the number on the box (P10), a reload that opens nothing
// again (E2), and the words for what cannot be done.
func TestVisitPage(t *testing.T) {
	t.Parallel()
	k := newKeyStage(t)
	r := k.reserve(map[string]any{"require_visitor_id": true, "access_notes": "Ring at the kiosk."})
	id, code := r.Text("id"), r.Text("code")
	at := "/r/" + path.Base(r.Text("url"))
	k.confirmed(id)
	expect := func(status int, text string, want int, says string) {
		t.Helper()
		if status != want || !strings.Contains(text, says) {
			t.Fatalf("the page answers %d, want %d and %q in\n%s", status, want, says, text)
		}
	}
	status, shown := k.page(http.MethodGet, at, "", nil)
	expect(status, shown, http.StatusOK, "needs to see a photo ID")
	expect(status, shown, http.StatusOK, code)
	if strings.Contains(shown, at+"/pickup") {
		t.Error("K7: picking up is offered before the photo ID is confirmed")
	}

	status, text := k.upload(at+"/photo-id", nil)
	expect(status, text, http.StatusUnprocessableEntity, "neither JPEG nor PNG")
	status, text = k.upload(at+"/photo-id", make([]byte, 20<<20))
	expect(status, text, http.StatusUnprocessableEntity, "larger than 10 MB")
	status, text = k.page(http.MethodPost, at+"/photo-id", "application/x-www-form-urlencoded", strings.NewReader("photo=1"))
	expect(status, text, http.StatusUnprocessableEntity, "There was no photo")
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 600, 400)), nil); err != nil {
		t.Fatal(err)
	}
	status, text = k.upload(at+"/photo-id", photo.Bytes())
	expect(status, text, http.StatusOK, "Thank you. Your photo ID has arrived.")
	k.ask(http.MethodPost, "/v1/reservations/"+id+"/id-check", map[string]any{"decision": "confirm"}, http.StatusOK)
	k.confirmed(id)

	_, shown = k.page(http.MethodGet, at, "", nil)
	status, text = k.press(shown, at+"/pickup", "000000")
	expect(status, text, http.StatusForbidden, "not the number that the SmartBox shows")
	number := k.number()
	status, text = k.press(shown, at+"/pickup", number)
	expect(status, text, http.StatusOK, "Slot 1 is open. Take the key")
	status, text = k.press(shown, at+"/pickup", number)
	expect(status, text, http.StatusOK, "Slot 1 is open. Take the key")
	k.until("the one opening in the log", func() bool {
		return len(k.ask(http.MethodGet, "/v1/events?type=slot.opened&item_id="+id, nil, http.StatusOK).List("items")) == 1
	})
	k.hand(1, nil)
	k.until("the key with the visitor", func() bool {
		_, shown = k.page(http.MethodGet, at, "", nil)
		return strings.Contains(shown, "You have the key")
	})
	status, text = k.press(shown, at+"/dropoff", k.number())
	expect(status, text, http.StatusOK, "Put the key in")
	k.hand(1, k.play.Key)
	k.until("the key back", func() bool {
		_, shown = k.page(http.MethodGet, at, "", nil)
		return strings.Contains(shown, "You can pick it up now")
	})

	k.ask(http.MethodPost, "/v1/reservations/"+id+"/revoke", nil, http.StatusOK)
	status, text = k.press(shown, at+"/pickup", k.number())
	expect(status, text, http.StatusForbidden, "this access has been withdrawn")
	status, text = k.page(http.MethodGet, "/r/nobody", "", nil)
	expect(status, text, http.StatusNotFound, "does not lead to a reservation")
	status, text = k.page(http.MethodPost, "/r/nobody/pickup", "application/x-www-form-urlencoded", strings.NewReader("panel_code=1"))
	expect(status, text, http.StatusNotFound, "does not lead to a reservation")
}
