package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"latchkey/activities"
	"latchkey/internal/access"
	"latchkey/internal/email"
	"latchkey/internal/store"
	"latchkey/internal/web"
)

// guestPages are what a guest sees in a browser: the invitation behind its link (I2
// to I4) and their guest keys (I6, I7, I9).
func (s *service) guestPages(engine *gin.Engine) {
	engine.GET("/i/:token", s.forAnyone(s.invitationPage))
	engine.POST("/i/:token/accept", s.forSignedIn(func(ctx context.Context, v *visitor) error {
		return s.pressAnswer(ctx, v, (*service).acceptMyInvitation)
	}))
	engine.POST("/i/:token/decline", s.forSignedIn(func(ctx context.Context, v *visitor) error {
		return s.pressAnswer(ctx, v, (*service).declineMyInvitation)
	}))
	engine.GET("/guest", s.forSignedIn(func(ctx context.Context, v *visitor) error { return s.guestPage(ctx, v, web.GuestNotice{}) }))
	engine.POST("/guest/:id/accept", s.forSignedIn(s.pressing((*service).acceptMyInvitation, web.NoticeAccepted)))
	engine.POST("/guest/:id/decline", s.forSignedIn(s.pressing((*service).declineMyInvitation, web.NoticeDeclined)))
	engine.POST("/guest/:id/leave", s.forSignedIn(s.pressing((*service).leaveGuestKey, web.NoticeLeft)))
	engine.POST("/guest/:id/unlock", s.forSignedIn(s.pressUnlock))
	engine.POST("/guest/:id/verification", s.forSignedIn(s.pressVerify))
	engine.GET("/guest/:id/verification", s.forSignedIn(s.tapPage))
}

// invitationPage is where the link in an invitation leads (I2). Looking at it
// changes nothing, so that a mail scanner may.
func (s *service) invitationPage(ctx context.Context, v *visitor) error {
	now := time.Now()
	inv, err := s.Store.InvitationByToken(ctx, v.Param("token"), now)
	if missing(err) {
		web.InvitationNotFoundPage(v.Writer, v.Request)
		return nil
	}
	if err != nil {
		return err
	}
	view := web.InvitationView{
		State: inv.Invitation.StateAt(now), InviterName: inv.Inviter.Name, PropertyName: inv.PropertyName, EntranceNames: entranceNames(inv),
		StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End, ExpiresAt: inv.Invitation.ExpiresAt,
		Zone: inv.Zone, Locale: inv.Guest.Locale, Path: "/i/" + v.Param("token"),
	}
	if v.personID != "" {
		person, err := s.Store.Identity(ctx, v.personID)
		if err != nil {
			return err
		}
		view.SignedInAs, view.Theirs = person.Email, email.Equal(person.Email, inv.Guest.Email)
	}
	web.InvitationPage(v.Writer, v.Request, view)
	return nil
}

func entranceNames(inv store.Invitation) (names []string) {
	for _, e := range inv.Entrances {
		names = append(names, e.Name)
	}
	return names
}

// answering accepts or declines for the signed-in guest.
type answering func(s *service, ctx context.Context, in *ByID) (*entity[Invitation], error)

// pressAnswer answers the invitation behind a link. Who has accepted is led to their
// guest keys (I16); everybody else sees where the invitation stands.
func (s *service) pressAnswer(ctx context.Context, v *visitor, answer answering) error {
	inv, err := s.Store.InvitationByToken(ctx, v.Param("token"), time.Now())
	if missing(err) {
		web.InvitationNotFoundPage(v.Writer, v.Request)
		return nil
	}
	if err != nil {
		return err
	}
	answered, err := answer(s, as(ctx, v), &ByID{ID: inv.Invitation.ID})
	if err != nil {
		switch problemOf(s.explain(ctx, err)).Status {
		case http.StatusConflict, http.StatusGone, http.StatusForbidden: // the page says which
			v.seeOther("/i/" + v.Param("token"))
			return nil
		}
		return err
	}
	if answered.Body.State == string(access.InvitationAccepted) {
		v.seeOther(afterSignIn)
	} else {
		v.seeOther("/i/" + v.Param("token"))
	}
	return nil
}

// as is the context of a call of the API that a page makes for its visitor.
func as(ctx context.Context, v *visitor) context.Context {
	return context.WithValue(ctx, keyCaller, caller{personID: v.personID, sessionID: v.sessionID})
}

// pressing answers an invitation from the list of guest keys.
func (s *service) pressing(answer answering, done string) func(context.Context, *visitor) error {
	return func(ctx context.Context, v *visitor) error {
		if _, err := answer(s, as(ctx, v), &ByID{ID: v.Param("id")}); err != nil {
			p := problemOf(s.explain(ctx, err))
			return s.guestPage(ctx, v, web.GuestNotice{Code: p.Code, Status: p.Status})
		}
		return s.guestPage(ctx, v, web.GuestNotice{Code: done})
	}
}

// pressUnlock opens an entrance (I7). Sending the same form again, as a reload does,
// is the same press (E2).
func (s *service) pressUnlock(ctx context.Context, v *visitor) error {
	entranceID := v.form("entrance_id")
	notice := web.GuestNotice{Code: web.NoticeUnlocked}
	index, err := s.Store.PersonIndex(ctx, v.personID)
	if err != nil {
		return err
	}
	q := activities.UnlockRequest{GuestIndex: index, InvitationID: v.Param("id"), EntranceID: entranceID}
	if press := v.form("press"); press != "" {
		q.Keyed = pressOf([]byte(v.personID), []byte(q.InvitationID), []byte(entranceID), []byte(press))
	}
	if err := whileUnderWay(ctx, func() error { _, err := s.unlock(ctx, q); return err }); err != nil {
		p := problemOf(s.explain(ctx, err))
		notice.Code, notice.Status = p.Code, p.Status
	}
	if notice.Entrance, err = s.entranceOfMine(as(ctx, v), q.InvitationID, entranceID); err != nil {
		return err
	}
	return s.guestPage(ctx, v, notice)
}

