package api

import (
	"context"
	"crypto/ed25519"
	"net/url"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/panel"
)

// Panel is a device at a property on the wire.
type Panel struct {
	ID         string     `json:"id" example:"pan_d4k2m1c7h1qg00f3v5tg"`
	PropertyID string     `json:"property_id"`
	Name       string     `json:"name"`
	Kind       string     `json:"kind" enum:"door,smartbox"`
	Driver     string     `json:"driver"`
	Slots      int        `json:"slots" doc:"0 for a door panel"`
	Address    *string    `json:"address" doc:"Where the engine reaches it; null while it is not known"`
	State      string     `json:"state" enum:"waiting,enrolled,disowned" doc:"waiting: for its enrolment code to be used"`
	EnrolledAt *time.Time `json:"enrolled_at"`
	LastSeenAt *time.Time `json:"last_seen_at"`
	PanelHealth
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"revision"`
}

// PanelHealth is how a panel is and how far it is behind (P5, P6, P8).
type PanelHealth struct {
	Online       bool         `json:"online" doc:"It was heard within the last three minutes"`
	OfflineSince *time.Time   `json:"offline_since" doc:"Null while it is online, and for one that nobody expects to hear"`
	ClockSkew    *string      `json:"clock_skew" doc:"How far its clock is ahead; negative: behind; null: not known" example:"-1.2s"`
	Battery      *int         `json:"battery" doc:"Percent; null: it has reported none" minimum:"0" maximum:"100"`
	LockedUntil  *time.Time   `json:"locked_until" doc:"It takes no typed codes until then, because of wrong ones"`
	LeaseUntil   *time.Time   `json:"lease_until" doc:"Until when at the latest it admits by itself if it is cut off now"`
	Pending      PanelPending `json:"pending"`
}

// PanelPending is how much a panel has yet to confirm.
type PanelPending struct {
	Policies int `json:"policies" doc:"Opening times and lock-downs, one for each entrance"`
	Grants   int `json:"grants"`
}

// healthOf derives from what is stored how a panel is at an instant (T0).
func healthOf(p directory.Panel, now time.Time) PanelHealth {
	h := PanelHealth{
		Online: p.Online(now), OfflineSince: instant(p.OfflineSince(now)), Battery: p.Battery, LeaseUntil: instant(p.LeaseUntil),
		Pending: PanelPending{Policies: p.PendingPolicies, Grants: p.PendingGrants},
	}
	if p.SkewKnown {
		skew := p.ClockSkew.String()
		h.ClockSkew = &skew
	}
	if now.Before(p.LockedUntil) {
		h.LockedUntil = instant(p.LockedUntil)
	}
	return h
}

// PanelWithCode is a panel with the code it enrols with, which is shown once.
type PanelWithCode struct {
	Panel
	EnrolmentCode
}

// EnrolmentCode enrols one panel once, within a day (P1).
type EnrolmentCode struct {
	Code      string    `json:"enrolment_code" doc:"Shown once"`
	ExpiresAt time.Time `json:"enrolment_expires_at"`
}

type createPanelInput struct {
	Body struct {
		PropertyID string `json:"property_id" minLength:"1" maxLength:"64"`
		Name       string `json:"name" minLength:"1" maxLength:"200"`
		Kind       string `json:"kind" enum:"door,smartbox"`
		Driver     string `json:"driver,omitempty" enum:"native" default:"native"`
		Address    string `json:"address,omitempty" maxLength:"500" doc:"Where the engine reaches it, if it does not announce that itself" example:"http://10.0.0.7:9000"`
		Slots      int    `json:"slots,omitempty" minimum:"0" maximum:"1000" doc:"Of a smartbox: how many"`
	} `nameHint:"CreatePanel"`
}

type changePanelInput struct {
	ByID
	Matching
	Body struct {
		Name    Optional[string]          `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Address OmittableNullable[string] `json:"address,omitempty" maxLength:"500" doc:"null: what the panel announces"`
		Slots   Optional[int]             `json:"slots,omitempty" minimum:"1" maximum:"1000"`
	} `nameHint:"ChangePanel"`
}

