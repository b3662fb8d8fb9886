package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	pidFileName = "postmaster.pid"
	logName     = "postgres.log"
)

// run leaves the server running and c.socket known: the one that a killed
// process left behind if there is one, else a new one.
func (c *Cluster) run(ctx context.Context) error {
	leftover, err := c.leftover(ctx)
	if err != nil {
		return err
	}
	if leftover {
		c.log.InfoContext(ctx, "going on with the database server that is running already")
		return nil
	}
	return c.launch(ctx)
}

// pidFile is what the server wrote about itself in postmaster.pid.
type pidFile struct {
	pid    int
	socket string
	lines  []string
}

// readPidFile gives nil if there is none, or one too short to tell anything.
func (c *Cluster) readPidFile() (*pidFile, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, pidFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", pidFileName, err)
	}
	lines := strings.Split(string(text), "\n")
	const pidLine, socketLine = 0, 4
	pid, err := strconv.Atoi(strings.TrimSpace(lines[pidLine]))
	if err != nil || len(lines) <= socketLine {
		return nil, nil
	}
	return &pidFile{pid: pid, socket: strings.TrimSpace(lines[socketLine]), lines: lines}, nil
}

// leftover waits for a server that a killed process left behind to answer. It is
// false when there is none, or when it went away meanwhile (it was stopping).
func (c *Cluster) leftover(ctx context.Context) (bool, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		file, err := c.readPidFile()
		if err != nil || file == nil {
			return false, err
		}
		if !c.isOurServer(ctx, file.pid) {
			return false, c.disarm(file)
		}
		c.socket = file.socket
		err = c.ping(ctx)
		if err == nil {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, failure(c.dataDir, "waiting for the database server that is running already", errors.Join(ctx.Err(), err), "")
		case <-again.C:
		}
	}
}

// ping connects once. A server that is starting or stopping refuses.
func (c *Cluster) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.AdminDSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the database server: %w", err)
	}
	return conn.Close(ctx)
}

// isOurServer tells whether the process is this cluster's server. After a reboot,
// and always in a container, the number may be somebody else's by now.
func (c *Cluster) isOurServer(ctx context.Context, pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil { // not Linux, or gone
		line, err = exec.CommandContext(ctx, "ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	}
	args := strings.ReplaceAll(strings.TrimSpace(string(line)), "\x00", " ") + " "
	return err == nil && strings.Contains(args, " -D "+c.dir+" ")
}

// disarm makes the traces of a dead server harmless. PostgreSQL would refuse to
// start while any process has its number. The pid file is not removed, because its
// shared memory key lets PostgreSQL see whether parts of the old server still run;
// the lock of the socket only repeats the number.
func (c *Cluster) disarm(file *pidFile) error {
	const nobody = "2147483646" // no system hands out such a number
	file.lines[0] = nobody
	if err := c.writeInCluster(filepath.Join(c.dir, pidFileName), strings.Join(file.lines, "\n")); err != nil {
		return failure(c.dataDir, "clearing the traces of a server that was killed", err, "")
	}
	err := os.Remove(filepath.Join(file.socket, ".s.PGSQL."+port+".lock"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(c.dataDir, "clearing the traces of a server that was killed", err, "")
	}
	return nil
}

// launch starts a server and waits until it accepts connections, which after a
// crash is when it has recovered.
func (c *Cluster) launch(ctx context.Context) error {
	socket, err := c.socketDir()
	if err != nil {
		return err
	}
	if err := c.writeInCluster(filepath.Join(c.dir, settingsName), settings(socket)); err != nil {
		return failure(c.dataDir, "writing the database's settings", err, "")
	}
	log, err := openLog(filepath.Join(c.dataDir, logName))
	if err != nil {
		return failure(c.dataDir, "opening the database's log", err, "")
	}
	defer closeQuietly(log)
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the end of the database's log: %w", err)
	}
	// pg_ctl gives the server a session of its own, so that Ctrl-C in a terminal
	// reaches Latchkey only, which then stops the server in good order. The log is
	// handed over open: the server's account may not be able to reach its path.
	start := c.programs.command(ctx, c.account, "pg_ctl", "start", "-s", "-D", c.dir, "-w", "-t", "600")
	start.Stdout, start.Stderr = log, log
	c.socket = socket
	if err := start.Run(); err != nil {
		words := make([]byte, 64<<10)
		n, readErr := log.ReadAt(words, from)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			err = errors.Join(err, readErr)
		}
		err = failure(c.dataDir, "starting PostgreSQL (its log: "+log.Name()+")", errors.Join(err, ctx.Err()), string(words[:n]))
		return errors.Join(err, c.abandon())
	}
	return nil
}

// openLog opens the server's log; one that has grown large becomes the single
// older one.
func openLog(path string) (*os.File, error) {
	const large = 16 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > large {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("put the old log aside: %w", err)
		}
	}
	log, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return log, nil
}

