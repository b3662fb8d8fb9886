package api

import (
	"context"
	"time"

	"latchkey/internal/directory"
)

// Member is a person of the account on the wire.
type Member struct {
	ID          string      `json:"id" example:"mem_d4k2m1c7h1qg00f3v5tg"`
	Name        string      `json:"name"`
	Email       string      `json:"email"`
	Mobile      *string     `json:"mobile"`
	Locale      string      `json:"locale" doc:"BCP 47" example:"en"`
	Role        string      `json:"role" enum:"manager,host,resident,staff"`
	PropertyIDs []string    `json:"property_ids"`
	Preferences Preferences `json:"preferences"`
	CreatedAt   time.Time   `json:"created_at"`
	UpdatedAt   time.Time   `json:"updated_at"`
	Revision    int64       `json:"revision"`
}

// Preferences is how a member wants to be told (I7).
type Preferences struct {
	Unlocks string `json:"unlocks" enum:"push,sms,email,muted" doc:"How to be told of a guest's unlock"`
}

// PreferencesChange are preferences of which only some are given.
type PreferencesChange struct {
	Unlocks Optional[string] `json:"unlocks,omitempty" enum:"push,sms,email,muted" doc:"How to be told of a guest's unlock"`
}

type createMemberInput struct {
	Body struct {
		Name        string            `json:"name" minLength:"1" maxLength:"200"`
		Email       string            `json:"email" minLength:"1" maxLength:"320"`
		Mobile      string            `json:"mobile,omitempty" maxLength:"20" pattern:"^\\+[1-9][0-9]{6,14}$" patternDescription:"an international number like +34600111222"`
		Locale      string            `json:"locale,omitempty" maxLength:"35" default:"en" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" patternDescription:"a language tag like en or ja"`
		Role        string            `json:"role" enum:"manager,host,resident,staff"`
		PropertyIDs []string          `json:"property_ids" maxItems:"1000"`
		Preferences PreferencesChange `json:"preferences,omitempty"`
	} `nameHint:"CreateMember"`
}

type changeMemberInput struct {
	ByID
	Matching
	Body struct {
		Name        Optional[string]          `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Email       Optional[string]          `json:"email,omitempty" minLength:"1" maxLength:"320"`
		Mobile      OmittableNullable[string] `json:"mobile,omitempty" maxLength:"20" pattern:"^\\+[1-9][0-9]{6,14}$" patternDescription:"an international number like +34600111222"`
		Locale      Optional[string]          `json:"locale,omitempty" maxLength:"35" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" patternDescription:"a language tag like en or ja"`
		Role        Optional[string]          `json:"role,omitempty" enum:"manager,host,resident,staff"`
		PropertyIDs Optional[[]string]        `json:"property_ids,omitempty" maxItems:"1000"`
		Preferences PreferencesChange         `json:"preferences,omitempty"`
	} `nameHint:"ChangeMember"`
}

func (s *service) createMember(ctx context.Context, in *createMemberInput) (*entity[Member], error) {
	m := directory.Member{
		AccountID: accountID(ctx),
		Person: directory.Person{
			AccountID: accountID(ctx), Name: in.Body.Name, Email: in.Body.Email, Mobile: in.Body.Mobile, Locale: in.Body.Locale,
		},
		Role: directory.Role(in.Body.Role), PropertyIDs: in.Body.PropertyIDs,
		Preferences: directory.Preferences{Unlocks: directory.NotifyEmail},
	}
	in.Body.Preferences.apply(&m.Preferences)
	m, err := s.Store.CreateMember(ctx, m, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(m.Revision, memberOf(m)), nil
}

func (s *service) listMembers(ctx context.Context, in *Paging) (*output[List[Member]], error) {
	values, next, err := s.Store.Members(ctx, accountID(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, memberOf), nil
}

func (s *service) getMember(ctx context.Context, in *ByID) (*entity[Member], error) {
	m, err := s.Store.Member(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return entityOf(m.Revision, memberOf(m)), nil
}

func (s *service) changeMember(ctx context.Context, in *changeMemberInput) (*entity[Member], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	m, err := s.Store.UpdateMember(ctx, accountID(ctx), in.ID, revision, func(m *directory.Member) error {
		in.Body.Name.set(&m.Person.Name)
		in.Body.Email.set(&m.Person.Email)
		in.Body.Mobile.set(&m.Person.Mobile)
		in.Body.Locale.set(&m.Person.Locale)
		in.Body.PropertyIDs.set(&m.PropertyIDs)
		if in.Body.Role.Sent {
			m.Role = directory.Role(in.Body.Role.Value)
		}
		in.Body.Preferences.apply(&m.Preferences)
		return nil
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(m.Revision, memberOf(m)), nil
}

func (c PreferencesChange) apply(p *directory.Preferences) {
	if c.Unlocks.Sent {
		p.Unlocks = directory.Notification(c.Unlocks.Value)
	}
}

func memberOf(m directory.Member) Member {
	preferences := Preferences{Unlocks: string(m.Preferences.Unlocks)}
	if preferences.Unlocks == "" {
		preferences.Unlocks = string(directory.NotifyEmail)
	}
	return Member{
		ID: m.ID, Name: m.Person.Name, Email: m.Person.Email, Mobile: orNull(m.Person.Mobile), Locale: m.Person.Locale,
		Role: string(m.Role), PropertyIDs: append([]string{}, m.PropertyIDs...), Preferences: preferences,
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), Revision: m.Revision,
	}
}
