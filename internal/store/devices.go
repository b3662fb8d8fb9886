package store

import (
	"context"
	"time"

	"latchkey/internal/directory"
)

// Device is a phone's public key, bound to the session of the person who signed in
// on it (P9).
type Device struct {
	SessionID  string
	PersonID   string
	PublicKey  []byte // a JWK
	Thumbprint string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// ErrNoDevice says that a session has named no phone yet.
var ErrNoDevice = &directory.Error{Code: "device_required", Detail: "Passes are bound to a phone. Send its public key with PUT /v1/me/device first."}

// PutDevice sets the phone of a session. Passes given before it was replaced stay
// bound to the old one.
func (s *Store) PutDevice(ctx context.Context, d Device, now time.Time) (Device, error) {
	d.UpdatedAt = instant(now)
	err := s.pool.QueryRow(ctx, `INSERT INTO devices (session_id, person_id, public_key, thumbprint, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (session_id) DO UPDATE SET public_key = excluded.public_key, thumbprint = excluded.thumbprint,
			updated_at = CASE WHEN devices.thumbprint = excluded.thumbprint THEN devices.updated_at ELSE excluded.updated_at END
		RETURNING created_at, updated_at`, d.SessionID, d.PersonID, d.PublicKey, d.Thumbprint, d.UpdatedAt).Scan(&d.CreatedAt, &d.UpdatedAt)
	d.CreatedAt, d.UpdatedAt = d.CreatedAt.UTC(), d.UpdatedAt.UTC()
	return d, err
}

// device is the phone of a session.
func device(ctx context.Context, db querier, sessionID string) (d Device, err error) {
	err = db.QueryRow(ctx, `SELECT session_id, person_id, public_key, thumbprint, created_at, updated_at FROM devices WHERE session_id = $1`, sessionID).
		Scan(&d.SessionID, &d.PersonID, &d.PublicKey, &d.Thumbprint, &d.CreatedAt, &d.UpdatedAt)
	if isNoRows(err) {
		return d, ErrNoDevice
	}
	return d, err
}
