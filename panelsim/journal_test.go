package panelsim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/panel"
)

func drawStep(t *rapid.T) entry {
	n := rapid.Int64Range(1, 9).Draw(t, "n")
	id, boot := fmt.Sprintf("id_%d", n), fmt.Sprintf("boot_%d", rapid.IntRange(1, 2).Draw(t, "boot"))
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return entry{Identity: &identity{PanelID: fmt.Sprintf("pan_%d", n%2)}}
	case 1:
		return entry{Grant: &panel.Grant{GrantID: id, Revision: n}}
	case 2:
		return entry{Seen: &panel.CommandResult{CommandID: id, Result: panel.ResultOpened}, Opened: &Opening{CommandID: id},
			Event: &bootEvent{BootID: boot, Event: panel.Event{Seq: n, CommandID: id}}}
	case 3:
		return entry{Denied: &Denial{CommandID: id}}
	case 4:
		return entry{Acked: &acknowledged{BootID: boot, Seq: n}}
	case 5:
		return entry{Policy: &panel.Policy{EntranceID: id, Version: n}}
	case 6:
		return entry{Lease: &lease{Until: time.Unix(n, 0).UTC(), Signed: n}}
	case 7:
		return entry{Resend: &resend{BootID: boot, From: n}}
	default:
		return entry{Wiped: true}
	}
}

// P4: killed at any byte of any write, a panel remembers exactly the steps whose
// lines were whole, and does so again after the next start.
func TestJournalCutAtAnyByte(t *testing.T) {
	directory := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var document []byte
		for _, e := range rapid.SliceOfN(rapid.Custom(drawStep), 0, 12).Draw(t, "steps") {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			document = append(append(document, line...), '\n')
		}
		document = document[:rapid.IntRange(0, len(document)).Draw(t, "cut")]
		want := newMemory()
		for _, line := range strings.SplitAfter(string(document), "\n") {
			var e entry
			if whole := strings.HasSuffix(line, "\n"); whole && json.Unmarshal([]byte(line), &e) == nil {
				want.apply(e)
			}
		}
		path := filepath.Join(directory, "state")
		if err := os.WriteFile(path, document, 0o600); err != nil {
			t.Fatal(err)
		}
		for start := range 2 {
			j, got, err := openJournal(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.close(); err != nil {
				t.Fatal(err)
			}
			if !sameMemory(got, want) {
				t.Fatalf("start %d: it remembers %+v, want %+v", start, got, want)
			}
		}
	})
}

func sameMemory(a, b *memory) bool {
	lists := func(m *memory) string { return fmt.Sprint(m.events, m.acked, m.opened, m.denied, m.policies, m.lease) }
	return reflect.DeepEqual(a.identity, b.identity) && reflect.DeepEqual(a.grants, b.grants) && reflect.DeepEqual(a.seen, b.seen) && lists(a) == lists(b)
}

// A journal that is damaged inside is not read up to there: ids forgotten that way
// would open doors twice.
func TestDamagedJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("{\"wiped\":true}\n{\"se\n{\"wiped\":true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openJournal(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("it was opened: %v", err)
	}
}

// P4: a step that cannot be written is not believed, and nothing is written behind
// half a line that could not be taken back.
func TestJournalOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	j, m, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Panel{journal: j, memory: m}
	if err := p.keep(entry{Seen: &panel.CommandResult{CommandID: "cmd_1"}}); err != nil {
		t.Fatal(err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if j.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Skip("this system has no device that is always full")
	}
	for range 2 {
		if err := p.keep(entry{Seen: &panel.CommandResult{CommandID: "cmd_2"}}); err == nil {
			t.Error("a step that is not on disk was believed")
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if _, known := p.memory.seen["cmd_2"]; known || len(p.memory.seen) != 1 || j.broken == nil {
		t.Errorf("it remembers %v (%v)", p.memory.seen, j.broken)
	}
}
