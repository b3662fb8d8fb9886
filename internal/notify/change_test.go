package notify_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/notify"
)

// I12, I14, I17: every kind of change is a sentence of its own in every language, with
// entrance, times and until when where it has them.
func TestI12EveryChangeIsASentence(t *testing.T) {
	kinds := []access.DifferenceKind{
		access.WindowMoved, access.EntranceAdded, access.EntranceRemoved, access.SharingOff, access.SharingOn, access.LockDownOn, access.LockDownOff,
		access.VerificationOn, access.VerificationOff, access.VerificationPeriod, access.EntranceShared, access.EntranceNotShared, access.EntranceTimes,
		access.EntranceAlways,
	}
	for _, locale := range languages {
		d := facts(locale)
		d.KeyName, d.Changes = "", nil
		for _, kind := range kinds {
			d.Changes = append(d.Changes, notify.Change{EntranceName: d.EntranceName, Difference: access.Difference{What: kind, End: d.EndsAt,
				Schedules: []access.Schedule{{Days: []access.Weekday{"mon", "wed", "sun"}, From: "08:00", To: "24:00"}}}})
		}
		for _, period := range []time.Duration{24 * time.Hour, 36 * time.Hour, 90 * time.Minute, 45 * time.Second} {
			d.Changes = append(d.Changes, notify.Change{Difference: access.Difference{What: access.VerificationPeriod, Period: period, Until: d.EndsAt}})
		}
		golden(t, "access_rules_changed-guest."+locale+".txt", render(t, access.TemplateAccessRulesChanged, locale, d).Text)
		d.ToMember, d.Changes = true, d.Changes[3:4]
		member := render(t, access.TemplateAccessRulesChanged, locale, d)
		golden(t, "access_rules_changed-member."+locale+".txt", member.Subject+"\n\n"+member.Text)
	}
}

// I17: who takes over is told how much, without the property of any one item.
func TestI17TakingOver(t *testing.T) {
	m := render(t, access.TemplateInvitationsMoved, "en", notify.Data{MemberName: "Ben", Guests: 12})
	if !strings.Contains(m.Text, "12") || strings.Contains(m.Text, "Visitors") {
		t.Errorf("says:\n%s", m.Text)
	}
}
