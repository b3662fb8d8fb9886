package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rs/xid"
)

// account is the operating system account that the server runs under.
type account struct {
	name       string
	uid, gid   int
	credential *syscall.Credential // nil when it is this process's own account
}

// serverAccount chooses the account: the owner of a cluster that exists, else
// our own, else (for root, as which PostgreSQL refuses to run) "postgres".
func serverAccount(clusterDir string) (account, error) {
	info, err := os.Stat(clusterDir)
	switch {
	case err == nil:
		return ownerOf(clusterDir, info)
	case !errors.Is(err, fs.ErrNotExist):
		return account{}, fmt.Errorf("look at the cluster: %w", err)
	case os.Geteuid() != 0:
		return lookUp(os.Geteuid(), os.Getegid()), nil
	}
	pg, err := user.Lookup("postgres")
	if err != nil {
		return account{}, failf(CodeNoAccount, err,
			"PostgreSQL does not run as root and there is no account \"postgres\" to run it under: make one with: useradd --system postgres (or start latchkey as an ordinary user)")
	}
	uid, uidErr := strconv.Atoi(pg.Uid)
	gid, gidErr := strconv.Atoi(pg.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return account{}, fmt.Errorf("read the account \"postgres\": %w", err)
	}
	return lookUp(uid, gid), nil
}

func ownerOf(clusterDir string, info fs.FileInfo) (account, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return account{}, fmt.Errorf("the owner of %s is unknown", clusterDir)
	}
	owner := lookUp(int(stat.Uid), int(stat.Gid))
	if owner.credential != nil && os.Geteuid() != 0 {
		return account{}, failf(CodeUnreachable, fs.ErrPermission,
			"%s belongs to the account %s: start latchkey as root or as %s", clusterDir, owner.name, owner.name)
	}
	return owner, nil
}

func lookUp(uid, gid int) account {
	a := account{name: strconv.Itoa(uid), uid: uid, gid: gid}
	if known, err := user.LookupId(a.name); err == nil {
		a.name = known.Username
	}
	if uid != os.Geteuid() {
		a.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return a
}

// canEnter tells whether the account can enter dir. The kernel answers, since
// modes, groups and access lists all have a say: a program is started there.
func (a account) canEnter(ctx context.Context, dir string) bool {
	if a.credential == nil {
		return true
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", ":")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	return cmd.Run() == nil
}

// sharedHome is where the cluster goes when the server's account cannot reach
// the data directory.
const sharedHome = "/var/lib/latchkey"

// place decides where a new cluster goes: in the data directory, or, if the
// account cannot get there, under sharedHome with a name of its own (a data
// directory that was removed and made anew must not find old data).
func place(ctx context.Context, dataDir string, as account) (string, error) {
	if as.credential == nil {
		return filepath.Join(dataDir, "postgres"), nil
	}
	// The account must be able to pass through, not to look around.
	if err := os.Chmod(dataDir, 0o711); err != nil {
		return "", failure(dataDir, "letting the account "+as.name+" into "+dataDir, err, "")
	}
	if as.canEnter(ctx, dataDir) {
		return filepath.Join(dataDir, "postgres"), nil
	}
	if err := os.MkdirAll(sharedHome, 0o711); err != nil {
		return "", failure(sharedHome, "making "+sharedHome, err, "")
	}
	if as.canEnter(ctx, sharedHome) {
		return filepath.Join(sharedHome, xid.New().String()), nil
	}
	closed := dataDir
	for closed != "/" && !as.canEnter(ctx, filepath.Dir(closed)) {
		closed = filepath.Dir(closed)
	}
	return "", failf(CodeUnreachable, fs.ErrPermission,
		"the account %s, under which PostgreSQL runs for root, cannot enter %s: run: chmod o+x %s (or give another directory with --data)", as.name, closed, closed)
}

// give makes the account the owner of paths.
func (a account) give(paths ...string) error {
	if a.credential == nil {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, a.uid, a.gid); err != nil {
			return fmt.Errorf("give %s to the account %s: %w", path, a.name, err)
		}
	}
	return nil
}
