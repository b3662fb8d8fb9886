package api

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/internal/web"
)

// mutePage is where the List-Unsubscribe of an unlock notice leads (I7). Looking at
// it changes nothing, so that a mail scanner may.
func (s *service) mutePage(c *gin.Context) { s.showMute(c, s.Store.UnlocksMuted) }

// mute switches unlock notices off: by the page's button, or by a mail program's
// own (RFC 8058). Who has the page's address may do it; no cookie is asked.
func (s *service) mute(c *gin.Context) {
	s.showMute(c, func(ctx context.Context, token string) (string, bool, error) {
		locale, err := s.Store.MuteUnlocks(ctx, token, time.Now())
		return locale, err == nil, err
	})
}

func (s *service) showMute(c *gin.Context, act func(ctx context.Context, token string) (locale string, muted bool, err error)) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), handlerTimeout)
	defer cancel()
	c.Writer.Header().Del("Content-Security-Policy") // the page has its own
	locale, muted, err := act(ctx, c.Param("token"))
	switch {
	case missing(err):
		web.MuteNotFoundPage(c.Writer, c.Request)
	case err != nil:
		abort(c, problemOf(s.explain(ctx, err)))
	default:
		web.MutePage(c.Writer, c.Request, web.MuteView{Locale: locale, Muted: muted, Path: "/mute/" + c.Param("token")})
	}
}
