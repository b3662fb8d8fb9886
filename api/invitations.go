package api

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/email"
	"latchkey/internal/store"
	"latchkey/workflows"
)

// Items is the way to the workflows that own invitations; *workflows.Client
// satisfies it. A call returns when its change is durable, with a rule's refusal,
// [workflows.ErrClosed] or [workflows.ErrUnavailable].
type Items interface {
	CreateInvitation(ctx context.Context, s access.Invitation) error
	AcceptInvitation(ctx context.Context, id, updateID string) error
	DeclineInvitation(ctx context.Context, id, updateID string) error
	EditInvitation(ctx context.Context, id, updateID string, q workflows.EditRequest) error
	ResendInvitation(ctx context.Context, id, updateID string, q workflows.ResendRequest) error
	RevokeInvitation(ctx context.Context, id, updateID string, q workflows.RevokeRequest) error
	LeaveInvitation(ctx context.Context, id, updateID string) error
	RequireVerification(ctx context.Context, id, updateID string, q workflows.ActorRequest) error
}

// NewInviter is a member who may be new.
type NewInviter struct {
	Name  string `json:"name" minLength:"1" maxLength:"200"`
	Email string `json:"email" minLength:"1" maxLength:"320"`
}

// NewGuest is the person to invite.
type NewGuest struct {
	Name   string `json:"name" minLength:"1" maxLength:"200"`
	Email  string `json:"email" minLength:"1" maxLength:"320"`
	Locale string `json:"locale,omitempty" maxLength:"35" default:"en" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" patternDescription:"a language tag like en or ja"`
}

// CorrectedGuest is a mistyped address put right.
type CorrectedGuest struct {
	Email string `json:"email" minLength:"1" maxLength:"320" doc:"The right address, while the invitation is unanswered"`
}

type createInvitationInput struct {
	Body struct {
		PropertyID  string      `json:"property_id" minLength:"1" maxLength:"64"`
		InviterID   string      `json:"inviter_id,omitempty" maxLength:"64" doc:"The member who invites; or give inviter"`
		Inviter     *NewInviter `json:"inviter,omitempty" doc:"Made a member of the property if new"`
		Guest       NewGuest    `json:"guest"`
		EntranceIDs []string    `json:"entrance_ids" minItems:"1" maxItems:"100" uniqueItems:"true"`
		StartsAt    *string     `json:"starts_at,omitempty" maxLength:"40" doc:"RFC 3339, or local to the property without an offset; none: at once" example:"2026-12-01T15:00"`
		EndsAt      *string     `json:"ends_at,omitempty" maxLength:"40" doc:"None: until revoked" example:"2026-12-03T11:00"`
	} `nameHint:"CreateInvitation"`
}