// entranceOfMine is the name of an entrance in an invitation of the signed-in guest,
// whatever has become of it; of any other entrance it is what was asked for (E8).
func (s *service) entranceOfMine(ctx context.Context, invitationID, entranceID string) (string, error) {
	inv, err := s.mine(ctx, invitationID, time.Now())
	if missing(err) {
		return entranceID, nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range inv.Entrances {
		if e.ID == entranceID {
			return e.Name, nil
		}
	}
	return entranceID, nil
}

// pressOf is the idempotency key of a form as it was shown (E2).
func pressOf(parts ...[]byte) activities.Keyed {
	k := activities.Keyed{Scope: idempotencyPublicCallers, RequestHash: hash(parts...)}
	k.Key = hash([]byte("page"), k.RequestHash)
	return k
}

// whileUnderWay waits for the first press of a button that was pressed twice in a
// moment: the browser shows only the second answer.
func whileUnderWay(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, store.ErrInProgress) {
			return err
		}
		select {
		case <-time.After(underWayPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pressVerify gets a tap token and shows it to the panel (I9).
func (s *service) pressVerify(ctx context.Context, v *visitor) error {
	token, err := s.startGuestVerification(as(ctx, v), &startVerificationInput{ByID: ByID{ID: v.Param("id")}})
	if err != nil {
		p := problemOf(s.explain(ctx, err))
		return s.guestPage(ctx, v, web.GuestNotice{Code: p.Code, Status: p.Status})
	}
	person, err := s.Store.Identity(ctx, v.personID)
	if err != nil {
		return err
	}
	web.TapPage(v.Writer, v.Request, web.TapView{
		InvitationID: v.Param("id"), Token: token.Body.TapToken, State: store.VerificationPending, Locale: person.Locale,
	})
	return nil
}

// tapPage says what came of the latest tap.
func (s *service) tapPage(ctx context.Context, v *visitor) error {
	now := time.Now()
	inv, err := s.mine(as(ctx, v), v.Param("id"), now)
	if err != nil {
		return err
	}
	attempt, err := s.verificationAttempt(ctx, inv, now)
	if missing(err) {
		v.seeOther(afterSignIn)
		return nil
	}
	if err != nil {
		return err
	}
	person, err := s.Store.Identity(ctx, v.personID)
	if err != nil {
		return err
	}
	view := web.TapView{InvitationID: inv.Invitation.ID, State: attempt.Body.State, Locale: person.Locale}
	for _, e := range attempt.Body.YourEntrances {
		view.Yours = append(view.Yours, web.GuestEntrance{ID: e.EntranceID, Name: e.Name, Directions: e.Directions})
	}
	web.TapPage(v.Writer, v.Request, view)
	return nil
}

// guestPage shows the guest keys with what came of the button that was pressed.
func (s *service) guestPage(ctx context.Context, v *visitor, notice web.GuestNotice) error {
	person, err := s.Store.Identity(ctx, v.personID)
	if err != nil {
		return err
	}
	view := web.GuestView{Email: person.Email, Locale: person.Locale, Notice: notice, Press: rand.Text()}
	if err := s.fillGuestKeys(ctx, v.personID, &view); err != nil {
		return err
	}
	web.GuestPage(v.Writer, v.Request, view)
	return nil
}

// fillGuestKeys lists what waits for the guest's answer and what they have accepted.
func (s *service) fillGuestKeys(ctx context.Context, personID string, view *web.GuestView) error {
	now := time.Now()
	index, err := s.Store.PersonIndex(ctx, personID)
	if err != nil {
		return err
	}
	list := func(state access.InvitationState) ([]store.Invitation, error) {
		found, _, err := s.Store.ListInvitations(ctx, store.InvitationFilter{GuestIndex: index, State: state}, store.Page{Limit: guestKeysMost}, now)
		return found, err
	}
	waiting, err := list(access.InvitationInvited)
	if err != nil {
		return err
	}
	for _, inv := range waiting {
		view.Waiting = append(view.Waiting, web.WaitingInvitation{
			ID: inv.Invitation.ID, InviterName: inv.Inviter.Name, PropertyName: inv.PropertyName, EntranceNames: entranceNames(inv),
			StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End, ExpiresAt: inv.Invitation.ExpiresAt, Zone: inv.Zone,
		})
	}
	accepted, err := list(access.InvitationAccepted)
	if err != nil {
		return err
	}
	places := map[string]int{}
	for _, inv := range accepted {
		id := inv.Invitation.PropertyID
		if _, known := places[id]; !known {
			places[id] = len(view.Locations)
			view.Locations = append(view.Locations, web.GuestLocation{ID: id, Name: inv.PropertyName})
		}
		at := &view.Locations[places[id]]
		at.Keys = append(at.Keys, guestKeyOf(inv, now))
	}
	return nil
}

func guestKeyOf(inv store.Invitation, now time.Time) web.GuestKey {
	key := web.GuestKey{
		InvitationID: inv.Invitation.ID, InviterName: inv.Inviter.Name, StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End,
		Zone: inv.Zone, Verification: access.VerificationAt(inv.Facts, now),
	}
	for _, e := range inv.Entrances {
		key.Entrances = append(key.Entrances, web.GuestEntrance{
			ID: e.ID, Name: e.Name, Directions: e.Directions, Decision: access.Decide(inv.Facts, e.Entrance, now),
		})
	}
	return key
}
