package access

import "time"

// GrantKind says which kind of item a grant is about.
type GrantKind string

// The kinds of grants. Grants of invitations carry none, because they were there first.
const (
	GrantInvitation  GrantKind = ""
	GrantReservation GrantKind = "reservation"
)

// Grant is what a panel is told about one item and under which revision (P3): of
// an invitation, which of its entrances and when; of a reservation, which key may
// be picked up and when. It is applied by (id, revision), newer wins. A tombstone
// opens nothing and stays. Booking codes are not in it: they are added, encrypted to
// the panel, on the way out (P1).
type Grant struct {
	ID        string    `json:"id"`
	Revision  int64     `json:"revision"`
	Tombstone bool      `json:"tombstone"`
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	Entrances []string  `json:"entrances,omitempty"`

	// PassesSince voids the offline passes that were given before it: the manager has
	// asked for verification since (I10, P9).
	PassesSince time.Time `json:"passes_since,omitzero"`

	Kind     GrantKind `json:"kind,omitempty"`
	KeyID    string    `json:"key_id,omitempty"`
	NoPickup Code      `json:"no_pickup,omitempty"` // why the key cannot be picked up, whatever the time; drop-off always can (K8)
}

// GrantFor is what a panel with the given entrances should hold about an
// invitation. Only an accepted invitation that names one of them grants
// anything; everything else is a tombstone (P3).
func (i *Invitation) GrantFor(panelEntrances []string) Grant {
	g := Grant{ID: i.ID, Revision: i.Revision, Tombstone: true}
	if i.State != InvitationAccepted {
		return g
	}
	for _, shared := range i.Entrances {
		for _, own := range panelEntrances {
			if shared == own {
				g.Entrances = append(g.Entrances, own)
			}
		}
	}
	if len(g.Entrances) > 0 {
		g.Tombstone, g.Start, g.End, g.PassesSince = false, i.Window.Start, i.Window.End, i.RequiredAt
	}
	return g
}
