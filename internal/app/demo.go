package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/internal/story"
	"latchkey/panelsim"
)

// Demo plays the story of an invitation and that of a reservation against an engine
// of its own, in a directory that is removed afterwards.
type Demo struct {
	Stay     time.Duration `help:"How long the guest's access lasts." default:"24s"`
	Quiet    time.Duration `help:"After how long without use the guest must verify again." default:"4s"`
	Visit    time.Duration `help:"How long the visitor may have the key." default:"8s"`
	Cooldown time.Duration `help:"How long until instructions can be sent again." default:"3s"`
}

// Run tells the story.
func (c *Demo) Run(ctx context.Context) (err error) {
	fmt.Println("Starting an engine for this demo: PostgreSQL, Temporal, API, all private and temporary…")
	host, err := startThrowaway(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.stop()) }()
	fmt.Printf("  API and messages  %s/dev/outbox\n  Temporal UI       %s\n", host.url, host.ui)

	stage := story.Story{
		Engine: story.NewClient(host.url, host.key), Stay: c.Stay, Quiet: c.Quiet, Run: "demo",
		GuestMail: "ana@example.com", HostMail: "rosa@example.com",
		PutUp: putUpInProcess(ctx, host.url),
		Tell:  func(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) },
	}
	invitation := stage
	fmt.Print("\nA guest at a shared entrance\n")
	if err := play(ctx, invitation.Steps(), c.Stay); err != nil {
		return err
	}
	key := &story.KeyStory{Story: stage, Cooldown: c.Cooldown, VisitorMail: "vera@example.com", CleanerCall: "+351912345678"}
	key.Stay, key.HostMail = c.Visit, "hugo@example.com"
	fmt.Print("\nA key in a SmartBox\n")
	if err := play(ctx, key.Steps(), c.Visit); err != nil {
		return err
	}
	fmt.Printf("\nThe end. In the Temporal UI these were the workflows invitation/%s and reservation/%s.\n", invitation.Invitation, key.Reservation)
	return nil
}

// play tells a story, step by step.
func play(ctx context.Context, steps []story.Step, lasts time.Duration) error {
	begin := time.Now()
	for _, step := range steps {
		fmt.Printf("\n[%5.1f s] %s\n", time.Since(begin).Seconds(), step.Name)
		stepCtx, cancel := context.WithTimeout(ctx, lasts+30*time.Second)
		err := step.Play(stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("the story broke off at %q: %w", step.Name, err)
		}
	}
	return nil
}

// putUpInProcess starts each panel once, in this process.
func putUpInProcess(ctx context.Context, engineURL string) func(context.Context, string, string) (*story.Client, error) {
	up := map[string]*story.Client{}
	return func(stepCtx context.Context, name, code string) (*story.Client, error) {
		if known, ok := up[name]; ok {
			return known, nil
		}
		quiet := slog.New(slog.DiscardHandler)
		p, err := panelsim.New(panelsim.Config{EngineURL: engineURL, EnrolmentCode: code, Listen: "127.0.0.1:0", Logger: quiet})
		if err != nil {
			return nil, err
		}
		failed := make(chan error, 1)
		go func() { failed <- p.Run(ctx) }()
		select {
		case <-p.Enrolled():
			up[name] = story.NewClient(p.URL(), "")
			return up[name], nil
		case err := <-failed:
			return nil, err
		case <-stepCtx.Done():
			return nil, stepCtx.Err()
		}
	}
}
