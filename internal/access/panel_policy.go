package access

import "slices"

// PanelPolicy is what holds at one entrance for everybody, as its panel keeps and
// enforces it while it is cut off (P2). A SmartBox has one, under its own id: of an
// entrance it has the schedules and whether it is shared at all, of a box the keys
// that a lock-down elsewhere concerns. It is applied by version, newer wins.
type PanelPolicy struct {
	EntranceID   string     `json:"entrance_id"`
	Version      int64      `json:"version"`
	OpenToGuests bool       `json:"open_to_guests"` // the property shares, and the entrance is shareable (I12)
	Schedules    []Schedule `json:"schedules,omitempty"`
	TimeZone     string     `json:"time_zone"`
	LockedDown   bool       `json:"locked_down,omitempty"` // I17
	LockedKeys   []string   `json:"locked_keys,omitempty"` // of other properties under lock-down, sorted
}

// PolicyForEntrance is what the panel of an entrance is to enforce there.
func PolicyForEntrance(e Entrance, p Policy, zone string) PanelPolicy {
	return PanelPolicy{
		EntranceID: e.ID, OpenToGuests: p.SharingEnabled && e.Shareable, Schedules: e.Schedules, TimeZone: zone, LockedDown: p.LockedDown(),
	}
}

// PolicyForBox is what a SmartBox is to enforce. Sharing and schedules are for
// entrances; keys are given by reservation.
func PolicyForBox(panelID string, p Policy, zone string, lockedKeys []string) PanelPolicy {
	return PanelPolicy{EntranceID: panelID, OpenToGuests: true, TimeZone: zone, LockedDown: p.LockedDown(), LockedKeys: lockedKeys}
}

// Same reports whether two documents say the same, whatever their versions.
func (p PanelPolicy) Same(q PanelPolicy) bool {
	return p.OpenToGuests == q.OpenToGuests && p.TimeZone == q.TimeZone && p.LockedDown == q.LockedDown &&
		slices.Equal(p.LockedKeys, q.LockedKeys) && sameSchedules(p.Schedules, q.Schedules)
}

// Narrows reports whether a panel that still has the document known (nil: none, so
// that it holds nobody off) might admit somebody whom this one refuses (P5).
func (p PanelPolicy) Narrows(known *PanelPolicy) bool {
	switch {
	case known == nil:
		return p.LockedDown || !p.OpenToGuests || len(p.Schedules) > 0 || len(p.LockedKeys) > 0
	case p.LockedDown && !known.LockedDown, !p.OpenToGuests && known.OpenToGuests:
		return true
	case slices.ContainsFunc(p.LockedKeys, func(id string) bool { return !slices.Contains(known.LockedKeys, id) }):
		return true
	}
	return len(p.Schedules) > 0 && (p.TimeZone != known.TimeZone || !sameSchedules(p.Schedules, known.Schedules))
}

func sameSchedules(a, b []Schedule) bool {
	return slices.EqualFunc(a, b, func(s, t Schedule) bool { return s.From == t.From && s.To == t.To && slices.Equal(s.Days, t.Days) })
}
