package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// confirmedWithin is how long a reachable panel may take to confirm a revocation, or
	// a change of the manager's.
	confirmedWithin = time.Second
	// toldWithin is how long it may take until everybody concerned has been told.
	toldWithin = 5 * time.Minute
)

// revocations measures how soon the end of an access is everywhere: the answer of
// the API, after which no unlock is decided for it, and the panel's confirmation (P5).
func (b *bench) revocations(ctx context.Context, base *baseline, count int) error {
	answered, confirmed := timings{}, timings{}
	for n := range count {
		id, err := b.guest(ctx, 2_000_000+n)
		if err != nil {
			return err
		}
		if err := base.holds(ctx, id, false); err != nil {
			return err
		}
		begin := time.Now()
		if _, err := b.post(ctx, "/v1/invitations/"+id+"/revoke", nil); err != nil {
			return err
		}
		answered = append(answered, time.Since(begin))
		refused, err := b.app.Post(ctx, "/v1/invitations/"+id+"/unlock", "", map[string]any{"entrance_id": b.entrance})
		if err != nil {
			return err
		}
		if refused.Status != http.StatusForbidden {
			return fmt.Errorf("an unlock after the revocation was answered %d %s", refused.Status, refused.Code())
		}
		if err := base.holds(ctx, id, true); err != nil {
			return err
		}
		confirmed = append(confirmed, time.Since(begin))
	}
	fmt.Printf("\n%d revocations, one after another, each refused at once and then confirmed by the panel:\n", count)
	samples{"answered": answered, "confirmed": confirmed}.print("answered", "confirmed")
	fmt.Printf("  confirmed within %.2f s at p99 (wanted: within %.0f)\n", confirmed.at(99).Seconds(), confirmedWithin.Seconds())
	return nil
}

// guest invites somebody and accepts for them.
func (b *bench) guest(ctx context.Context, n int) (id string, err error) {
	if id, err = b.invite(ctx, n); err != nil {
		return "", err
	}
	_, err = b.post(ctx, "/v1/invitations/"+id+"/accept", map[string]any{"guest_email": benchGuest(n)})
	return id, err
}

// holds waits until every panel has confirmed what it should hold about an item,
// access or the end of it.
func (b *baseline) holds(ctx context.Context, itemID string, ended bool) error {
	return b.eventually(ctx, 30*time.Second, `SELECT count(*) > 0 AND bool_and(confirmed_revision >= desired_revision AND (desired ->> 'tombstone')::bool = $2)
		FROM grants WHERE grant_id = $1`, itemID, ended)
}

