package api

import (
	"context"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Entrance is a door behind a door panel on the wire.
type Entrance struct {
	ID         string     `json:"id" example:"ent_d4k2m1c7h1qg00f3v5tg"`
	PropertyID string     `json:"property_id"`
	PanelID    string     `json:"panel_id"`
	Name       string     `json:"name"`
	Directions string     `json:"directions" doc:"How to find it"`
	Shareable  bool       `json:"shareable" doc:"Whether guests can be invited to it"`
	Schedules  []Schedule `json:"schedules" doc:"When guests can unlock it; none: always"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	Revision   int64      `json:"revision"`
}

// Schedule is a weekly period in the property's zone (I12).
type Schedule struct {
	Days []string `json:"days" minItems:"1" maxItems:"7" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The days on which it begins"`
	From string   `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" patternDescription:"a clock time like 08:00" example:"08:00"`
	To   string   `json:"to" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" patternDescription:"a clock time like 22:00, 24:00 for the end of the day" doc:"Not after from: it runs over midnight" example:"22:00"`
}

type createEntranceInput struct {
	Body struct {
		PropertyID string     `json:"property_id" minLength:"1" maxLength:"64"`
		PanelID    string     `json:"panel_id" minLength:"1" maxLength:"64"`
		Name       string     `json:"name" minLength:"1" maxLength:"200"`
		Directions string     `json:"directions,omitempty" maxLength:"2000" doc:"How to find it"`
		Shareable  bool       `json:"shareable,omitempty" doc:"Whether guests can be invited to it"`
		Schedules  []Schedule `json:"schedules,omitempty" maxItems:"3"`
	} `nameHint:"CreateEntrance"`
}

type changeEntranceInput struct {
	ByID
	Matching
	Body struct {
		PanelID    Optional[string]     `json:"panel_id,omitempty" minLength:"1" maxLength:"64"`
		Name       Optional[string]     `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Directions Optional[string]     `json:"directions,omitempty" maxLength:"2000"`
		Shareable  Optional[bool]       `json:"shareable,omitempty"`
		Schedules  Optional[[]Schedule] `json:"schedules,omitempty" maxItems:"3" doc:"All of them; an empty list lifts them"`
	} `nameHint:"ChangeEntrance"`
}

func (s *service) createEntrance(ctx context.Context, in *createEntranceInput) (*entity[Entrance], error) {
	e, err := s.Store.CreateEntrance(ctx, directory.Entrance{
		AccountID: accountID(ctx), PropertyID: in.Body.PropertyID, PanelID: in.Body.PanelID,
		Name: in.Body.Name, Directions: in.Body.Directions, Shareable: in.Body.Shareable, Schedules: schedulesFrom(in.Body.Schedules),
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(e.Revision, entranceOf(e)), nil
}

func (s *service) listEntrances(ctx context.Context, in *InProperty) (*output[List[Entrance]], error) {
	values, next, err := s.Store.Entrances(ctx, accountID(ctx), in.PropertyID, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, entranceOf), nil
}

func (s *service) getEntrance(ctx context.Context, in *ByID) (*entity[Entrance], error) {
	e, err := s.Store.Entrance(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return entityOf(e.Revision, entranceOf(e)), nil
}

func (s *service) changeEntrance(ctx context.Context, in *changeEntranceInput) (*entity[Entrance], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	e, err := s.Store.UpdateEntrance(ctx, accountID(ctx), in.ID, revision, func(e *directory.Entrance) error {
		in.Body.PanelID.set(&e.PanelID)
		in.Body.Name.set(&e.Name)
		in.Body.Directions.set(&e.Directions)
		in.Body.Shareable.set(&e.Shareable)
		if in.Body.Schedules.Sent {
			e.Schedules = schedulesFrom(in.Body.Schedules.Value)
		}
		return nil
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(e.Revision, entranceOf(e)), nil
}

func (s *service) deleteEntrance(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.DeleteEntrance(ctx, accountID(ctx), in.ID, time.Now())
}

func entranceOf(e directory.Entrance) Entrance {
	schedules := make([]Schedule, 0, len(e.Schedules))
	for _, schedule := range e.Schedules {
		days := make([]string, 0, len(schedule.Days))
		for _, day := range schedule.Days {
			days = append(days, string(day))
		}
		schedules = append(schedules, Schedule{Days: days, From: schedule.From, To: schedule.To})
	}
	return Entrance{
		ID: e.ID, PropertyID: e.PropertyID, PanelID: e.PanelID, Name: e.Name, Directions: e.Directions,
		Shareable: e.Shareable, Schedules: schedules,
		CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(), Revision: e.Revision,
	}
}

func schedulesFrom(given []Schedule) []access.Schedule {
	schedules := make([]access.Schedule, 0, len(given))
	for _, schedule := range given {
		days := make([]access.Weekday, 0, len(schedule.Days))
		for _, day := range schedule.Days {
			days = append(days, access.Weekday(day))
		}
		schedules = append(schedules, access.Schedule{Days: days, From: schedule.From, To: schedule.To})
	}
	return schedules
}
