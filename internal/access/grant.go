package access

import "time"

// Grant is what a panel is told about one item: which of its entrances, when, and
// under which revision (P3). It is applied by (id, revision), newer wins. A
// tombstone opens nothing and stays.
type Grant struct {
	ID        string    `json:"id"`
	Revision  int64     `json:"revision"`
	Tombstone bool      `json:"tombstone"`
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	Entrances []string  `json:"entrances,omitempty"`
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
		g.Tombstone, g.Start, g.End = false, i.Window.Start, i.Window.End
	}
	return g
}
