package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/panel"
	"latchkey/internal/store"
)

// panelEvents takes in what happened at a panel, and how it is (P6, P8).
func (s *service) panelEvents(ctx context.Context, in *signedInput) (*signedOutput, error) {
	now := s.Clock()
	var batch panel.EventBatch
	from, re, err := s.fromPanel(ctx, string(in.RawBody), panel.TypeEvents, &batch, now)
	if err != nil {
		return nil, err
	}
	if batch.BootID == "" || len(batch.BootID) > 64 {
		return nil, newProblem(http.StatusBadRequest, string(panel.CodeMalformed), "boot_id is missing.")
	}
	report := store.PanelReport{BootID: batch.BootID, At: batch.At, Events: make([]store.PanelEvent, 0, len(batch.Events))}
	if batch.LeaseUntil != nil {
		report.LeaseUntil = *batch.LeaseUntil
	}
	for _, e := range batch.Events {
		report.Events = append(report.Events, reported(e))
	}
	taken, err := s.Store.IntakeEvents(ctx, from.ID, report, now)
	if err != nil {
		return nil, err
	}
	news, err := s.keysFor(ctx, &from, batch.EngineKeyIDs)
	if err != nil {
		return nil, err
	}
	return s.toPanel(ctx, from, panel.TypeEventsAck, re, panel.EventsAck{
		BootID: batch.BootID, Seq: taken.Seq, ResendFrom: taken.ResendFrom, LeaseUntil: instant(taken.LeaseUntil), EngineKeys: news,
	}, now)
}

// reported is an event of a panel as the store takes it in.
func reported(e panel.Event) store.PanelEvent {
	event := store.PanelEvent{
		Seq: e.Seq, At: e.At, Type: e.Type, EntranceID: e.EntranceID, CommandID: e.CommandID, GrantID: e.GrantID, Code: e.Code,
		Slot: e.Slot, KeyID: e.KeyID, Op: string(e.Op), Via: e.Via, PassID: e.PassID,
	}
	if e.Until != nil {
		event.Until = *e.Until
	}
	if e.Level != nil {
		event.Level = *e.Level
	}
	return event
}

// measureRefused keeps how far the clock of a panel is off whose message was refused
// for its time: without it nobody would know why it is silent (P6).
func (s *service) measureRefused(ctx context.Context, panelID string, e panel.Envelope, now time.Time) {
	if err := s.Store.MeasureRefused(ctx, panelID, time.Unix(e.IssuedAt, 0), now); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "a panel's clock was not measured", slog.String("panel_id", panelID), slog.Any("error", err))
	}
}

// WirePolicies is policy documents as a panel reads them (P2).
func WirePolicies(policies []access.PanelPolicy) []panel.Policy {
	wire := make([]panel.Policy, 0, len(policies))
	for _, p := range policies {
		document := panel.Policy{
			EntranceID: p.EntranceID, Version: p.Version, OpenToGuests: p.OpenToGuests, Schedules: []panel.Schedule{},
			TimeZone: p.TimeZone, LockedDown: p.LockedDown, LockedKeys: p.LockedKeys,
		}
		for _, s := range p.Schedules {
			days := make([]string, 0, len(s.Days))
			for _, day := range s.Days {
				days = append(days, string(day))
			}
			document.Schedules = append(document.Schedules, panel.Schedule{Days: days, From: s.From, To: s.To})
		}
		wire = append(wire, document)
	}
	return wire
}
