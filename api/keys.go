package api

import (
	"context"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/store"
)

// Key is a physical key on the wire: where it lives, and where it is (K12).
type Key struct {
	ID         string    `json:"id" example:"key_d4k2m1c7h1qg00f3v5tg"`
	PropertyID string    `json:"property_id"`
	Name       string    `json:"name"`
	PanelID    string    `json:"panel_id" doc:"The SmartBox where it lives"`
	Slot       int       `json:"slot" doc:"Where in it"`
	Notes      string    `json:"notes"`
	Custody    Custody   `json:"custody"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	Revision   int64     `json:"revision"`
}

// Custody is where a key is, and who has it (K12).
type Custody struct {
	State         string    `json:"state" enum:"in_box,out,unknown"`
	Since         time.Time `json:"since"`
	PanelID       *string   `json:"panel_id" doc:"The box, while the key is in one"`
	Slot          *int      `json:"slot"`
	ReservationID *string   `json:"reservation_id" doc:"Whose visitor has it"`
}

// CustodyLink is one change of a key's custody (K12).
type CustodyLink struct {
	ID            string    `json:"id"`
	At            time.Time `json:"at"`
	RecordedAt    time.Time `json:"recorded_at" doc:"Later than at where a box was cut off"`
	State         string    `json:"state" enum:"in_box,out,unknown"`
	PanelID       *string   `json:"panel_id"`
	Slot          *int      `json:"slot"`
	ReservationID *string   `json:"reservation_id" doc:"Whose visitor has it from now on"`
	Cause         string    `json:"cause" enum:"declared,box,host"`
	OpenedBy      *string   `json:"opened_by" doc:"The reservation whose code or request opened the slot"`
	Reason        *string   `json:"reason" doc:"With cause host"`
}

type createKeyInput struct {
	Body struct {
		PropertyID string `json:"property_id" minLength:"1" maxLength:"64"`
		Name       string `json:"name" minLength:"1" maxLength:"200"`
		PanelID    string `json:"panel_id" minLength:"1" maxLength:"64" doc:"The SmartBox where it lives"`
		Slot       int    `json:"slot" minimum:"1" maximum:"1000" doc:"The slot in which it is now"`
		Notes      string `json:"notes,omitempty" maxLength:"2000"`
	} `nameHint:"CreateKey"`
}

type changeKeyInput struct {
	ByID
	Matching
	Body struct {
		Name    Optional[string] `json:"name,omitempty" minLength:"1" maxLength:"200"`
		PanelID Optional[string] `json:"panel_id,omitempty" minLength:"1" maxLength:"64"`
		Slot    Optional[int]    `json:"slot,omitempty" minimum:"1" maximum:"1000"`
		Notes   Optional[string] `json:"notes,omitempty" maxLength:"2000"`
	} `nameHint:"ChangeKey"`
}

func (s *service) createKey(ctx context.Context, in *createKeyInput) (*entity[Key], error) {
	b := &in.Body
	k, err := s.Store.CreateKey(ctx, directory.Key{
		AccountID: accountID(ctx), PropertyID: b.PropertyID, Name: b.Name, PanelID: b.PanelID, Slot: b.Slot, Notes: b.Notes,
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return s.keyEntity(ctx, k)
}

// keyEntity adds to a key where it is.
func (s *service) keyEntity(ctx context.Context, k directory.Key) (*entity[Key], error) {
	c, err := s.Store.Custody(ctx, k.AccountID, k.ID)
	if err != nil {
		return nil, err
	}
	return entityOf(k.Revision, keyOf(k, c)), nil
}

func (s *service) listKeys(ctx context.Context, in *InProperty) (*output[List[Key]], error) {
	values, next, err := s.Store.Keys(ctx, accountID(ctx), in.PropertyID, in.page())
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(values))
	for _, k := range values {
		ids = append(ids, k.ID)
	}
	custodies, err := s.Store.Custodies(ctx, accountID(ctx), ids)
	if err != nil {
		return nil, err
	}
	return listOf(values, next, func(k directory.Key) Key { return keyOf(k, custodies[k.ID]) }), nil
}

func (s *service) getKey(ctx context.Context, in *ByID) (*entity[Key], error) {
	k, err := s.Store.Key(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return s.keyEntity(ctx, k)
}

func (s *service) changeKey(ctx context.Context, in *changeKeyInput) (*entity[Key], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	k, err := s.Store.UpdateKey(ctx, accountID(ctx), in.ID, revision, func(k *directory.Key) error {
		in.Body.Name.set(&k.Name)
		in.Body.PanelID.set(&k.PanelID)
		in.Body.Slot.set(&k.Slot)
		in.Body.Notes.set(&k.Notes)
		return nil
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return s.keyEntity(ctx, k)
}

func (s *service) deleteKey(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.DeleteKey(ctx, accountID(ctx), in.ID)
}

type custodyInput struct {
	ByID
	Paging
}

// listCustody is the chain of who had the key (K12).
func (s *service) listCustody(ctx context.Context, in *custodyInput) (*output[List[CustodyLink]], error) {
	chain, next, err := s.Store.CustodyChain(ctx, accountID(ctx), in.ID, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(chain, next, custodyLinkOf), nil
}

type correctCustodyInput struct {
	ByID
	Body struct {
		State   string `json:"state" enum:"in_box,unknown" doc:"in_box: it is in the slot that is named; unknown: it is lost"`
		PanelID string `json:"panel_id,omitempty" maxLength:"64" doc:"With in_box; none: the box where it lives"`
		Slot    int    `json:"slot,omitempty" minimum:"0" maximum:"1000" doc:"With in_box; none: the slot where it lives"`
		Reason  string `json:"reason" minLength:"1" maxLength:"1000"`
	} `nameHint:"CorrectCustody"`
}

// correctCustody is a host's word on where the key is (K12).
func (s *service) correctCustody(ctx context.Context, in *correctCustodyInput) (*entity[Key], error) {
	b := &in.Body
	k, err := s.Store.Key(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	report := access.CustodyReport{State: access.CustodyState(b.State)}
	if report.State == access.CustodyInBox {
		report.PanelID, report.Slot = b.PanelID, b.Slot
		if report.PanelID == "" {
			report.PanelID = k.PanelID
		}
		if report.Slot == 0 {
			report.Slot = k.Slot
		}
	}
	if _, err := s.Store.CorrectCustody(ctx, accountID(ctx), in.ID, report, b.Reason, callerOf(ctx).keyID, time.Now()); err != nil {
		return nil, err
	}
	return s.keyEntity(ctx, k)
}

func keyOf(k directory.Key, c access.Custody) Key {
	custody := Custody{State: string(c.State), Since: c.Since, ReservationID: orNull(c.HolderID)}
	if c.State == access.CustodyInBox {
		custody.PanelID, custody.Slot = &c.PanelID, &c.Slot
	}
	return Key{
		ID: k.ID, PropertyID: k.PropertyID, Name: k.Name, PanelID: k.PanelID, Slot: k.Slot, Notes: k.Notes, Custody: custody,
		CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt, Revision: k.Revision,
	}
}

func custodyLinkOf(c store.CustodyChange) CustodyLink {
	link := CustodyLink{
		ID: c.ID, At: c.Since, RecordedAt: c.RecordedAt, State: string(c.State), ReservationID: orNull(c.HolderID),
		Cause: string(c.Kind), OpenedBy: orNull(c.GrantID), Reason: orNull(c.Note),
	}
	if c.State == access.CustodyInBox {
		link.PanelID, link.Slot = &c.PanelID, &c.Slot
	}
	return link
}
