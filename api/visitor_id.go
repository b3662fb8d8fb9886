package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/photo"
	"latchkey/internal/store"
)

// image is an answer that is a picture.
type image struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// getVisitorID shows a photo ID to its reviewer. Each view is in the log (K7).
func (s *service) getVisitorID(ctx context.Context, in *ByID) (*image, error) {
	now := time.Now()
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), in.ID, now)
	if err != nil {
		return nil, err
	}
	over := !r.Reservation.OverSince(now).IsZero() // whether or not its workflow has deleted the photo yet (T0)
	if over || r.Reservation.Document.State() != access.IDSubmitted {
		return nil, &directory.Error{Code: directory.CodeNotFound, Detail: "There is no photo ID that waits for a decision. It is deleted once it was decided or the reservation is over."}
	}
	document, mediaType, err := s.Store.VisitorPhoto(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.Store.VisitorIDViewed(ctx, r.Reservation, callerOf(ctx).keyID, now); err != nil {
		return nil, err
	}
	return &image{ContentType: mediaType, Disposition: `inline; filename="photo-id"`, Body: document}, nil
}

type photoInput struct {
	ByToken
	RawBody []byte `contentType:"image/jpeg"`
}

// putVisitorID takes in the visitor's photo ID (K7): cleaned, encrypted and then
// submitted to the host. A new one replaces one that is not decided yet.
func (s *service) putVisitorID(ctx context.Context, in *photoInput) (*output[Visit], error) {
	if err := s.submitPhoto(ctx, in.Token, bytes.NewReader(in.RawBody)); err != nil {
		return nil, err
	}
	return s.showVisit(ctx, in.Token)
}

func (s *service) submitPhoto(ctx context.Context, token string, body io.Reader) error {
	now := time.Now()
	r, err := s.Store.ReservationByToken(ctx, token, now)
	if err != nil {
		return err
	}
	trial := r.Reservation
	if err := trial.SubmitID(now); err != nil {
		return err
	}
	cleaned, err := photo.Clean(ctx, body)
	if err != nil {
		return unusablePhoto(err)
	}
	i := r.Reservation
	if err := s.Store.PutVisitorPhoto(ctx, store.NewPhoto{
		AccountID: i.AccountID, ReservationID: i.ID, PersonID: i.VisitorID,
		MediaType: cleaned.MediaType, Width: cleaned.Width, Height: cleaned.Height, Body: cleaned.Body,
	}, now); err != nil {
		return err
	}
	return closedIsBusy(s.Reservations.SubmitVisitorID(ctx, i, s.updateID(ctx)))
}

func unusablePhoto(err error) error {
	var unusable *photo.Error
	if errors.As(err, &unusable) {
		return &directory.Error{Code: string(unusable.Code), Detail: unusable.Detail, Fields: []directory.Field{{Location: "body", Message: unusable.Detail}}}
	}
	return err
}
