package api

import (
	"context"
	"fmt"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// Property is a building or site on the wire.
type Property struct {
	ID       string `json:"id" example:"prop_d4k2m1c7h1qg00f3v5tg"`
	Name     string `json:"name"`
	TimeZone string `json:"time_zone" doc:"IANA name" example:"Europe/Madrid"`
	Policy   Policy `json:"policy"`

	LockedDownAt *time.Time `json:"locked_down_at" doc:"Since when all guests and visitors are refused; null: they are not"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"revision"`
}

// Policy is what the manager of a property decided (I12).
type Policy struct {
	SharingEnabled      bool     `json:"sharing_enabled"`
	MaxGuestsPerInviter int      `json:"max_guests_per_inviter" doc:"0: no cap"`
	HistoryVisibility   string   `json:"history_visibility" enum:"all,own"`
	Verification        string   `json:"verification" enum:"none,on_site"`
	ReverifyAfter       Duration `json:"reverify_after" doc:"0s: never"`
	InvitationTTL       Duration `json:"invitation_ttl"`
	ResendCooldown      Duration `json:"resend_cooldown"`
	ReturnReminderAt    string   `json:"return_reminder_at" doc:"Local wall-clock time" example:"09:00"`
	LateKeyAfter        Duration `json:"late_key_after"`
	OfflineLease        Duration `json:"offline_lease"`
}

// PolicyChange is a policy of which only some parts are given.
type PolicyChange struct {
	SharingEnabled      Optional[bool]     `json:"sharing_enabled,omitempty"`
	MaxGuestsPerInviter Optional[int]      `json:"max_guests_per_inviter,omitempty" minimum:"0" maximum:"100000" doc:"0: no cap"`
	HistoryVisibility   Optional[string]   `json:"history_visibility,omitempty" enum:"all,own"`
	Verification        Optional[string]   `json:"verification,omitempty" enum:"none,on_site"`
	ReverifyAfter       Optional[Duration] `json:"reverify_after,omitempty" doc:"0s: never"`
	InvitationTTL       Optional[Duration] `json:"invitation_ttl,omitempty"`
	ResendCooldown      Optional[Duration] `json:"resend_cooldown,omitempty"`
	ReturnReminderAt    Optional[string]   `json:"return_reminder_at,omitempty" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" patternDescription:"a clock time like 09:00"`
	LateKeyAfter        Optional[Duration] `json:"late_key_after,omitempty"`
	OfflineLease        Optional[Duration] `json:"offline_lease,omitempty"`
}

type createPropertyInput struct {
	Body struct {
		Name     string       `json:"name" minLength:"1" maxLength:"200"`
		TimeZone string       `json:"time_zone" minLength:"1" maxLength:"100" doc:"IANA name" example:"Europe/Madrid"`
		Policy   PolicyChange `json:"policy,omitempty" doc:"What is left out has its default"`
	} `nameHint:"CreateProperty"`
}

type changePropertyInput struct {
	ByID
	Matching
	Body struct {
		Name     Optional[string] `json:"name,omitempty" minLength:"1" maxLength:"200"`
		TimeZone Optional[string] `json:"time_zone,omitempty" minLength:"1" maxLength:"100"`
		Policy   PolicyChange     `json:"policy,omitempty" doc:"What is left out stays"`
	} `nameHint:"ChangeProperty"`
}

func (s *service) createProperty(ctx context.Context, in *createPropertyInput) (*entity[Property], error) {
	p := directory.Property{AccountID: accountID(ctx), Name: in.Body.Name, TimeZone: in.Body.TimeZone, Policy: access.DefaultPolicy()}
	if err := in.Body.Policy.apply(&p.Policy); err != nil {
		return nil, err
	}
	p, err := s.Store.CreateProperty(ctx, p, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, propertyOf(p)), nil
}

func (s *service) listProperties(ctx context.Context, in *Paging) (*output[List[Property]], error) {
	values, next, err := s.Store.Properties(ctx, accountID(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, propertyOf), nil
}

func (s *service) getProperty(ctx context.Context, in *ByID) (*entity[Property], error) {
	p, err := s.Store.Property(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, propertyOf(p)), nil
}

func (s *service) changeProperty(ctx context.Context, in *changePropertyInput) (*entity[Property], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	p, err := s.Store.UpdateProperty(ctx, accountID(ctx), in.ID, revision, func(p *directory.Property) error {
		in.Body.Name.set(&p.Name)
		in.Body.TimeZone.set(&p.TimeZone)
		return in.Body.Policy.apply(&p.Policy)
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, propertyOf(p)), nil
}

type lockDownInput struct {
	ByID
	Body struct {
		On bool `json:"on" doc:"true: refuse all guests and visitors; false: lift that"`
	} `nameHint:"LockDown"`
}

// lockDown refuses everybody at once, drop-off excepted, or lifts that (I17).
func (s *service) lockDown(ctx context.Context, in *lockDownInput) (*entity[Property], error) {
	p, err := s.Store.LockDown(ctx, accountID(ctx), in.ID, in.Body.On, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, propertyOf(p)), nil
}

func (s *service) deleteProperty(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.DeleteProperty(ctx, accountID(ctx), in.ID, time.Now())
}

func propertyOf(p directory.Property) Property {
	return Property{
		ID: p.ID, Name: p.Name, TimeZone: p.TimeZone, Policy: policyOf(p.Policy), LockedDownAt: instant(p.Policy.LockedSince),
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(), Revision: p.Revision,
	}
}

func policyOf(p access.Policy) Policy {
	return Policy{
		SharingEnabled: p.SharingEnabled, MaxGuestsPerInviter: p.MaxGuestsPerInviter,
		HistoryVisibility: string(p.HistoryVisibility), Verification: string(p.Verification),
		ReverifyAfter: Duration(p.ReverifyAfter), InvitationTTL: Duration(p.InvitationTTL),
		ResendCooldown: Duration(p.ResendCooldown), ReturnReminderAt: p.ReturnReminderAt,
		LateKeyAfter: Duration(p.LateKeyAfter), OfflineLease: Duration(p.OfflineLease),
	}
}

// apply puts the parts that were given into a policy.
func (c PolicyChange) apply(p *access.Policy) error {
	c.SharingEnabled.set(&p.SharingEnabled)
	c.MaxGuestsPerInviter.set(&p.MaxGuestsPerInviter)
	c.ReturnReminderAt.set(&p.ReturnReminderAt)
	if c.HistoryVisibility.Sent {
		p.HistoryVisibility = access.HistoryVisibility(c.HistoryVisibility.Value)
	}
	if c.Verification.Sent {
		p.Verification = access.Verification(c.Verification.Value)
	}
	for _, period := range []struct {
		name  string
		given Optional[Duration]
		least time.Duration
		to    *time.Duration
	}{
		{"reverify_after", c.ReverifyAfter, 0, &p.ReverifyAfter},
		{"invitation_ttl", c.InvitationTTL, time.Second, &p.InvitationTTL},
		{"resend_cooldown", c.ResendCooldown, time.Second, &p.ResendCooldown},
		{"late_key_after", c.LateKeyAfter, time.Second, &p.LateKeyAfter},
		{"offline_lease", c.OfflineLease, time.Second, &p.OfflineLease},
	} {
		if !period.given.Sent {
			continue
		}
		given := time.Duration(period.given.Value)
		if given < time.Second && given != period.least || given > longestPeriod {
			return directory.Invalid("body.policy."+period.name, fmt.Sprintf("Give a second or more and at most %s.", Duration(longestPeriod)))
		}
		*period.to = given
	}
	return nil
}

// longestPeriod is ten years: longer is a slip of the pen.
const longestPeriod = 10 * 365 * 24 * time.Hour