// createInvitation claims the invitation in Postgres, then starts its workflow. If
// the workflow cannot be started the claim is given up, so that nothing is half
// done (E2, E6).
func (s *service) createInvitation(ctx context.Context, in *createInvitationInput) (*entity[Invitation], error) {
	b := &in.Body
	if (b.InviterID == "") == (b.Inviter == nil) {
		return nil, directory.Invalid("body.inviter", "Say who invites: give either inviter_id or inviter with name and email.")
	}
	property, err := s.Store.Property(ctx, accountID(ctx), b.PropertyID)
	if err != nil {
		return nil, err
	}
	window, err := windowIn(property.TimeZone, access.Window{}, b.StartsAt, b.EndsAt)
	if err != nil {
		return nil, err
	}
	if !window.End.IsZero() && !window.End.After(time.Now()) {
		return nil, directory.Invalid("body.ends_at", "ends_at has passed already. Give an end in the future.")
	}
	n := store.NewInvitation{
		AccountID: accountID(ctx), PropertyID: b.PropertyID, InviterID: b.InviterID, EntranceIDs: b.EntranceIDs, Window: window,
		Guest: directory.Person{Name: b.Guest.Name, Email: b.Guest.Email, Locale: b.Guest.Locale},
	}
	if b.Inviter != nil {
		n.Inviter = directory.Person{Name: b.Inviter.Name, Email: b.Inviter.Email}
	}
	select { // doors first: creating many must not slow down one that is to open
	case s.creating <- struct{}{}:
		defer func() { <-s.creating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	claimed, err := s.Store.ClaimInvitation(ctx, n, claimOf(ctx).forStore(), time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.Items.CreateInvitation(ctx, claimed); err != nil {
		if recorded := s.giveUpClaim(ctx, claimed.ID, s.Store.ReleaseInvitation); !recorded {
			return nil, err
		}
	}
	return s.showInvitation(ctx, claimed.ID)
}

// giveUpClaim releases a claim and reports whether it was recorded after all.
func (s *service) giveUpClaim(ctx context.Context, id string, release func(context.Context, string) (bool, error)) (recorded bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	released, err := release(ctx, id)
	if err != nil { // the sweeper will find it
		return false
	}
	return !released
}

// showInvitation answers with the invitation as the next read would find it.
func (s *service) showInvitation(ctx context.Context, id string) (*entity[Invitation], error) {
	now := time.Now()
	inv, err := s.Store.Invitation(ctx, accountID(ctx), id, now)
	if err != nil {
		return nil, err
	}
	return entityOf(inv.Invitation.Revision, invitationOf(inv, now)), nil
}

func (s *service) getInvitation(ctx context.Context, in *ByID) (*entity[Invitation], error) {
	return s.showInvitation(ctx, in.ID)
}

type listInvitationsInput struct {
	Paging
	State        string `query:"state" enum:"invited,accepted,declined,expired,revoked,ended"`
	PropertyID   string `query:"property_id" maxLength:"64"`
	GuestEmail   string `query:"guest_email" maxLength:"320"`
	InviterEmail string `query:"inviter_email" maxLength:"320"`
}

func (s *service) listInvitations(ctx context.Context, in *listInvitationsInput) (*output[List[Invitation]], error) {
	now := time.Now()
	list, next, err := s.Store.ListInvitations(ctx, store.InvitationFilter{
		AccountID: accountID(ctx), State: access.InvitationState(in.State), PropertyID: in.PropertyID,
		GuestEmail: in.GuestEmail, InviterEmail: in.InviterEmail,
	}, in.page(), now)
	if err != nil {
		return nil, err
	}
	return listOf(list, next, func(inv store.Invitation) Invitation { return invitationOf(inv, now) }), nil
}

type answerInput struct {
	ByID
	Body struct {
		GuestEmail string `json:"guest_email" minLength:"1" maxLength:"320" doc:"The address of the account that the app has signed in"`
	} `nameHint:"AnswerInvitation"`
}

func (s *service) acceptInvitation(ctx context.Context, in *answerInput) (*entity[Invitation], error) {
	return s.answer(ctx, in, s.Items.AcceptInvitation, (*access.Invitation).Accept)
}

func (s *service) declineInvitation(ctx context.Context, in *answerInput) (*entity[Invitation], error) {
	return s.answer(ctx, in, s.Items.DeclineInvitation, (*access.Invitation).Decline)
}

// answer accepts or declines for a guest whom the app has signed in (I3, I4).
func (s *service) answer(ctx context.Context, in *answerInput, ask func(context.Context, string, string) error, rule func(*access.Invitation, time.Time) error) (*entity[Invitation], error) {
	inv, err := s.Store.Invitation(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	if !email.Equal(in.Body.GuestEmail, inv.Guest.Email) {
		return nil, emailMismatch()
	}
	return s.change(ctx, in.ID, func(updateID string) error { return ask(ctx, in.ID, updateID) }, rule)
}

func emailMismatch() error {
	return &directory.Error{Code: "email_mismatch",
		Detail: "The invitation was sent to another address. Ask the inviter to invite the address you sign in with, or sign in with the invited one."}
}

// settle asks the workflow for a change. Where it has ended, the rule itself says
// whether the request is a repetition or too late.
func settle(ask func() error, read func() (store.Invitation, error), rule func(*access.Invitation, time.Time) error) error {
	err := ask()
	if !errors.Is(err, workflows.ErrClosed) {
		return err
	}
	inv, readErr := read()
	if readErr != nil {
		return readErr
	}
	if refusal := rule(&inv.Invitation, time.Now()); refusal != nil {
		return refusal
	}
	if inv.Invitation.Pending != nil { // the rule would still allow it, but nobody is there to carry it out
		return errors.Join(workflows.ErrUnavailable, err)
	}
	return nil
}

// updateID names the request to the workflow, so that it is applied once. Without
// an idempotency key every request is a new one.
func (s *service) updateID(ctx context.Context) string {
	c := claimOf(ctx)
	if c == nil {
		return ""
	}
	return s.Store.UpdateID(c.Key)
}

type resendInput struct {
	ByID
	When string `query:"when" enum:"now,allowed" default:"now" doc:"allowed: if it is too early, send it as soon as the cooldown ends"`
}

func (s *service) resendInvitation(ctx context.Context, in *resendInput) (*entity[Invitation], error) {
	q := workflows.ResendRequest{WhenAllowed: in.When == "allowed"}
	return s.change(ctx, in.ID,
		func(updateID string) error { return s.Items.ResendInvitation(ctx, in.ID, updateID, q) },
		func(i *access.Invitation, now time.Time) error { return i.Resend(now, q.WhenAllowed, "") })
}

type revokeInput struct {
	ByID
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Told to the guest"`
	} `nameHint:"RevokeInvitation"`
}

func (s *service) revokeInvitation(ctx context.Context, in *revokeInput) (*entity[Invitation], error) {
	now := time.Now()
	inv, err := s.Store.Invitation(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	var q workflows.RevokeRequest
	if in.Body != nil && in.Body.Reason != "" && !inv.Invitation.StateAt(now).Final() {
		if q.NoteID, err = s.Store.AddNote(ctx, accountID(ctx), inv.Guest.ID, in.Body.Reason, now); err != nil {
			return nil, err
		}
	}
	return s.change(ctx, in.ID,
		func(updateID string) error { return s.Items.RevokeInvitation(ctx, in.ID, updateID, q) },
		func(i *access.Invitation, now time.Time) error { return i.Revoke(now, "", "") })
}

func (s *service) requireVerification(ctx context.Context, in *ByID) (*entity[Invitation], error) {
	return s.change(ctx, in.ID,
		func(updateID string) error {
			return s.Items.RequireVerification(ctx, in.ID, updateID, workflows.ActorRequest{})
		},
		func(i *access.Invitation, now time.Time) error { return i.RequireVerification(now, "") })
}

// change carries out a change of an invitation of the caller's account.
func (s *service) change(ctx context.Context, id string, ask func(updateID string) error, rule func(*access.Invitation, time.Time) error) (*entity[Invitation], error) {
	read := func() (store.Invitation, error) { return s.Store.Invitation(ctx, accountID(ctx), id, time.Now()) }
	if _, err := read(); err != nil {
		return nil, err // another account's invitation is not found, whatever its workflow would say (E8)
	}
	if err := settle(func() error { return ask(s.updateID(ctx)) }, read, rule); err != nil {
		return nil, err
	}
	return s.showInvitation(ctx, id)
}

type changeInvitationInput struct {
	ByID
	Matching
	Body struct {
		EntranceIDs Optional[[]string]        `json:"entrance_ids,omitempty" minItems:"1" maxItems:"100" uniqueItems:"true"`
		StartsAt    OmittableNullable[string] `json:"starts_at,omitempty" maxLength:"40"`
		EndsAt      OmittableNullable[string] `json:"ends_at,omitempty" maxLength:"40"`
		Guest       *CorrectedGuest           `json:"guest,omitempty"`
	} `nameHint:"ChangeInvitation"`
}

func (s *service) changeInvitation(ctx context.Context, in *changeInvitationInput) (*entity[Invitation], error) {
	now := time.Now()
	inv, err := s.Store.Invitation(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	seen, err := in.revision()
	if err != nil {
		return nil, err
	}
	if seen != 0 && seen != inv.Invitation.Revision {
		return nil, preconditionFailed()
	}
	edit, err := s.editOf(ctx, in, inv, now)
	if err != nil {
		return nil, err
	}
	edit.Revision = seen
	return s.change(ctx, in.ID,
		func(updateID string) error {
			return s.Items.EditInvitation(ctx, in.ID, updateID, workflows.EditRequest{Edit: edit})
		},
		func(i *access.Invitation, now time.Time) error { return i.Edit(now, edit, "") })
}

// editOf resolves what the caller wrote: local times, ids, the corrected address.
func (s *service) editOf(ctx context.Context, in *changeInvitationInput, inv store.Invitation, now time.Time) (access.Edit, error) {
	var edit access.Edit
	var err error
	trial := inv.Invitation
	if err = trial.Edit(now, access.Edit{}, ""); err != nil {
		return edit, err
	}
	b := &in.Body
	if b.StartsAt.Sent || b.EndsAt.Sent {
		window, err := changedWindow(inv.Invitation.Window, inv.Zone.String(), b.StartsAt, b.EndsAt)
		if err != nil {
			return edit, err
		}
		edit.Window = &window
	}
	if b.EntranceIDs.Sent {
		if err := s.Store.CheckShareable(ctx, accountID(ctx), inv.Invitation.PropertyID, b.EntranceIDs.Value); err != nil {
			return edit, err
		}
		edit.Entrances = b.EntranceIDs.Value
	}
	if b.Guest != nil && !email.Equal(b.Guest.Email, inv.Guest.Email) {
		if err := inv.Invitation.Answerable(now); err != nil {
			return edit, err
		}
		guest := directory.Person{Name: inv.Guest.Name, Email: b.Guest.Email, Locale: inv.Guest.Locale}
		edit.GuestID, edit.Until, err = s.Store.AddCorrectedGuest(ctx, inv.Invitation, guest, now)
		if err != nil {
			return edit, err
		}
	}
	return edit, nil
}

// windowIn resolves the two ends of a window in a property's zone (T1).
func windowIn(timeZone string, w access.Window, startsAt, endsAt *string) (access.Window, error) {
	zone, err := time.LoadLocation(timeZone)
	if err != nil {
		return w, err
	}
	read := func(field string, input *string, edge access.Edge, at *time.Time, wall *string) error {
		if input == nil {
			return nil
		}
		resolved, local, err := access.ParseInstant(*input, zone, edge)
		if err != nil {
			return directory.Invalid("body."+field, err.Error()+".")
		}
		*at, *wall = resolved, ""
		if local {
			*wall = *input
		}
		return nil
	}
	if err := read("starts_at", startsAt, access.StartEdge, &w.Start, &w.StartWall); err != nil {
		return w, err
	}
	if err := read("ends_at", endsAt, access.EndEdge, &w.End, &w.EndWall); err != nil {
		return w, err
	}
	return w, w.Check()
}

// changedWindow is a window with the ends that were sent, resolved in a zone (T1).
func changedWindow(w access.Window, timeZone string, startsAt, endsAt OmittableNullable[string]) (access.Window, error) {
	var start, end *string
	switch {
	case startsAt.Null:
		w.Start, w.StartWall = time.Time{}, ""
	case startsAt.Sent:
		start = &startsAt.Value
	}
	switch {
	case endsAt.Null:
		w.End, w.EndWall = time.Time{}, ""
	case endsAt.Sent:
		end = &endsAt.Value
	}
	return windowIn(timeZone, w, start, end)
}
