package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	settle   = time.Minute
	observed = 30 * time.Second
)

// atRest measures what the whole program costs when nobody asks anything of it:
// the engine and its PostgreSQL together. Memory is the proportional share (PSS),
// which counts shared pages once.
func (b *bench) atRest(ctx context.Context, host *throwaway, more int) error {
	if more > 0 {
		if err := b.create(ctx, 1_000_000, more); err != nil {
			return err
		}
	}
	fmt.Printf("\nAt rest, from %s after 1,000 invitations were created, for %s:\n", settle, observed)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, _, err := family(host.command.Process.Pid, filepath.Join(host.dir, "data"))
	if err != nil {
		return err
	}
	if err := pause(ctx, observed); err != nil {
		return err
	}
	after, memory, err := family(host.command.Process.Pid, filepath.Join(host.dir, "data"))
	if err != nil {
		return err
	}
	fmt.Printf("  %.1f %% of one core (wanted: under 5), %d MB (wanted: under 700)\n",
		100*float64(after-before)/observed.Seconds()/clockTicks, memory>>20)
	return nil
}

// clockTicks is the unit of CPU time in /proc on every Linux that Go runs on.
const clockTicks = 100

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// family adds up CPU ticks and memory in bytes of the engine's process and of the
// PostgreSQL server in its data directory, with all its children. It reads /proc.
func family(engine int, dataDir string) (ticks, memory int64, err error) {
	postmaster, err := os.ReadFile(filepath.Join(dataDir, "postgres", "postmaster.pid"))
	if err != nil {
		return 0, 0, err
	}
	server, _, _ := strings.Cut(string(postmaster), "\n")
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, 0, err
	}
	for _, process := range processes {
		stat, err := os.ReadFile(filepath.Join(process, "stat"))
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid := filepath.Base(process)
		if pid != strconv.Itoa(engine) && pid != server && fields[1] != server {
			continue
		}
		for _, field := range fields[11:15] { // utime, stime, and those of children that have ended
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, 0, err
			}
			ticks += n
		}
		memory += share(process)
	}
	return ticks, memory, nil
}

// share is the proportional memory of one process, 0 if it has ended.
func share(process string) int64 {
	rollup, err := os.ReadFile(filepath.Join(process, "smaps_rollup"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(rollup), "\n") {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}
