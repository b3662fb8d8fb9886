// Command latchkey is the access lifecycle engine: all of it in one process
// (latchkey up), or one role of it at a time.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones of properties, on machines without a tz database

	"github.com/alecthomas/kong"

	"latchkey/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var commands app.Commands
	parser, err := kong.New(&commands,
		kong.Name("latchkey"),
		kong.Description("A self-hosted access lifecycle engine: invitations to doors, durable, observable, right."),
		kong.DefaultEnvars(app.EnvPrefix),
		kong.Vars{"version": app.Version},
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fail(err)
	}
	if err := app.CheckEnvironment(parser.Model, os.Environ()); err != nil {
		fail(err)
	}
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fail(fmt.Errorf("%w (see latchkey --help)", err))
	}
	if err := command.Run(); err != nil {
		fail(err)
	}
}

// fail says in one sentence what to do and ends with 1.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "latchkey:", err)
	os.Exit(1)
}
