package webhook

import "time"

// Schedule is how long to wait after the first, second, … failed attempt; the last
// pause repeats. Nothing in the way, that is 13 attempts in a day: at once and after
// 5 s, 35 s, 2.5 min, 12.5 min, 42.5 min, 1.7 h, 3.7 h and then every four hours.
var Schedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour,
}

const (
	// Day is for how long a delivery is tried.
	Day = 24 * time.Hour
	// leastAttempts is what a delivery gets that spent its day waiting behind another
	// one of its item.
	leastAttempts = 3
	// longestAsked is the longest Retry-After of a receiver that is followed.
	longestAsked = time.Hour
)

// retry says when to try again after a failed attempt, or that it was the last.
// attempts counts the failed one; luck in [0, 1) spreads retries that began together;
// asked is the receiver's Retry-After.
func retry(schedule []time.Duration, attempts int, until, now time.Time, luck float64, asked time.Duration) (at time.Time, dead bool) {
	pause := schedule[min(attempts, len(schedule))-1]
	pause += time.Duration(luck * float64(pause) / 10)
	at = now.Add(max(pause, min(asked, longestAsked)))
	return at, at.After(until) && attempts >= leastAttempts
}