// socketDir gives the directory of the unix socket: the cluster's own, which is
// private already, unless the path is longer than a socket's name can be or has
// signs that mean something in the settings.
func (c *Cluster) socketDir() (string, error) {
	const longest = 103 // bytes, of the name as a whole; Linux: 107, macOS: 103
	plain := strings.IndexFunc(c.dir, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-", r)
	}) < 0
	if plain && len(filepath.Join(c.dir, ".s.PGSQL."+port)) <= longest {
		return c.dir, nil
	}
	hash := sha256.Sum256([]byte(c.dir))
	dir := filepath.Join(os.TempDir(), "latchkey-"+hex.EncodeToString(hash[:8]))
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = c.account.give(dir)
	} else if errors.Is(err, fs.ErrExist) {
		err = c.private(dir)
	}
	if err != nil {
		return "", failure(c.dataDir, "making a directory for the database's socket", err, "")
	}
	return dir, nil
}

// private makes sure that a directory in a place where everybody may write is
// the server's own: whoever owned it could pose as the server.
func (c *Cluster) private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != c.account.uid || info.Mode().Perm() != 0o700 {
		return failf(CodeForeignDirectory, nil, "%s is needed for the database's socket but was made by somebody else: remove it", dir)
	}
	return nil
}

// provision makes sure of the role, its password and the application's database.
func (c *Cluster) provision(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.AdminDSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect as the superuser: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is lost with it
	_, err = conn.Exec(ctx, "CREATE ROLE "+ownerRole+" LOGIN CREATEDB")
	if err != nil && !exists(err) {
		return fmt.Errorf("make the role: %w", err)
	}
	// Changed only when it is not the kept one: each change writes to the catalogue.
	if own, err := pgx.Connect(ctx, c.DSN("postgres")); err == nil {
		if err := own.Close(ctx); err != nil {
			return fmt.Errorf("disconnect: %w", err)
		}
	} else if _, err := conn.Exec(ctx, "ALTER ROLE "+ownerRole+" PASSWORD '"+strings.ReplaceAll(c.password, "'", "''")+"'"); err != nil {
		return fmt.Errorf("set the role's password: %w", err)
	}
	return c.EnsureDatabase(ctx, Database)
}

// EnsureDatabase makes a database, owned by the role of DSN, if there is none of
// that name. The name is a plain lower-case identifier.
func (c *Cluster) EnsureDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, c.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to make a database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is lost with it
	var found bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found); err != nil {
		return fmt.Errorf("look for the database %s: %w", name, err)
	}
	if found {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil && !exists(err) {
		return failure(c.dataDir, "making the database "+name, err, "")
	}
	return nil
}

// exists tells whether a CREATE failed because there is one already, or because
// the last statement of a process that was killed has just made it.
func exists(err error) bool {
	const duplicateObject, duplicateDatabase, uniqueViolation = "42710", "42P04", "23505"
	var fromServer *pgconn.PgError
	if !errors.As(err, &fromServer) {
		return false
	}
	switch fromServer.Code {
	case duplicateObject, duplicateDatabase, uniqueViolation:
		return true
	default:
		return false
	}
}
