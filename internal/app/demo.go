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

// Demo plays the story of an invitation against an engine of its own, in a
// directory that is removed afterwards.
type Demo struct {
	Stay  time.Duration `help:"How long the guest's access lasts." default:"24s"`
	Quiet time.Duration `help:"After how long without use the guest must verify again." default:"4s"`
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

	s := &story.Story{
		Engine: story.NewClient(host.url, host.key), Stay: c.Stay, Quiet: c.Quiet, Run: "demo",
		GuestMail: "ana@example.com", HostMail: "rosa@example.com",
		PutUp: putUpInProcess(ctx, host.url),
		Tell:  func(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) },
	}
	begin := time.Now()
	for _, step := range s.Steps() {
		fmt.Printf("\n[%5.1f s] %s\n", time.Since(begin).Seconds(), step.Name)
		stepCtx, cancel := context.WithTimeout(ctx, c.Stay+30*time.Second)
		err := step.Play(stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("the story broke off at %q: %w", step.Name, err)
		}
	}
	fmt.Printf("\nThe end, after %.0f seconds. In the Temporal UI the invitation was the workflow invitation/%s.\n", time.Since(begin).Seconds(), s.Invitation)
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