func (s *service) createPanel(ctx context.Context, in *createPanelInput) (*entity[PanelWithCode], error) {
	p := directory.Panel{
		AccountID: accountID(ctx), PropertyID: in.Body.PropertyID, Name: in.Body.Name, Kind: directory.PanelKind(in.Body.Kind),
		Driver: in.Body.Driver, Slots: in.Body.Slots, Address: in.Body.Address, AddressFixed: in.Body.Address != "",
	}
	if err := checkPanel(p); err != nil {
		return nil, err
	}
	now := time.Now()
	code, err := s.newEnrolment(ctx, now)
	if err != nil {
		return nil, err
	}
	p, err = s.Store.CreatePanel(ctx, p, code.hash, code.ExpiresAt, now)
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, PanelWithCode{Panel: panelOf(p), EnrolmentCode: code.EnrolmentCode}), nil
}

func (s *service) listPanels(ctx context.Context, in *InProperty) (*output[List[Panel]], error) {
	values, next, err := s.Store.Panels(ctx, accountID(ctx), in.PropertyID, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, panelOf), nil
}

func (s *service) getPanel(ctx context.Context, in *ByID) (*entity[Panel], error) {
	p, err := s.Store.Panel(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, panelOf(p)), nil
}

func (s *service) changePanel(ctx context.Context, in *changePanelInput) (*entity[Panel], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	p, err := s.Store.UpdatePanel(ctx, accountID(ctx), in.ID, revision, func(p *directory.Panel) error {
		in.Body.Name.set(&p.Name)
		in.Body.Slots.set(&p.Slots)
		if in.Body.Address.Sent {
			p.AddressFixed = !in.Body.Address.Null
			in.Body.Address.set(&p.Address)
		}
		return checkPanel(*p)
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, panelOf(p)), nil
}

func (s *service) deletePanel(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.DeletePanel(ctx, accountID(ctx), in.ID, time.Now())
}

// renewEnrolmentCode gives a panel a new code; the old one is void (P1).
func (s *service) renewEnrolmentCode(ctx context.Context, in *ByID) (*output[EnrolmentCode], error) {
	now := time.Now()
	code, err := s.newEnrolment(ctx, now)
	if err != nil {
		return nil, err
	}
	if err := s.Store.SetEnrolmentCode(ctx, accountID(ctx), in.ID, code.hash, code.ExpiresAt, now); err != nil {
		return nil, err
	}
	return &output[EnrolmentCode]{Body: code.EnrolmentCode}, nil
}

// disownPanel ends the trust in a panel's key at once (P1).
func (s *service) disownPanel(ctx context.Context, in *ByID) (*entity[Panel], error) {
	p, err := s.Store.DisownPanel(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return entityOf(p.Revision, panelOf(p)), nil
}

type enrolment struct {
	EnrolmentCode
	hash []byte
}

func (s *service) newEnrolment(ctx context.Context, now time.Time) (enrolment, error) {
	ring, err := s.Engine.Keyring(ctx)
	if err != nil {
		return enrolment{}, err
	}
	code, hash, err := panel.NewEnrolmentCode(ring.Newest().Key.Public().(ed25519.PublicKey))
	if err != nil {
		return enrolment{}, err
	}
	return enrolment{EnrolmentCode: EnrolmentCode{Code: code, ExpiresAt: now.Add(panel.EnrolmentCodeTTL).UTC()}, hash: hash}, nil
}

// checkPanel refuses what no panel can be.
func checkPanel(p directory.Panel) error {
	switch {
	case p.Kind == directory.PanelSmartBox && p.Slots < 1:
		return directory.Invalid("body.slots", "Say how many slots the smartbox has, at least 1.")
	case p.Kind == directory.PanelDoor && p.Slots != 0:
		return directory.Invalid("body.slots", "A door panel has no slots. Leave them out.")
	case p.Address != "":
		u, err := url.Parse(p.Address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return directory.Invalid("body.address", "Give the address as a URL like http://10.0.0.7:9000.")
		}
	}
	return nil
}

func panelOf(p directory.Panel) Panel {
	state := "waiting"
	switch {
	case !p.DisownedAt.IsZero():
		state = "disowned"
	case len(p.PublicKey) > 0:
		state = "enrolled"
	}
	return Panel{
		ID: p.ID, PropertyID: p.PropertyID, Name: p.Name, Kind: string(p.Kind), Driver: p.Driver, Slots: p.Slots,
		Address: orNull(p.Address), State: state, EnrolledAt: instant(p.EnrolledAt), LastSeenAt: instant(p.LastSeenAt),
		PanelHealth: healthOf(p, time.Now()),
		CreatedAt:   p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(), Revision: p.Revision,
	}
}
