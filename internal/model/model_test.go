package model_test

import (
	"time"
)

// visit is a reservation as the model sees it: what the host asked for last.
type visit struct {
	code     string
	start    time.Time
	end      time.Time // zero: ongoing
	revoked  bool
	resends  int             // accepted requests to send the instructions again
	reminded map[string]bool // end dates
}

// asked is what the box was told of a visit when it could last be reached.
type asked struct {
	start, end time.Time
	revoked    bool
}

// mayPickUp says whether a visitor may take the key by what the box was told (K1, K2,
// K8, K10).
func (a asked) mayPickUp(now time.Time) bool {
	begun := !now.Before(a.start)
	over := !a.end.IsZero() && !now.Before(a.end)
	return begun && !over && !a.revoked
}

// endDate is the calendar day on which access expires, by the wall clock: the day
// of the last moment before the end (K6).
func endDate(end time.Time, zone *time.Location) string {
	year, month, day := end.In(zone).Date()
	if hour, minute, second := end.In(zone).Clock(); hour == 0 && minute == 0 && second == 0 {
		return time.Date(year, month, day-1, 12, 0, 0, 0, time.UTC).Format("2006-01-02")
	}
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC).Format("2006-01-02")
}

// place is where the key is: in a slot, or in somebody's hand.
type place struct {
	slot int    // 0: in a hand
	hand string // whose
}
