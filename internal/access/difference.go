package access

import (
	"slices"
	"time"
)

// DifferenceKind names what a message says has changed for a person.
type DifferenceKind string

// What can change: by an edit of the invitation (I14), by the policy of the property
// and by its entrances (I12), by a lock-down (I17).
const (
	WindowMoved     DifferenceKind = "window"
	EntranceAdded   DifferenceKind = "entrance_added"
	EntranceRemoved DifferenceKind = "entrance_removed"

	SharingOff         DifferenceKind = "sharing_off"
	SharingOn          DifferenceKind = "sharing_on"
	LockDownOn         DifferenceKind = "lockdown_on"
	LockDownOff        DifferenceKind = "lockdown_off"
	VerificationOn     DifferenceKind = "verification_on"
	VerificationOff    DifferenceKind = "verification_off"
	VerificationPeriod DifferenceKind = "verification_period"

	EntranceShared    DifferenceKind = "entrance_shared"
	EntranceNotShared DifferenceKind = "entrance_not_shared"
	EntranceTimes     DifferenceKind = "entrance_times"
	EntranceAlways    DifferenceKind = "entrance_always"
)

// Difference is one thing that has changed for somebody, as a message tells it. It
// has ids, instants and enums only; the words are the reader's language (E7).
type Difference struct {
	What       DifferenceKind `json:"what"`
	EntranceID string         `json:"entrance_id,omitzero"`
	Start      time.Time      `json:"start,omitzero"`
	End        time.Time      `json:"end,omitzero"`
	Schedules  []Schedule     `json:"schedules,omitempty"`
	Period     time.Duration  `json:"period,omitzero"` // without use, until verification lapses; zero: never
	Until      time.Time      `json:"until,omitzero"`  // until when this guest counts as verified
}

// PolicyDifferences is what a change of a property's policy means for a live
// invitation (I12, I17). f has the policy after the change, which happened at at.
// What concerns nobody's access is no difference: caps, periods of answers, histories.
func PolicyDifferences(f Facts, before Policy, at time.Time) []Difference {
	list := LockDownDifferences(before, f.Policy)
	if f.Policy.SharingEnabled != before.SharingEnabled {
		list = append(list, Difference{What: pick(f.Policy.SharingEnabled, SharingOn, SharingOff)})
	}
	if !f.acceptedBefore(at) {
		return list // whoever accepts later finds the rules as they are
	}
	asked, asks := before.Verification == VerificationOnSite, f.Policy.Verification == VerificationOnSite
	d := Difference{Period: f.Policy.ReverifyAfter}
	switch {
	case asked && !asks:
		d = Difference{What: VerificationOff}
	case asks && !asked:
		d.What = VerificationOn
	case asks && f.Policy.ReverifyAfter != before.ReverifyAfter:
		d.What = VerificationPeriod
	default:
		return list
	}
	if status := VerificationAt(f, at); status.State == VerificationDone {
		d.Until = status.ValidUntil
	}
	return append(list, d)
}

// LockDownDifferences is what a lock-down, or the end of one, means for everybody
// who has access at the property: guests and visitors (I17).
func LockDownDifferences(before, after Policy) []Difference {
	if before.LockedDown() == after.LockedDown() {
		return nil
	}
	return []Difference{{What: pick(after.LockedDown(), LockDownOn, LockDownOff)}}
}

// EntranceDifferences is what a change of an entrance means for the invitations
// that contain it (I12). What guests cannot open before and after is no difference.
func EntranceDifferences(before, after Entrance) []Difference {
	var list []Difference
	switch {
	case !before.Shareable && !after.Shareable:
		return nil
	case !after.Shareable:
		return []Difference{{What: EntranceNotShared, EntranceID: after.ID}}
	case !before.Shareable:
		list = append(list, Difference{What: EntranceShared, EntranceID: after.ID})
		if len(after.Schedules) == 0 {
			return list
		}
	case sameSchedules(before.Schedules, after.Schedules):
		return nil
	}
	if len(after.Schedules) == 0 {
		return append(list, Difference{What: EntranceAlways, EntranceID: after.ID})
	}
	return append(list, Difference{What: EntranceTimes, EntranceID: after.ID, Schedules: after.Schedules})
}

func sameSchedules(a, b []Schedule) bool {
	return slices.EqualFunc(a, b, func(a, b Schedule) bool {
		return a.From == b.From && a.To == b.To && slices.Equal(a.Days, b.Days)
	})
}

func pick(on bool, yes, no DifferenceKind) DifferenceKind {
	if on {
		return yes
	}
	return no
}
