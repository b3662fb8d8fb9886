package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rs/xid"
)

const settingsName = "latchkey.conf"

// clusterMajor gives the major version of the cluster in dir, 0 if there is no
// cluster. A directory that is not one of ours is refused.
func clusterMajor(dir string) (int, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	version, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, settingsName))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, failf(CodeForeignDirectory, err,
			"%s is not a database that Latchkey made, so it was left alone: move it away, or give another directory with --data", dir)
	}
	if err != nil {
		return 0, fmt.Errorf("look at the cluster: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(version)))
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	return major, nil
}

// initialise makes the cluster beside its place and moves it there when it is
// complete: what is found at the place is always whole. The name beside it is a
// new one each time, because the initdb of a start that was killed may still be
// at work under its own.
func (c *Cluster) initialise(ctx context.Context) error {
	final, err := place(ctx, c.dataDir, c.account)
	if err != nil {
		return err
	}
	half := final + halfMade + xid.New().String()
	if err := c.fill(ctx, half); err != nil {
		return errors.Join(err, os.RemoveAll(half))
	}
	if err := errors.Join(os.Rename(half, final), syncDir(filepath.Dir(final))); err != nil {
		return failure(c.dataDir, "putting the database in place", err, "")
	}
	if final == c.dir {
		return nil
	}
	if err := errors.Join(os.Symlink(final, c.dir), syncDir(c.dataDir)); err != nil {
		return failure(c.dataDir, "linking to the database", err, "")
	}
	return nil
}

const halfMade = ".new-"

// sweep removes what starts that were killed in initdb left behind. Where an
// initdb is still at work the next start's sweep gets it.
func (c *Cluster) sweep(ctx context.Context) {
	left, err := filepath.Glob(filepath.Join(c.dataDir, "postgres"+halfMade+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		c.log.WarnContext(ctx, "a half made database is still there", slog.Any("error", err))
	}
}

// fill runs initdb in dir and sets who may connect.
func (c *Cluster) fill(ctx context.Context, dir string) error {
	if err := errors.Join(os.Mkdir(dir, 0o700), c.account.give(dir)); err != nil {
		return failure(c.dataDir, "making the database's directory", err, "")
	}
	initdb := c.programs.command(ctx, c.account, "initdb", "--pgdata="+dir, "--username="+superuser,
		"--encoding=UTF8", "--no-locale", "--data-checksums", "--auth-local=peer", "--auth-host=reject")
	if out, err := initdb.CombinedOutput(); err != nil {
		return failure(c.dataDir, "making the database (initdb)", err, string(out))
	}
	// The account that runs the server, and root, are the superuser: neither
	// needs a password to do as it likes with these files. Everybody else needs one.
	access := "local all " + superuser + " peer map=owner\nlocal all all scram-sha-256\n"
	names := "owner root " + superuser + "\n"
	if c.account.name != "root" {
		names += "owner \"" + c.account.name + "\" " + superuser + "\n"
	}
	err := errors.Join(
		c.writeInCluster(filepath.Join(dir, "pg_hba.conf"), access),
		c.writeInCluster(filepath.Join(dir, "pg_ident.conf"), names),
		// initdb's own file is all comments and defaults of that version; a person's
		// settings belong in ALTER SYSTEM, which beats all of this.
		c.writeInCluster(filepath.Join(dir, "postgresql.conf"), "include = '"+settingsName+"'\n"),
		c.writeInCluster(filepath.Join(dir, settingsName), ""),
	)
	if err != nil {
		return failure(c.dataDir, "configuring the database", err, "")
	}
	return nil
}

func (c *Cluster) writeInCluster(path, text string) error {
	if err := replaceFile(path, text, 0o600); err != nil {
		return err
	}
	return c.account.give(path)
}

// settings are written anew before each start, so that a new release's reach an
// old cluster. They suit one machine that also runs the engine, keep every
// promise of durability, and keep data out of the log: an error's statement and
// detail would show names and addresses (E7).
func settings(socketDir string) string {
	return `# Written by Latchkey at each start. Your own settings: ALTER SYSTEM.
listen_addresses = ''
port = ` + port + `
unix_socket_directories = '` + socketDir + `'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = '128MB'
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
min_wal_size = '64MB'
max_wal_size = '1GB'
jit = off
max_parallel_workers_per_gather = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] '
log_statement = 'none'
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_checkpoints = off
log_autovacuum_min_duration = -1
`
}

// keepPassword reads the role's password, or makes one of 256 random bits. A lost
// file does no harm: the role gets the new one at the next start.
func keepPassword(path string) (string, error) {
	kept, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(kept))) > 0 {
		return strings.TrimSpace(string(kept)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	bits := make([]byte, 32)
	if _, err := rand.Read(bits); err != nil {
		return "", fmt.Errorf("make a password: %w", err)
	}
	password := hex.EncodeToString(bits)
	if err := replaceFile(path, password+"\n", 0o600); err != nil {
		return "", err
	}
	return password, nil
}
