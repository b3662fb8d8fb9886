package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"latchkey/internal/story"
)

// Bench measures the real program against baselines in the same run: ratios say
// more than milliseconds, which are the machine's.
type Bench struct {
	Unlocks     int  `help:"How many unlocks to measure." default:"600"`
	Invitations int  `help:"How many invitations to create beside them." default:"500"`
	Revocations int  `help:"How many revocations to measure." default:"200"`
	Managed     int  `help:"How many live invitations a change of the manager's concerns; 0: skip." default:"2000"`
	Checkout    int  `help:"How many reservations end in the same second; 0: skip." default:"5000"`
	Rest        bool `help:"Measure the program at rest a minute after 1,000 creations." default:"true" negatable:""`
}

const benchWarmUp = 150

// Run measures and prints.
func (c *Bench) Run(ctx context.Context) (err error) {
	fmt.Println("Starting an engine to measure…")
	host, err := startThrowaway(ctx, "LATCHKEY_LOG_LEVEL=warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.stop()) }()

	door, err := benchDoor(ctx, host, "Bench")
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	baseline, err := startBaseline(ctx, filepath.Join(host.dir, "data"))
	if err != nil {
		return fmt.Errorf("the baseline: %w", err)
	}
	defer func() { err = errors.Join(err, baseline.stop()) }()
	updates, err := startNoOp(ctx, host.temporal)
	if err != nil {
		return fmt.Errorf("the no-op update: %w", err)
	}
	defer updates.stop()

	quiet, err := measure(ctx, c.Unlocks, map[string]func(context.Context) error{"unlock": door.unlock, "baseline": door.at(baseline.server.URL).unlock})
	if err != nil {
		return err
	}
	bare, err := measure(ctx, c.Unlocks, map[string]func(context.Context) error{"no-op update": updates.update})
	if err != nil {
		return err
	}
	quiet["no-op update"] = bare["no-op update"]
	fmt.Printf("\nOne after another, in turn, %d of each after %d to warm up:\n", c.Unlocks, benchWarmUp)
	quiet.print("unlock", "baseline", "no-op update")
	fmt.Printf("  unlock is %.2f times the baseline at p50 (wanted: at most 1.5) and %.2f times a bare Temporal update\n",
		ratio(quiet["unlock"].at(50), quiet["baseline"].at(50)), ratio(quiet["unlock"].at(50), quiet["no-op update"].at(50)))

	busy, took, err := door.whileCreating(ctx, c.Unlocks, c.Invitations)
	if err != nil {
		return err
	}
	fmt.Printf("\nWhile %d invitations were created (%.0f a second):\n", c.Invitations, float64(c.Invitations)/took.Seconds())
	busy.print("unlock")
	fmt.Printf("  unlock p99 is %.2f times the quiet one (wanted: at most 2)\n", ratio(busy["unlock"].at(99), quiet["unlock"].at(99)))
	if c.Rest {
		if err := door.atRest(ctx, host, 1000-c.Invitations); err != nil {
			return err
		}
	}
	if err := door.revocations(ctx, baseline, c.Revocations); err != nil {
		return err
	}
	if c.Managed > 0 {
		managed, err := manage(ctx, host, baseline, c.Managed)
		if err != nil {
			return err
		}
		if err := managed.change(ctx, c.Managed, c.Unlocks); err != nil {
			return err
		}
	}
	if c.Checkout == 0 {
		return nil
	}
	checkout, err := door.checkout(ctx, host, baseline)
	if err != nil {
		return fmt.Errorf("set up the check-out: %w", err)
	}
	return checkout.run(ctx, c.Checkout, c.Unlocks)
}

// bench is a door that can be unlocked and a property to invite to.
type bench struct {
	app        *story.Client
	property   string
	entrance   string
	invitation string
}

// benchDoor sets up a property, a panel and an accepted invitation.
func benchDoor(ctx context.Context, host *throwaway, name string) (*bench, error) {
	b := &bench{app: story.NewClient(host.url, host.key)}
	property, err := b.post(ctx, "/v1/properties", map[string]any{"name": name, "time_zone": "UTC"})
	if err != nil {
		return nil, err
	}
	b.property = property.Text("id")
	panel, err := b.post(ctx, "/v1/panels", map[string]any{"property_id": b.property, "name": "Panel", "kind": "door"})
	if err != nil {
		return nil, err
	}
	entrance, err := b.post(ctx, "/v1/entrances", map[string]any{"property_id": b.property, "panel_id": panel.Text("id"), "name": "Door", "shareable": true})
	if err != nil {
		return nil, err
	}
	b.entrance = entrance.Text("id")
	if _, err := putUpInProcess(ctx, host.url)(ctx, name, panel.Text("enrolment_code")); err != nil {
		return nil, err
	}
	if b.invitation, err = b.invite(ctx, 0); err != nil {
		return nil, err
	}
	_, err = b.post(ctx, "/v1/invitations/"+b.invitation+"/accept", map[string]any{"guest_email": benchGuest(0)})
	return b, err
}

// at is the same door behind another server.
func (b *bench) at(url string) *bench {
	other := *b
	other.app = story.NewClient(url, b.app.Token)
	return &other
}

func benchGuest(n int) string { return fmt.Sprintf("guest-%d@example.com", n) }

func (b *bench) invite(ctx context.Context, n int) (id string, err error) {
	invitation, err := b.post(ctx, "/v1/invitations", map[string]any{
		"property_id": b.property, "inviter": map[string]any{"name": "Host", "email": "host@example.com"},
		"guest": map[string]any{"name": "Guest", "email": benchGuest(n)}, "entrance_ids": []string{b.entrance},
	})
	return invitation.Text("id"), err
}

func (b *bench) post(ctx context.Context, path string, body any) (story.Object, error) {
	answer, err := b.app.Post(ctx, path, "", body)
	if err == nil && answer.Status != http.StatusOK && answer.Status != http.StatusCreated {
		err = fmt.Errorf("POST %s answered %d: %s", path, answer.Status, answer.Body.Text("detail"))
	}
	return answer.Body, err
}

// unlock opens the door once, from the request to the opened door and back.
func (b *bench) unlock(ctx context.Context) error {
	_, err := b.post(ctx, "/v1/invitations/"+b.invitation+"/unlock", map[string]any{"entrance_id": b.entrance})
	return err
}

// creators is how many apps create invitations at the same time.
const creators = 4

// create makes invitations, numbered from first on.
func (b *bench) create(ctx context.Context, first, count int) error {
	return parallel(creators, count, func(n int) error {
		_, err := b.invite(ctx, first+n)
		return err
	})
}

// whileCreating unlocks one after another for as long as invitations are created.
func (b *bench) whileCreating(ctx context.Context, atLeast, invitations int) (samples, time.Duration, error) {
	begin := time.Now()
	var took time.Duration
	created := make(chan error, 1)
	go func() {
		err := b.create(ctx, 1, invitations)
		took = time.Since(begin)
		created <- err
	}()
	unlocks := timings{}
	for {
		one, err := timed(ctx, b.unlock)
		if err != nil {
			return nil, 0, err
		}
		unlocks = append(unlocks, one)
		select {
		case err := <-created:
			if len(unlocks) < atLeast {
				fmt.Printf("  (%d unlocks fitted in)\n", len(unlocks))
			}
			return samples{"unlock": unlocks}, took, err
		default:
		}
	}
}
