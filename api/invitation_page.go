package api

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/internal/web"
)

// invitationPage is where the link in an invitation leads (I2). Looking at it
// changes nothing, so that a mail scanner may.
func (s *service) invitationPage(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), handlerTimeout)
	defer cancel()
	c.Writer.Header().Del("Content-Security-Policy") // the page has its own
	now := time.Now()
	inv, err := s.Store.InvitationByToken(ctx, c.Param("token"), now)
	switch {
	case missing(err):
		web.InvitationNotFoundPage(c.Writer, c.Request)
		return
	case err != nil:
		abort(c, problemOf(s.explain(ctx, err)))
		return
	}
	view := web.InvitationView{
		State: inv.Invitation.StateAt(now), InviterName: inv.Inviter.Name, PropertyName: inv.PropertyName,
		StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End, ExpiresAt: inv.Invitation.ExpiresAt,
		Zone: inv.Zone, Locale: inv.Guest.Locale,
	}
	for _, e := range inv.Entrances {
		view.EntranceNames = append(view.EntranceNames, e.Name)
	}
	web.InvitationPage(c.Writer, c.Request, view)
}
