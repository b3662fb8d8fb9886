package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	// Database is the application's database; Start makes it.
	Database = "latchkey"

	ownerRole = "latchkey" // owns the databases, signs in by password
	superuser = "postgres" // signs in by operating system account, see pg_ident.conf
	port      = "5432"     // only a part of the socket's name
)

// Cluster is a running private PostgreSQL.
type Cluster struct {
	dataDir  string // DIR of `latchkey up`
	dir      string // the cluster itself
	programs *programs
	account  account
	socket   string // the directory of the unix socket
	password string
	log      *slog.Logger
}

// Start gives the running cluster of dataDir: it makes it on the first start,
// starts it on later ones, and goes on with it where a killed process left it
// running. When it returns, the role and the application's database exist and
// accept connections. The caller holds the data directory's Lock.
//
// Trouble that a person must put right is an *Error. ctx bounds the start only.
func Start(ctx context.Context, dataDir string, log *slog.Logger) (*Cluster, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	if err := claim(dataDir); err != nil {
		return nil, err
	}
	c := &Cluster{dataDir: dataDir, dir: filepath.Join(dataDir, "postgres"), log: log}
	if c.account, err = serverAccount(c.dir); err != nil {
		return nil, err
	}
	major, err := clusterMajor(c.dir)
	if err != nil {
		return nil, err
	}
	var installed []programs
	if c.programs, installed, err = findPrograms(ctx, major); err != nil {
		return nil, err
	}
	if c.programs == nil {
		return nil, wrongMajor(c.dir, major, installed, c.account)
	}
	if c.password, err = keepPassword(filepath.Join(dataDir, "postgres-password")); err != nil {
		return nil, failure(dataDir, "keeping the database's password", err, "")
	}
	c.sweep(ctx)
	if major == 0 {
		log.InfoContext(ctx, "making the database cluster", slog.Int("postgresql", c.programs.major))
		if err := c.initialise(ctx); err != nil {
			return nil, err
		}
	}
	if c.dir, err = filepath.EvalSymlinks(c.dir); err != nil {
		return nil, fmt.Errorf("follow the link to the cluster: %w", err)
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if err := c.provision(ctx); err != nil {
		return nil, errors.Join(failure(dataDir, "preparing the database", err, ""), c.abandon())
	}
	return c, nil
}

// abandon stops a server whose start came to nothing.
func (c *Cluster) abandon() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Stop(ctx)
}

// DSN gives the connection string of a database, for pgx, with the password in
// it: keep it out of logs.
func (c *Cluster) DSN(database string) string {
	return c.dsn(url.UserPassword(ownerRole, c.password), database)
}

// AdminDSN is DSN for the superuser. It works for the operating system account
// that runs the server and for root; Latchkey itself needs it at start only.
func (c *Cluster) AdminDSN(database string) string {
	return c.dsn(url.User(superuser), database)
}

func (c *Cluster) dsn(user *url.Userinfo, database string) string {
	return (&url.URL{
		Scheme:   "postgres",
		User:     user,
		Path:     "/" + database,
		RawQuery: url.Values{"host": {c.socket}, "port": {port}, "sslmode": {"disable"}}.Encode(),
	}).String()
}

// Login gives the parts of DSN to programs that do not take one.
type Login struct{ SocketDir, Port, User, Password string }

// Login is DSN in parts.
func (c *Cluster) Login() Login {
	return Login{SocketDir: c.socket, Port: port, User: ownerRole, Password: c.password}
}

// Stop shuts the server down: open transactions are rolled back, what was
// committed is on disk. It waits until ctx ends; a server that is not down by
// then goes on shutting down by itself.
func (c *Cluster) Stop(ctx context.Context) error {
	wait := 60 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	seconds := fmt.Sprint(max(1, int(wait.Seconds())))
	out, err := c.programs.command(ctx, c.account, "pg_ctl", "stop", "-s", "-D", c.dir, "-m", "fast", "-w", "-t", seconds).CombinedOutput()
	if err != nil {
		if _, statErr := os.Stat(filepath.Join(c.dir, pidFileName)); statErr == nil {
			return failure(c.dataDir, "stopping PostgreSQL", err, string(out))
		} // else it was down already
	}
	if c.socket != c.dir {
		if err := os.Remove(c.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure(c.dataDir, "removing the directory of the database's socket", err, "")
		}
	}
	return nil
}
