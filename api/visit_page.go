package api

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/store"
	"latchkey/internal/web"
)

// visitPages are the booking URL (K3) and what its forms are sent to.
func (s *service) visitPages(engine *gin.Engine) {
	engine.GET("/r/:token", s.visitForm(0, 0, func(context.Context, *gin.Context) (web.VisitNotice, error) { return web.VisitNotice{}, nil }))
	engine.POST("/r/:token/pickup", s.visitForm(maxFormBytes, handlerTimeout, s.pressPickUp))
	engine.POST("/r/:token/dropoff", s.visitForm(maxFormBytes, handlerTimeout, s.pressDropOff))
	engine.POST("/r/:token/photo-id", s.visitForm(maxUploadBytes, photoReadTimeout+handlerTimeout, s.uploadPhoto))
}

const (
	// maxFormBytes is the largest form without a file.
	maxFormBytes = 16 << 10
	// maxUploadBytes is up to where a photo that is too large is taken in and thrown
	// away: a browser shows the answer only after it has sent everything.
	maxUploadBytes = 64 << 20
)

// visitForm does what a form asks for and shows the page with what came of it. Who
// has the page's address may do it: the address is the secret, no cookie is, so
// that another site cannot press the buttons.
func (s *service) visitForm(limit int64, within time.Duration, press func(context.Context, *gin.Context) (web.VisitNotice, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), max(within, handlerTimeout))
		defer cancel()
		c.Writer.Header().Del("Content-Security-Policy") // the page has its own
		if limit > 0 {
			if err := http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(max(within-handlerTimeout, bodyReadTimeout))); err != nil {
				abort(c, problemOf(s.explain(ctx, err)))
				return
			}
			c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
		}
		notice, err := press(ctx, c)
		if err != nil {
			notice = noticeOf(s.explain(ctx, err))
		}
		s.visitPage(ctx, c, notice)
	}
}

// noticeOf is a problem as a page shows it.
func noticeOf(err error) web.VisitNotice {
	p := problemOf(err)
	return web.VisitNotice{Code: p.Code, Status: p.Status}
}

func (s *service) visitPage(ctx context.Context, c *gin.Context, notice web.VisitNotice) {
	now := time.Now()
	token := c.Param("token")
	r, err := s.Store.ReservationByToken(ctx, token, now)
	if missing(err) {
		web.VisitNotFoundPage(c.Writer, c.Request)
		return
	}
	var boxes []store.SmartBox
	if err == nil {
		boxes, err = s.Store.SmartBoxes(ctx, r.Reservation.AccountID)
	}
	if err != nil {
		abort(c, problemOf(s.explain(ctx, err)))
		return
	}
	i := &r.Reservation
	view := web.VisitView{
		State: i.StateAt(now), PropertyName: r.PropertyName, KeyName: r.KeyName, HostName: r.Host.Name, Code: r.Code, AccessNotes: r.AccessNotes,
		StartsAt: i.Plan.Window.Start, EndsAt: i.Plan.Window.End, Zone: r.Zone, Locale: r.Visitor.Locale,
		Pickup: access.DecidePickup(r.KeyFacts, now), HasKey: r.VisitorHasKey(), Document: i.Document.State(), IDReason: r.IDReason,
		Path: "/r/" + token, Press: rand.Text(), Notice: notice,
	}
	if r.Retired { // no box knows the reservation any more
		boxes = nil
	}
	for _, b := range boxes {
		view.Boxes = append(view.Boxes, web.VisitBox(b))
	}
	web.VisitPage(c.Writer, c.Request, view)
}

func (s *service) pressPickUp(ctx context.Context, c *gin.Context) (web.VisitNotice, error) {
	return s.pressSlot(ctx, c, activities.Pickup, web.NoticePickupOpened)
}

func (s *service) pressDropOff(ctx context.Context, c *gin.Context) (web.VisitNotice, error) {
	return s.pressSlot(ctx, c, activities.DropOff, web.NoticeDropOffOpened)
}

// pressSlot opens a slot. Sending the same form again, as a reload does, is the same
// press (E2); another number is another one.
func (s *service) pressSlot(ctx context.Context, c *gin.Context, purpose activities.Purpose, opened string) (web.VisitNotice, error) {
	if err := c.Request.ParseForm(); err != nil {
		return web.VisitNotice{Code: codeBodyTooLarge, Status: http.StatusBadRequest}, nil
	}
	field := func(name string) string { return strings.ReplaceAll(c.Request.PostForm.Get(name), " ", "") }
	q := activities.SlotRequest{Token: c.Param("token"), Purpose: purpose, PanelID: field("panel_id"), PanelCode: field("panel_code")}
	if purpose == activities.Pickup {
		q.PanelID = ""
	}
	if press := field("press"); press != "" {
		q.Keyed = pressOf([]byte(q.Token), []byte(purpose), []byte(press), []byte(q.PanelID), []byte(q.PanelCode))
	}
	slot := 0
	err := whileUnderWay(ctx, func() error {
		answer, err := s.openSlotFor(ctx, q)
		if err == nil {
			slot = answer.Body.Slot
		}
		return err
	})
	if err != nil {
		return web.VisitNotice{}, err
	}
	return web.VisitNotice{Code: opened, Slot: slot}, nil
}

// underWayPause is between two looks whether the first press has come to its end.
const underWayPause = 100 * time.Millisecond

// uploadPhoto takes the photo ID out of the form (K7).
func (s *service) uploadPhoto(ctx context.Context, c *gin.Context) (web.VisitNotice, error) {
	body, err := photoPart(c.Request)
	if err != nil {
		return web.VisitNotice{}, err
	}
	if body == nil {
		return web.VisitNotice{Code: web.NoticePhotoMissing, Status: http.StatusUnprocessableEntity}, nil
	}
	err = s.submitPhoto(ctx, c.Param("token"), body)
	if _, drained := io.Copy(io.Discard, c.Request.Body); err == nil {
		err = drained
	}
	return web.VisitNotice{Code: web.NoticePhotoReceived}, err
}

// photoPart finds the file of a form without keeping any of it; nil if there is
// none.
func photoPart(r *http.Request) (io.Reader, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return nil, nil //nolint:nilerr,nilnil // what is no form has no photo; the page says so
	}
	form := multipart.NewReader(r.Body, params["boundary"])
	for range 10 { // more fields than the form has
		part, err := form.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil //nolint:nilnil // no photo
		case err != nil:
			return nil, newProblem(http.StatusBadRequest, "invalid", "The form ended before it was complete. Send it again.")
		case part.FormName() == "photo" && part.FileName() != "":
			return part, nil
		}
	}
	return nil, nil //nolint:nilnil // no photo among what was sent
}
