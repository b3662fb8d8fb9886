package api

import (
	"context"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// Event is an entry of the event log on the wire (E3).
type Event struct {
	ID         string         `json:"id" example:"evt_d4k2m1c7h1qg00f3v5tg"`
	Type       string         `json:"type" example:"entrance.opened"`
	At         time.Time      `json:"at" doc:"When it happened"`
	RecordedAt time.Time      `json:"recorded_at" doc:"When the engine wrote it down"`
	PropertyID *string        `json:"property_id"`
	ItemID     *string        `json:"item_id"`
	EntranceID *string        `json:"entrance_id"`
	PanelID    *string        `json:"panel_id"`
	ActorID    *string        `json:"actor_id" doc:"Who did it"`
	Code       *string        `json:"code" doc:"Of a refusal: why"`
	Rule       *string        `json:"rule" doc:"The rule that decided" example:"I9"`
	Note       *string        `json:"note" doc:"A person's own words"`
	Detail     map[string]any `json:"detail"`
}

type listEventsInput struct {
	Paging
	PropertyID string    `query:"property_id" maxLength:"64"`
	EntranceID string    `query:"entrance_id" maxLength:"64"`
	ItemID     string    `query:"item_id" maxLength:"64"`
	Type       string    `query:"type" maxLength:"64" example:"entrance.opened"`
	Since      time.Time `query:"since" doc:"Only what happened at this instant or later"`
}

func (s *service) listEvents(ctx context.Context, in *listEventsInput) (*output[List[Event]], error) {
	values, next, err := s.Store.Events(ctx, accountID(ctx), store.EventFilter{
		PropertyID: in.PropertyID, EntranceID: in.EntranceID, ItemID: in.ItemID,
		Type: access.EventType(in.Type), Since: in.Since,
	}, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, eventOf), nil
}

func eventOf(e directory.Event) Event {
	detail := e.Detail
	if detail == nil {
		detail = map[string]any{}
	}
	return Event{
		ID: e.ID, Type: string(e.Type), At: e.At.UTC(), RecordedAt: e.RecordedAt.UTC(),
		PropertyID: orNull(e.PropertyID), ItemID: orNull(e.ItemID), EntranceID: orNull(e.EntranceID), PanelID: orNull(e.PanelID),
		ActorID: orNull(e.ActorID), Code: orNull(string(e.Code)), Rule: orNull(e.Rule), Note: orNull(e.Note), Detail: detail,
	}
}
