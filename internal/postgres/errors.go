package postgres

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Code names a kind of trouble, the same for ever.
type Code string

// The troubles a person can put right.
const (
	CodeNotInstalled     Code = "postgresql_missing"
	CodeNoAccount        Code = "postgres_account_missing"
	CodeForeignDirectory Code = "foreign_directory"
	CodeForeignVersion   Code = "foreign_version"
	CodeInUse            Code = "data_directory_in_use"
	CodeUnreachable      Code = "data_directory_unreachable"
	CodeDiskFull         Code = "disk_full"
	CodeServerFailed     Code = "postgresql_failed"
)

// Error is trouble that a person has to put right. Error gives the sentence
// that says what to do; Unwrap gives the cause, if there is one.
type Error struct {
	Code     Code
	Sentence string
	Err      error
}

func (e *Error) Error() string { return e.Sentence }

func (e *Error) Unwrap() error { return e.Err }

func failf(code Code, cause error, format string, args ...any) error {
	return &Error{Code: code, Sentence: fmt.Sprintf(format, args...), Err: cause}
}

// failure turns what went wrong in the cluster of dataDir into an Error. A full
// disk hides behind many messages, so it is looked for in all of them; anything
// else is shown with the last words of the program that failed.
func failure(dataDir, doing string, cause error, output string) error {
	var already *Error
	if errors.As(cause, &already) {
		return cause
	}
	if diskFull(cause, output) {
		return failf(CodeDiskFull, cause,
			"the disk that holds %s is full: make room on it (see: df -h %s) and start again; nothing was lost%s", dataDir, dataDir, indented(output))
	}
	return failf(CodeServerFailed, cause, "%s failed: %v%s", doing, cause, indented(output))
}

func diskFull(cause error, output string) bool {
	const sqlStateDiskFull = "53100"
	var fromServer *pgconn.PgError
	if errors.As(cause, &fromServer) && fromServer.Code == sqlStateDiskFull {
		return true
	}
	return errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT) ||
		strings.Contains(output, "No space left on device") || strings.Contains(output, "Disk quota exceeded")
}

// indented gives the last lines of a program's output, each on its own line.
func indented(output string) string {
	const most = 8
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	return "\n  " + strings.Join(lines, "\n  ")
}
