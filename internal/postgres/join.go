package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// CodeNotRunning says that a data directory's server does not run.
const CodeNotRunning Code = "postgresql_not_running"

// Join gives the cluster of dataDir that another process runs, for a command
// beside it. It starts nothing and changes nothing; where no server runs it says
// what to do (CodeNotRunning). Do not stop the cluster: it is the other process's.
func Join(ctx context.Context, dataDir string) (*Cluster, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	password, err := os.ReadFile(filepath.Join(dataDir, "postgres-password"))
	c := &Cluster{dataDir: dataDir, password: strings.TrimSpace(string(password))}
	if err == nil {
		c.dir, err = filepath.EvalSymlinks(filepath.Join(dataDir, "postgres"))
	}
	var running *pidFile
	if err == nil {
		running, err = c.readPidFile()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, failf(CodeUnreachable, err, "%s belongs to another account: run this as that one or as root", dataDir)
	case errors.Is(err, fs.ErrNotExist):
		return nil, failf(CodeNotRunning, err, "%s has no database: name the directory that latchkey up was given with --data, or set DATABASE_URL", dataDir)
	case err != nil:
		return nil, failure(dataDir, "looking for the database server", err, "")
	case running == nil || !c.isOurServer(ctx, running.pid):
		return nil, notRunning(dataDir, nil)
	}
	c.socket = running.socket
	connection, err := pgx.Connect(ctx, c.DSN(Database))
	if err != nil {
		return nil, notRunning(dataDir, err)
	}
	return c, connection.Close(ctx)
}

func notRunning(dataDir string, cause error) error {
	return failf(CodeNotRunning, cause, "the engine of %s does not run: start it with latchkey up --data %s and try again, or set DATABASE_URL", dataDir, dataDir)
}