// eventually asks again and again until the answer of a query is true.
func (b *baseline) eventually(ctx context.Context, within time.Duration, query string, args ...any) error {
	for begin := time.Now(); ; {
		var done bool
		if err := b.pool.QueryRow(ctx, query, args...).Scan(&done); err != nil || done {
			return err
		}
		if time.Since(begin) > within {
			return fmt.Errorf("not within %s: %s", within, query)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// managed is a property with very many live invitations, whose manager changes the
// rules while people open the door.
type managed struct {
	*bench
	base *baseline
}

// manage sets up another property with a door like the first one's.
func manage(ctx context.Context, host *throwaway, base *baseline, guests int) (*managed, error) {
	b, err := benchDoor(ctx, host, "Managed")
	if err != nil {
		return nil, err
	}
	fmt.Printf("\nInviting %d guests who accept…\n", guests)
	begin := time.Now()
	if err := parallel(creators, guests, func(n int) error {
		_, err := b.guest(ctx, 3_000_000+n)
		return err
	}); err != nil {
		return nil, err
	}
	fmt.Printf("  %.0f a second\n", float64(guests)/time.Since(begin).Seconds())
	return &managed{bench: b, base: base}, base.settled(ctx)
}

// settled waits until nothing is under way: no panel is behind and no message waits.
func (b *baseline) settled(ctx context.Context) error {
	return b.eventually(ctx, 5*time.Minute, `SELECT NOT EXISTS (SELECT FROM grants g JOIN panels p ON p.id = g.panel_id
			WHERE g.confirmed_revision < g.desired_revision AND p.enrolled_at IS NOT NULL)
		AND NOT EXISTS (SELECT FROM messages WHERE state = 'queued')`)
}

// change measures a change of opening times and a lock-down (I12, I17): the next
// unlock goes by it, the panel has it, and then everybody is told, while the door
// goes on opening.
func (m *managed) change(ctx context.Context, guests, quietCount int) error {
	things := map[string]func(context.Context) error{"unlock": m.unlock}
	quiet, err := measure(ctx, quietCount, things)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := m.patch(ctx, "/v1/entrances/"+m.entrance, map[string]any{"schedules": []map[string]any{
		{"days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "from": "00:00", "to": "24:00"},
	}}); err != nil {
		return err
	}
	answered := time.Since(begin)
	if err := m.base.policyConfirmed(ctx, m.entrance); err != nil {
		return err
	}
	confirmed := time.Since(begin)
	busy, told, err := m.whileTelling(ctx, begin, guests)
	if err != nil {
		return err
	}
	fmt.Printf("\nOpening times changed for %d live invitations (quiet, then meanwhile):\n", guests+1)
	quiet.print("unlock")
	busy.print("unlock")
	fmt.Printf("  answered after %.0f ms, at the panel after %.0f ms (wanted: within %.0f), everybody told after %.0f s (wanted: within %.0f)\n",
		ms(answered), ms(confirmed), ms(confirmedWithin), told.Seconds(), toldWithin.Seconds())
	fmt.Printf("  unlock p99 is %.2f times the quiet one (wanted: at most 2)\n", ratio(busy["unlock"].at(99), quiet["unlock"].at(99)))
	return m.lockDown(ctx)
}

// whileTelling unlocks until everybody has been told.
func (m *managed) whileTelling(ctx context.Context, begin time.Time, guests int) (samples, time.Duration, error) {
	busy := samples{}
	looked := time.Now()
	for {
		took, err := timed(ctx, m.unlock)
		if err != nil {
			return nil, 0, err
		}
		busy["unlock"] = append(busy["unlock"], took)
		if time.Since(looked) < time.Second {
			continue
		}
		looked = time.Now()
		var people int
		err = m.base.pool.QueryRow(ctx, `SELECT count(DISTINCT person_id) FROM messages WHERE template = 'access_rules_changed' AND state = 'sent' AND created_at >= $1`, begin).Scan(&people)
		if err != nil {
			return nil, 0, err
		}
		if people == guests+2 { // the guest at the door and the one who invited them all
			return busy, time.Since(begin), nil
		}
		if time.Since(begin) > 2*toldWithin {
			return nil, 0, fmt.Errorf("only %d of %d people were told within %s", people, guests+2, 2*toldWithin)
		}
	}
}

// lockDown measures how soon nobody gets in any more.
func (m *managed) lockDown(ctx context.Context) error {
	begin := time.Now()
	if _, err := m.post(ctx, "/v1/properties/"+m.property+"/lockdown", map[string]any{"on": true}); err != nil {
		return err
	}
	answered := time.Since(begin)
	refused, err := m.app.Post(ctx, "/v1/invitations/"+m.invitation+"/unlock", "", map[string]any{"entrance_id": m.entrance})
	if err != nil {
		return err
	}
	if refused.Code() != "locked_down" {
		return fmt.Errorf("under lock-down an unlock was answered %d %s", refused.Status, refused.Code())
	}
	if err := m.base.policyConfirmed(ctx, m.entrance); err != nil {
		return err
	}
	fmt.Printf("  lock-down: refused after %.0f ms, at the panel after %.0f ms (wanted: within %.0f)\n", ms(answered), ms(time.Since(begin)), ms(confirmedWithin))
	_, err = m.post(ctx, "/v1/properties/"+m.property+"/lockdown", map[string]any{"on": false})
	return err
}

// policyConfirmed waits until the panel has the newest policy of an entrance (P2).
func (b *baseline) policyConfirmed(ctx context.Context, entranceID string) error {
	return b.eventually(ctx, 30*time.Second, `SELECT count(*) > 0 AND bool_and(confirmed_version >= desired_version) FROM panel_policies WHERE entrance_id = $1`, entranceID)
}

func (b *bench) patch(ctx context.Context, path string, body any) error {
	answer, err := b.app.Do(ctx, http.MethodPatch, path, "", body)
	if err == nil && answer.Status != http.StatusOK {
		err = errors.New("PATCH " + path + ": " + answer.Body.Text("detail"))
	}
	return err
}
