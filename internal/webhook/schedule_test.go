package webhook

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// E4: an event that always fails is tried 13 times in a day, then it is dead.
func TestScheduleIsADay(t *testing.T) {
	t.Parallel()
	now, until := noon, noon.Add(Day)
	for attempts := 1; ; attempts++ {
		at, dead := retry(Schedule, attempts, until, now, 0, 0)
		if dead {
			if attempts != 13 || now.Sub(noon) < 23*time.Hour {
				t.Errorf("dead after %d attempts in %s", attempts, now.Sub(noon))
			}
			return
		}
		if attempts > 13 {
			t.Fatal("never dead")
		}
		now = at
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempts int
		until    time.Duration
		luck     float64
		asked    time.Duration
		pause    time.Duration
		dead     bool
	}{
		"E4 the first pause is short":                     {1, Day, 0, 0, 5 * time.Second, false},
		"E4 pauses are spread by a tenth":                 {6, Day, 0.5, 0, time.Hour + 3*time.Minute, false},
		"E4 the last pause repeats":                       {40, Day, 0, 0, 4 * time.Hour, false},
		"E4 Retry-After is followed":                      {1, Day, 0, time.Minute, time.Minute, false},
		"E4 Retry-After does not shorten a pause":         {5, Day, 0, time.Minute, 30 * time.Minute, false},
		"E4 Retry-After is followed for an hour at most":  {1, Day, 0, 9 * time.Hour, time.Hour, false},
		"E4 a day is over":                                {9, time.Hour, 0, 0, 4 * time.Hour, true},
		"E4 a day spent waiting leaves three attempts: 1": {1, -time.Hour, 0, 0, 5 * time.Second, false},
		"E4 a day spent waiting leaves three attempts: 2": {2, -time.Hour, 0, 0, 30 * time.Second, false},
		"E4 a day spent waiting leaves three attempts: 3": {3, -time.Hour, 0, 0, 2 * time.Minute, true},
	} {
		at, dead := retry(Schedule, c.attempts, noon.Add(c.until), noon, c.luck, c.asked)
		if at.Sub(noon) != c.pause || dead != c.dead {
			t.Errorf("%s: after %s, dead %v; want %s, %v", name, at.Sub(noon), dead, c.pause, c.dead)
		}
	}
}
