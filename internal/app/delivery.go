package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// delivery sends the messages that wait in the store. It implements
// activities.Messages: what a message says is read at the moment it is sent, so
// that nothing personal is kept twice (E7).
type delivery struct {
	store   *store.Store
	sender  notify.Sender
	baseURL string // of the pages that links lead to
	log     *slog.Logger
}

const (
	// giveUpAfter is how many times a message is tried: with the pauses below, for
	// about a day.
	giveUpAfter = 40
	firstRetry  = 2 * time.Second
	lastRetry   = 30 * time.Minute
)

// SendQueued implements activities.Messages.
func (d *delivery) SendQueued(ctx context.Context, limit int, now time.Time) (handled int, next time.Time, err error) {
	due, next, err := d.store.DueMessages(ctx, limit, now)
	if err != nil {
		return 0, next, err
	}
	for _, m := range due {
		if err := d.send(ctx, m, now); err != nil {
			return handled, next, err
		}
		handled++
	}
	return handled, next, nil
}

// send sends one message or notes why it could not. Only a store that is away is
// an error: it would fail for the next message as well.
func (d *delivery) send(ctx context.Context, m store.QueuedMessage, now time.Time) error {
	if m.Template == access.TemplateSignInCode && now.After(m.Written.Add(store.SignInCodeTTL)) {
		return d.store.MessageFailed(ctx, m.ID, "expired", now) // nobody can use it any more
	}
	message, err := d.compose(ctx, m, now)
	if err == nil {
		err = d.sender.Send(ctx, message)
	}
	if err == nil {
		return d.store.MessageSent(ctx, m.ID, now)
	}
	if ctx.Err() != nil {
		return err
	}
	d.log.LogAttrs(ctx, slog.LevelWarn, "a message could not be sent", slog.String("message_id", m.ID), slog.Int("attempt", m.Attempts+1), slog.Any("error", err))
	if m.Attempts+1 >= giveUpAfter {
		return d.store.MessageFailed(ctx, m.ID, "gave_up", now)
	}
	pause := min(lastRetry, firstRetry<<min(m.Attempts, 20))
	return d.store.MessageDeferred(ctx, m.ID, "retrying", now.Add(pause))
}

func (d *delivery) compose(ctx context.Context, m store.QueuedMessage, now time.Time) (notify.Message, error) {
	reader, err := d.store.Person(ctx, m.PersonID)
	if err != nil {
		return notify.Message{}, fmt.Errorf("reader: %w", err)
	}
	var data notify.Data
	zone := time.UTC
	switch kind, _, _ := strings.Cut(m.ItemID, "_"); kind {
	case "inv":
		data, zone, err = d.invitationData(ctx, m, now)
	case "res":
		data, zone, err = d.reservationData(ctx, m, now)
	case "mem":
		data, zone, err = d.movedData(ctx, m)
	case "pan":
		data, zone, err = d.panelData(ctx, m)
	default:
		data, err = d.signInData(m)
	}
	if err == nil {
		err = d.addChanges(ctx, m, &data)
	}
	if err != nil {
		return notify.Message{}, err
	}
	channel := notify.Channel(m.Channel)
	message, err := notify.Render(channel, m.Template, reader.Locale, zone, data)
	message.ID, message.To, message.At = m.ID, reader.Email, now
	if channel == notify.ChannelSMS {
		message.To = reader.Mobile
	}
	return message, err
}

func (d *delivery) signInData(m store.QueuedMessage) (notify.Data, error) {
	code, err := d.store.MessageSecret(m)
	if err == nil && code == "" {
		err = errors.New("the code of this message is gone")
	}
	return notify.Data{Code: code, CodeMinutes: int(store.SignInCodeTTL / time.Minute)}, err
}

func (d *delivery) invitationData(ctx context.Context, m store.QueuedMessage, now time.Time) (notify.Data, *time.Location, error) {
	inv, token, err := d.store.InvitationMessage(ctx, m.ItemID, now)
	if err != nil {
		return notify.Data{}, nil, fmt.Errorf("item: %w", err)
	}
	data := notify.Data{
		InviterName: inv.Inviter.Name, GuestName: inv.Guest.Name, GuestEmail: inv.Guest.Email, PropertyName: inv.PropertyName,
		StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End, ExpiresAt: inv.Invitation.ExpiresAt,
		AcceptURL: d.baseURL + "/i/" + token, OpenedAt: m.Params.At, VerifyBy: m.Params.At,
	}
	for _, e := range inv.Entrances {
		data.EntranceNames = append(data.EntranceNames, e.Name)
		if e.ID == m.Params.EntranceID {
			data.EntranceName = e.Name
		}
	}
	if m.Params.EntranceID != "" && data.EntranceName == "" { // opened, then taken out of the invitation
		if data.EntranceName, err = d.store.EntranceName(ctx, m.Params.EntranceID); err != nil {
			return data, nil, err
		}
	}
	if m.Params.NoteID != "" {
		data.Reason, err = d.store.Note(ctx, m.Params.NoteID)
	}
	return data, inv.Zone, err
}

func (d *delivery) reservationData(ctx context.Context, m store.QueuedMessage, now time.Time) (notify.Data, *time.Location, error) {
	r, err := d.store.ReservationMessage(ctx, m.ItemID, now)
	if err != nil {
		return notify.Data{}, nil, fmt.Errorf("item: %w", err)
	}
	i := &r.Reservation
	data := notify.Data{
		HostName: r.Host.Name, VisitorName: r.Visitor.Name, PropertyName: r.PropertyName, KeyName: r.KeyName,
		StartsAt: i.Plan.Window.Start, EndsAt: i.Plan.Window.End, BookingCode: r.Code, BookingURL: d.baseURL + "/r/" + r.Token,
		AccessNotes: r.AccessNotes, VisitorIDNeeded: i.Document.Required && i.Document.State() != access.IDConfirmed,
		LateSince: i.OverSince(now), NextStart: i.Plan.Window.Start,
	}
	if m.Template == access.TemplateKeyMissing && r.Custody.HolderID != "" {
		if data.HolderName, err = d.store.VisitorName(ctx, r.Custody.HolderID); err != nil {
			return data, nil, err
		}
	}
	if m.Params.NoteID != "" {
		data.Reason, err = d.store.Note(ctx, m.Params.NoteID)
	}
	return data, r.Zone, err
}

// panelData is about a SmartBox that refuses typed codes (P7).
func (d *delivery) panelData(ctx context.Context, m store.QueuedMessage) (notify.Data, *time.Location, error) {
	name, property, timeZone, err := d.store.PanelPlace(ctx, m.ItemID)
	if err != nil {
		return notify.Data{}, nil, fmt.Errorf("panel: %w", err)
	}
	zone, err := time.LoadLocation(timeZone)
	return notify.Data{PanelName: name, PropertyName: property, LockedUntil: m.Params.At}, zone, err
}
