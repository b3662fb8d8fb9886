package access

import (
	"fmt"
	"time"
)

// MaxSchedules is how many weekly schedules an entrance can have (I12).
const MaxSchedules = 3

// Weekday is a day of the week on the wire: "mon" to "sun".
type Weekday string

var weekdays = map[Weekday]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// Schedule is a weekly period in the property's zone in which guests may unlock
// an entrance (I12). To before or equal to From runs over midnight and belongs to
// the day on which it begins. "24:00" is the end of the day.
type Schedule struct {
	Days []Weekday `json:"days"`
	From string    `json:"from"`
	To   string    `json:"to"`
}

// CheckSchedules refuses more than [MaxSchedules], unknown days and clock times.
func CheckSchedules(schedules []Schedule) error {
	if len(schedules) > MaxSchedules {
		return fmt.Errorf("an entrance has at most %d schedules; merge or remove some", MaxSchedules)
	}
	for _, s := range schedules {
		if len(s.Days) == 0 {
			return fmt.Errorf("a schedule needs at least one day, such as \"mon\"")
		}
		for _, d := range s.Days {
			if _, ok := weekdays[d]; !ok {
				return fmt.Errorf("%q is not a day: use mon, tue, wed, thu, fri, sat or sun", d)
			}
		}
		if _, err := clockMinutes(s.From); err != nil {
			return err
		}
		if _, err := clockMinutes(s.To); err != nil {
			return err
		}
	}
	return nil
}

func clockMinutes(clock string) (int, error) {
	if clock == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", clock)
	if err != nil {
		return 0, fmt.Errorf("%q is not a clock time like 08:00", clock)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// ScheduleOpen reports whether an entrance with these schedules is open to guests
// at the instant, and otherwise from when it is next (zero if never). No schedule
// means always open (I12). Overnight and DST days follow wall-clock time (T1).
func ScheduleOpen(schedules []Schedule, zone *time.Location, at time.Time) (open bool, from time.Time) {
	if len(schedules) == 0 {
		return true, time.Time{}
	}
	local := at.In(zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	for day := -1; day <= 8; day++ {
		date := midnight.AddDate(0, 0, day)
		for _, s := range schedules {
			start, end, ok := s.on(date, zone)
			switch {
			case !ok || !at.Before(end):
			case !at.Before(start):
				return true, time.Time{}
			case from.IsZero() || start.Before(from):
				from = start
			}
		}
	}
	return false, from
}

// on gives the instants between which the schedule is open on a date, which is
// passed as midnight in UTC. A schedule that fails to parse opens nothing.
func (s Schedule) on(date time.Time, zone *time.Location) (start, end time.Time, ok bool) {
	for _, d := range s.Days {
		day, known := weekdays[d]
		if !known || day != date.Weekday() {
			continue
		}
		from, errFrom := clockMinutes(s.From)
		to, errTo := clockMinutes(s.To)
		if errFrom != nil || errTo != nil {
			return start, end, false
		}
		if to <= from {
			to += 24 * 60
		}
		start = resolveWall(date.Add(time.Duration(from)*time.Minute), zone, StartEdge)
		end = resolveWall(date.Add(time.Duration(to)*time.Minute), zone, EndEdge)
		return start, end, start.Before(end)
	}
	return start, end, false
}
