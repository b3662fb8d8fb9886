package access

import (
	"slices"
	"time"
)

// Ledger is what every item keeps about its own changes: which there were, which
// of them Postgres holds, and which requests made them. A workflow carries it from
// run to run, so that nothing is recorded or applied twice (E1).
type Ledger struct {
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"revision"`          // counts every change
	Recorded  int64     `json:"recorded"`          // the last revision that Postgres confirmed
	Pending   []Change  `json:"pending,omitempty"` // changes that Postgres has yet to confirm
	Handled   []string  `json:"handled,omitempty"` // ids of recent updates, so that none is applied twice
}

// Change is one thing that happened to an item: it becomes an event in the log,
// messages to people and revisions of grants, all in one transaction.
type Change struct {
	Revision int64     `json:"revision"`
	Type     EventType `json:"type"`
	At       time.Time `json:"at"`                // when it counts from: a deadline's own time, not when it was noticed (T0)
	ActorID  string    `json:"actor_id,omitzero"` // who did it; empty when the engine did
	NoteID   string    `json:"note_id,omitzero"`  // the row that holds a person's own words, such as a reason (E7)
	Silent   bool      `json:"silent,omitzero"`   // nobody is told, because it changes nothing for them

	Differences []Difference `json:"differences,omitempty"` // what an edit changed, for who is told of it (I14)
}

// handledKept is how many update ids an item remembers.
const handledKept = 50

// change counts a revision and leaves it to be recorded.
func (l *Ledger) change(t EventType, at time.Time, actorID, noteID string) {
	l.touch(at)
	l.Pending = append(l.Pending, Change{Revision: l.Revision, Type: t, At: at, ActorID: actorID, NoteID: noteID})
}

// silently is [Ledger.change] without messages.
func (l *Ledger) silently(t EventType, at time.Time, actorID string) {
	l.change(t, at, actorID, "")
	l.Pending[len(l.Pending)-1].Silent = true
}

// touch counts a revision that nobody needs to hear of.
func (l *Ledger) touch(at time.Time) {
	l.Revision++
	l.UpdatedAt = at
}

// stillAt refuses an edit that was made for another revision than the present one:
// of two who read the same state, only the first can change it. Zero is any.
func (l *Ledger) stillAt(revision int64) error {
	if revision == 0 || revision == l.Revision {
		return nil
	}
	return &Refusal{Code: CodePreconditionFailed, Detail: "The item has changed since you read it. Read it again and repeat the change."}
}

// Confirm notes that Postgres holds everything up to revision. A copy of the item
// keeps its own changes.
func (l *Ledger) Confirm(revision int64) {
	l.Recorded = max(l.Recorded, revision)
	var left []Change
	for _, c := range l.Pending {
		if c.Revision > l.Recorded {
			left = append(left, c)
		}
	}
	l.Pending = left
}

// HasHandled reports whether an update with this id was applied already, in this
// run of the workflow or one before it.
func (l *Ledger) HasHandled(updateID string) bool { return slices.Contains(l.Handled, updateID) }

// MarkHandled remembers an update id; the oldest are forgotten.
func (l *Ledger) MarkHandled(updateID string) {
	l.Handled = last(append(l.Handled, updateID), handledKept)
}

// History is the ledger itself, for who has an item and wants only this part.
func (l *Ledger) History() *Ledger { return l }
