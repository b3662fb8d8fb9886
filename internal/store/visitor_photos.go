package store

import (
	"bytes"
	"context"
	"io"
	"time"

	"latchkey/internal/directory"
)

// NewPhoto is a cleaned photo ID.
type NewPhoto struct {
	AccountID     string
	ReservationID string
	PersonID      string
	MediaType     string
	Width, Height int
	Body          []byte
}

const photoField = "photo-id"

// PutVisitorPhoto keeps a photo ID until it is decided, encrypted under the
// visitor's key (K7). A new one replaces the one before.
func (s *Store) PutVisitorPhoto(ctx context.Context, p NewPhoto, now time.Time) error {
	cipher, err := s.personCipher(ctx, s.pool, p.PersonID)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	writer, err := cipher.SealStream(&sealed, photoField)
	if err != nil {
		return err
	}
	if _, err := writer.Write(p.Body); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `INSERT INTO visitor_photos (reservation_id, account_id, person_id, media_type, width, height, body, submitted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (reservation_id) DO UPDATE SET person_id = excluded.person_id, media_type = excluded.media_type, width = excluded.width,
			height = excluded.height, body = excluded.body, submitted_at = excluded.submitted_at`,
		p.ReservationID, p.AccountID, p.PersonID, p.MediaType, p.Width, p.Height, sealed.Bytes(), instant(now))
	return err
}

// VisitorPhoto reads a photo ID that waits for a decision.
func (s *Store) VisitorPhoto(ctx context.Context, accountID, reservationID string) (body []byte, mediaType string, err error) {
	var personID string
	var sealed []byte
	err = s.pool.QueryRow(ctx, `SELECT person_id, media_type, body FROM visitor_photos WHERE reservation_id = $1 AND account_id = $2`, reservationID, accountID).
		Scan(&personID, &mediaType, &sealed)
	if isNoRows(err) {
		return nil, "", directory.NotFound("photo ID", reservationID)
	}
	if err != nil {
		return nil, "", err
	}
	cipher, err := s.personCipher(ctx, s.pool, personID)
	if err != nil {
		return nil, "", err
	}
	reader, err := cipher.UnsealStream(bytes.NewReader(sealed), photoField)
	if err != nil {
		return nil, "", err
	}
	body, err = io.ReadAll(reader)
	return body, mediaType, err
}
