package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/delivery"
	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// writer writes the messages that internal/delivery sends.
type writer struct {
	store   *store.Store
	baseURL string // of the pages that links lead to
}

// compose writes a message as it is at the moment at which it is sent, so that
// nothing personal is kept twice (E7).
func (d *writer) compose(ctx context.Context, m store.QueuedMessage, reader directory.Person, channel notify.Channel, now time.Time) (notify.Message, error) {
	var data notify.Data
	var err error
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
	message, err := notify.Render(channel, m.Template, reader.Locale, zone, data)
	message.ID, message.To, message.At = m.ID, delivery.AddressOf(reader, channel), now
	if m.Template == access.TemplateEntranceUnlocked && channel == notify.ChannelEmail {
		message.Unsubscribe = d.baseURL + "/mute/" + d.store.MuteToken(reader.ID)
	}
	return message, err
}

// host makes ids of ours different from everybody else's.
func (d *writer) host() string {
	u, err := url.Parse(d.baseURL)
	if err != nil {
		return "localhost"
	}
	return u.Hostname()
}

func (d *writer) signInData(m store.QueuedMessage) (notify.Data, error) {
	code, err := d.store.MessageSecret(m)
	if err == nil && code == "" {
		err = errors.New("the code of this message is gone")
	}
	return notify.Data{Code: code, CodeMinutes: int(store.SignInCodeTTL / time.Minute)}, err
}

func (d *writer) invitationData(ctx context.Context, m store.QueuedMessage, now time.Time) (notify.Data, *time.Location, error) {
	inv, token, err := d.store.InvitationMessage(ctx, m.ItemID, now)
	if err != nil {
		return notify.Data{}, nil, fmt.Errorf("item: %w", err)
	}
	data := notify.Data{
		InviterName: inv.Inviter.Name, GuestName: inv.Guest.Name, GuestEmail: inv.Guest.Email, PropertyName: inv.PropertyName,
		StartsAt: inv.Invitation.Window.Start, EndsAt: inv.Invitation.Window.End, ExpiresAt: inv.Invitation.ExpiresAt,
		AcceptURL: d.baseURL + "/i/" + token, OpenedAt: m.Params.At, VerifyBy: m.Params.At,
	}
	data.Calendar.UID, data.Calendar.Sequence, data.Calendar.Written = m.ItemID+"@"+d.host(), inv.Invitation.Revision, now
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

func (d *writer) reservationData(ctx context.Context, m store.QueuedMessage, now time.Time) (notify.Data, *time.Location, error) {
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

// panelData is about a panel that refuses typed codes, or that somebody tampers
// with (P6, P7).
func (d *writer) panelData(ctx context.Context, m store.QueuedMessage) (notify.Data, *time.Location, error) {
	name, property, timeZone, err := d.store.PanelPlace(ctx, m.ItemID)
	if err != nil {
		return notify.Data{}, nil, fmt.Errorf("panel: %w", err)
	}
	zone, err := time.LoadLocation(timeZone)
	return notify.Data{PanelName: name, PropertyName: property, LockedUntil: m.Params.At, TamperedAt: m.Params.At}, zone, err
}
