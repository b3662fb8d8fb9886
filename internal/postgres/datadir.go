package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	markerName = "latchkey-data"
	markerText = "This directory belongs to Latchkey. Format 1.\n"
)

// Lock is the exclusive use of a data directory. It is a bare descriptor: an
// os.File that nobody refers to any more is closed, and the lock would go with it.
type Lock struct{ descriptor int }

// LockDataDir claims dir for this process: it makes the directory if there is
// none and takes its lock, before anything else is written there. The lock goes
// with the process, however it ends. A directory that holds something Latchkey
// did not make is left alone (CodeForeignDirectory); one that another process
// uses is named with that process (CodeInUse).
func LockDataDir(dir string) (*Lock, error) {
	if err := claim(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	descriptor, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, failure(dir, "opening "+path, err, "")
	}
	l := &Lock{descriptor: descriptor}
	if err := syscall.Flock(descriptor, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(lockedOut(dir, path, err), l.Release())
	}
	if err := l.write(os.Getpid()); err != nil {
		return nil, errors.Join(failure(dir, "writing "+path, err, ""), l.Release())
	}
	return l, nil
}

func lockedOut(dir, path string, cause error) error {
	if !errors.Is(cause, syscall.EWOULDBLOCK) {
		return failure(dir, "locking "+path, cause, "")
	}
	holder, err := os.ReadFile(path)
	if err != nil {
		return failure(dir, "reading "+path, err, "")
	}
	return failf(CodeInUse, cause, "%s is in use by another latchkey (pid %s): stop that one, or give another directory with --data",
		dir, strings.TrimSpace(string(holder)))
}

func (l *Lock) write(pid int) error {
	if err := syscall.Ftruncate(l.descriptor, 0); err != nil {
		return fmt.Errorf("empty the lock file: %w", err)
	}
	if _, err := syscall.Pwrite(l.descriptor, []byte(strconv.Itoa(pid)+"\n"), 0); err != nil {
		return fmt.Errorf("name the holder of the lock: %w", err)
	}
	return nil
}

// Release gives the directory free; it is called once. The lock file stays:
// removing it would let two processes hold locks on two files of one name.
func (l *Lock) Release() error {
	if err := syscall.Close(l.descriptor); err != nil {
		return fmt.Errorf("release the data directory: %w", err)
	}
	return nil
}

// claim makes dir, or recognises it by its marker.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failure(dir, "making the data directory "+dir, err, "")
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return failf(CodeUnreachable, err, "%s belongs to another account: start latchkey as that one or as root, or give another directory with --data", dir)
	}
	if err != nil {
		return failure(dir, "reading the data directory "+dir, err, "")
	}
	empty := true
	for _, entry := range entries {
		switch entry.Name() {
		case markerName:
			return recognise(dir)
		case "lost+found": // the root of a fresh volume
		default:
			empty = false
		}
	}
	if !empty {
		return failf(CodeForeignDirectory, nil,
			"%s holds files that Latchkey did not make, so it was left alone: give an empty or new directory with --data", dir)
	}
	if err := replaceFile(filepath.Join(dir, markerName), markerText, 0o644); err != nil {
		return failure(dir, "marking the data directory", err, "")
	}
	return nil
}

func recognise(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return failure(dir, "reading the data directory's marker", err, "")
	}
	if string(text) != markerText {
		return failf(CodeForeignDirectory, nil,
			"%s was made by another version of Latchkey, whose format this one does not know: start that version, or give another directory with --data", dir)
	}
	return nil
}

// replaceFile writes a file so that it is found either as it was or complete,
// also after a power cut.
func replaceFile(path, text string, mode os.FileMode) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// closeQuietly closes what was only read; an error of that says nothing.
func closeQuietly(c io.Closer) { _ = c.Close() }
