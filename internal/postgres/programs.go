package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// oldestMajor is the oldest PostgreSQL that its makers still maintain and that
// lets an ordinary role install the extension Temporal's schema uses.
const oldestMajor = 14

// programs is one installed PostgreSQL.
type programs struct {
	dir   string // holds initdb, pg_ctl and postgres
	major int
}

// findPrograms gives the installed PostgreSQL of that major version, or the
// newest one when major is 0. The second result lists every one it found.
func findPrograms(ctx context.Context, major int) (*programs, []programs, error) {
	var found []programs
	for _, dir := range programDirs() {
		version, err := majorOf(ctx, dir)
		if err != nil {
			continue // not a whole installation: a client package has some of the programs only
		}
		found = append(found, programs{dir: dir, major: version})
	}
	if len(found) == 0 {
		return nil, nil, failf(CodeNotInstalled, nil,
			"PostgreSQL is not installed: install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or set DATABASE_URL and TEMPORAL_ADDRESS to use servers of your own")
	}
	var best *programs
	for i := range found {
		if major != 0 && found[i].major != major {
			continue
		}
		if best == nil || found[i].major > best.major {
			best = &found[i]
		}
	}
	if best != nil && best.major < oldestMajor {
		return nil, found, failf(CodeNotInstalled, nil, "PostgreSQL %d is too old: install PostgreSQL %d or newer (Debian, Ubuntu: apt-get install postgresql)",
			best.major, oldestMajor)
	}
	return best, found, nil
}

// programDirs lists where PostgreSQL's programs may be, each real directory once.
func programDirs() []string {
	var candidates []string
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, path)
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin/initdb", // Debian and its kin
		"/usr/pgsql-*/bin/initdb",          // the makers' packages for Red Hat and its kin
		"/opt/homebrew/opt/postgresql*/bin/initdb",
		"/usr/local/opt/postgresql*/bin/initdb",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin/initdb",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern errs
		}
		candidates = append(candidates, matches...)
	}
	var dirs []string
	seen := map[string]bool{}
	for _, candidate := range candidates {
		// A link in PATH leads to the directory that has the other programs too.
		real, err := filepath.EvalSymlinks(candidate)
		if err != nil || seen[filepath.Dir(real)] {
			continue
		}
		seen[filepath.Dir(real)] = true
		dirs = append(dirs, filepath.Dir(real))
	}
	return dirs
}

func majorOf(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "pg_ctl")); err != nil {
		return 0, fmt.Errorf("no pg_ctl: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask the version: %w", err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian …)"
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return 0, fmt.Errorf("the version %q is not one", out)
	}
	var major int
	// Sscan stops at the first thing that is no digit: "15.18", but also "18beta1".
	if _, err := fmt.Sscanf(fields[2], "%d", &major); err != nil {
		return 0, fmt.Errorf("the version %q is not one: %w", out, err)
	}
	return major, nil
}

// command prepares one of PostgreSQL's programs to run under an account, free of
// the PG* variables that would lead it elsewhere and with messages in English.
func (p *programs) command(ctx context.Context, as account, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + p.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as.credential}
	return cmd
}

// wrongMajor says how to get from a cluster of one major version to programs of
// another. Only pg_upgrade, with both versions installed, can do that.
func wrongMajor(clusterDir string, major int, installed []programs, as account) error {
	newest := installed[0]
	for _, one := range installed {
		if one.major > newest.major {
			newest = one
		}
	}
	return failf(CodeForeignVersion, errors.New("the cluster's major version is not installed"),
		`%[1]s was made by PostgreSQL %[2]d, and that version is not installed (found: %[3]d).
To go on with it, install PostgreSQL %[2]d (Debian, Ubuntu: apt-get install postgresql-%[2]d).
To move it to PostgreSQL %[3]d, have both installed and run, as the account %[4]s:
  %[5]s/initdb -U postgres -E UTF8 --no-locale -k -D %[1]s.%[3]d
  %[5]s/pg_upgrade -U postgres -b <directory of the programs of %[2]d> -B %[5]s -d %[1]s -D %[1]s.%[3]d
  cp %[1]s/pg_hba.conf %[1]s/pg_ident.conf %[1]s/postgresql.conf %[1]s/latchkey.conf %[1]s.%[3]d/
  mv %[1]s %[1]s.%[2]d && mv %[1]s.%[3]d %[1]s`,
		clusterDir, major, newest.major, as.name, newest.dir)
}
