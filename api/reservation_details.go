package api

import (
	"context"
	"time"

	"latchkey/internal/notify"
)

// Details is what a host copies to tell a visitor by other means (K9).
type Details struct {
	Code string `json:"code"`
	URL  string `json:"url"`
	Text string `json:"text" doc:"Everything: key, window in local time, code, URL, notes"`
}

type detailsInput struct {
	ByID
	Locale string `query:"locale" maxLength:"35" doc:"None: the visitor's language"`
}

func (s *service) reservationDetails(ctx context.Context, in *detailsInput) (*output[Details], error) {
	r, err := s.Store.ReservationOf(ctx, accountID(ctx), in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	if r.Retired {
		return nil, errRetired
	}
	locale := in.Locale
	if locale == "" {
		locale = r.Visitor.Locale
	}
	w := r.Reservation.Plan.Window
	d := Details{Code: r.Code, URL: s.bookingURL(r.Token)}
	d.Text, err = notify.Details(locale, r.Zone, notify.Data{
		VisitorName: r.Visitor.Name, HostName: r.Host.Name, KeyName: r.KeyName, PropertyName: r.PropertyName, StartsAt: w.Start, EndsAt: w.End,
		BookingCode: r.Code, BookingURL: d.URL, AccessNotes: r.AccessNotes, VisitorIDNeeded: r.Reservation.Document.Required,
	})
	return &output[Details]{Body: d}, err
}
