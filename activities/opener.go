package activities

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"latchkey/internal/access"
)

var (
	// ErrPanelUnreachable says that a panel was surely not reached: nothing opened.
	ErrPanelUnreachable = errors.New("the panel cannot be reached")
	// ErrOutcomeUnknown says that a panel may or may not have acted. Only the same
	// command may be sent again (P4).
	ErrOutcomeUnknown = errors.New("the panel did not confirm in time")
)

// reason is what the items that wait for a panel show: no internals, no addresses.
func reason(err error) string {
	switch {
	case errors.Is(err, ErrPanelUnreachable):
		return "unreachable"
	case errors.Is(err, ErrOutcomeUnknown):
		return "no answer"
	default:
		return refused
	}
}

// refused is the reason where a panel answers and will not have it.
const refused = "refused"

// CommandTTL is how long a momentary command is good for (P4).
const CommandTTL = 10 * time.Second

const (
	// commandTimeout is how long the engine waits for a panel's acknowledgement.
	commandTimeout = 2 * time.Second
	// commandsPerPanel is how many commands may be under way to one panel.
	commandsPerPanel = 4
	// recordTimeout is how long writing an outcome down may take.
	recordTimeout = 5 * time.Second
)

// Purpose is what a slot is opened for (K3, K8).
type Purpose string

// The purposes of opening a slot.
const (
	Pickup  Purpose = "pickup"
	DropOff Purpose = "dropoff"
)

// Command is a momentary command: open this entrance, or this slot, now or never
// (P4). Address and PublicKey are where and who its panel is, PolledAt when it last
// asked for messages by itself, EngineKeyIDs which of the engine's keys it trusts.
// It has either an EntranceID or a Purpose.
type Command struct {
	ID            string
	PanelID       string
	Address       string
	PublicKey     []byte
	PolledAt      time.Time
	EngineKeyIDs  []string
	EntranceID    string
	GrantID       string
	GrantRevision int64
	PolicyVersion int64 // of the entrance's policy document by which it was decided (P2)
	BootID        string
	ExpiresAt     time.Time

	Purpose   Purpose
	KeyID     string
	PanelCode string // the number that the box shows (P10)
}

// PanelAnswer is what a panel said to a command: it opened, or why it did not.
type PanelAnswer struct {
	Opened bool
	Slot   int    // that opened, of a SmartBox
	Code   string // the panel's own word, such as stale_revision
	At     time.Time
}

// Commander sends a command to its panel. It fails with [ErrPanelUnreachable] if
// the command surely did not arrive and [ErrOutcomeUnknown] if it may have.
type Commander interface {
	Command(ctx context.Context, c Command) (PanelAnswer, error)
}

// Keyed is the idempotency key of a request that opens something: its hash, whose
// key it is, and what it was used for. Key is nil if the caller gave none (E2).
type Keyed struct {
	Scope       string
	Key         []byte
	RequestHash []byte
}

// UnlockRequest asks to open an entrance for the guest of an invitation.
// GuestIndex, where set, must be the guest's.
type UnlockRequest struct {
	Keyed
	AccountID    string // empty for a guest, who is known by GuestIndex
	GuestIndex   []byte
	InvitationID string
	EntranceID   string
}

// SlotRequest asks to open a slot for the visitor of a reservation.
type SlotRequest struct {
	Keyed
	AccountID     string // empty for a visitor, who is known by the secret of the booking URL
	Token         string
	ReservationID string
	Purpose       Purpose
	PanelID       string // for a drop-off: at which box; empty: the key's own
	PanelCode     string // P10
}

// OpeningEventID is the id of the event that records what a command opened. It is
// the command's own, so that the caller can be told before the event is written,
// whichever report writes it.
func OpeningEventID(commandID string) string {
	return "evt_" + strings.TrimPrefix(commandID, "cmd_")
}

// Result is how an unlock came out.
type Result string

// The results of an unlock.
const (
	ResultOpened      Result = "opened"
	ResultDenied      Result = "denied"            // a rule said no
	ResultRefused     Result = "refused"           // the panel said no
	ResultUnreachable Result = "panel_unreachable" // nothing opened
	ResultUnknown     Result = "outcome_unknown"
)

// Outcome is the answer to an unlock: the event that records it and, for a no,
// the decision behind it.
type Outcome struct {
	Result   Result          `json:"result"`
	EventID  string          `json:"event_id,omitzero"`
	Slot     int             `json:"slot,omitzero"`
	PanelID  string          `json:"panel_id,omitzero"`
	Code     string          `json:"code,omitzero"`
	Decision access.Decision `json:"decision"`
}

// Claim is what the first transaction of an unlock committed: either an answer
// that stands already, or a command to send.
type Claim struct {
	Outcome *Outcome
	Command Command
	Again   bool // the command may have been sent before
}

// Unlocks is the records behind opening doors.
type Unlocks interface {
	// ClaimUnlock decides and claims the command in one transaction; a denial is
	// recorded in it. Repeating a key gives the first answer, or the same command if
	// that one's outcome is not known.
	ClaimUnlock(ctx context.Context, q UnlockRequest, now time.Time) (Claim, error)
	// RecordUnlock records the outcome of a claimed command once, whoever reports it
	// first, with its event, last use and message (I7, P4). It returns the outcome
	// that stands.
	RecordUnlock(ctx context.Context, q UnlockRequest, c Command, o Outcome, at, now time.Time) (Outcome, error)
	// ReclaimUnlock takes back a claimed command that its panel would not carry out,
	// with the panel's word for it, and decides anew as ClaimUnlock does, with a new
	// command for the same key and until the same instant.
	ReclaimUnlock(ctx context.Context, q UnlockRequest, raced Command, code string, now time.Time) (Claim, error)
}

// Slots is the records behind opening slots, as [Unlocks] is for doors.
type Slots interface {
	ClaimSlot(ctx context.Context, q SlotRequest, now time.Time) (Claim, error)
	RecordSlot(ctx context.Context, q SlotRequest, c Command, o Outcome, at, now time.Time) (Outcome, error)
	ReclaimSlot(ctx context.Context, q SlotRequest, raced Command, code string, now time.Time) (Claim, error)
}

// Openings is both.
type Openings interface {
	Unlocks
	Slots
}

// Opener opens doors and slots: a decision on committed facts, a signed command to the
// panel, and a record of what came of it. Temporal has no part in it (E9).
type Opener struct {
	records Openings
	panels  Commander
	clock   func() time.Time
	log     *slog.Logger

	recording sync.WaitGroup // what has opened and is being recorded

	mu   sync.Mutex
	busy map[string]chan struct{} // a slot per command under way, by panel
}

// NewOpener returns an Opener.
func NewOpener(records Openings, panels Commander, clock func() time.Time, log *slog.Logger) *Opener {
	return &Opener{records: records, panels: panels, clock: clock, log: log, busy: map[string]chan struct{}{}}
}

// Unlock opens an entrance or says why not. It returns as soon as the panel has
// answered, or within about two seconds if it does not; that a door opened is
// recorded right after. An error means that nothing was decided and nothing opened.
func (o *Opener) Unlock(ctx context.Context, q UnlockRequest) (Outcome, error) {
	return o.open(ctx, request{
		claim: func() (Claim, error) { return o.records.ClaimUnlock(ctx, q, o.clock()) },
		reclaim: func(raced Command, code string) (Claim, error) {
			return o.records.ReclaimUnlock(ctx, q, raced, code, o.clock())
		},
		record: func(ctx context.Context, c Command, outcome Outcome, at time.Time) (Outcome, error) {
			return o.records.RecordUnlock(ctx, q, c, outcome, at, o.clock())
		},
	})
}

// OpenSlot opens a slot of a SmartBox or says why not, as [Opener.Unlock] does an
// entrance (K3, K8, P10).
func (o *Opener) OpenSlot(ctx context.Context, q SlotRequest) (Outcome, error) {
	return o.open(ctx, request{
		claim: func() (Claim, error) { return o.records.ClaimSlot(ctx, q, o.clock()) },
		reclaim: func(raced Command, code string) (Claim, error) {
			return o.records.ReclaimSlot(ctx, q, raced, code, o.clock())
		},
		record: func(ctx context.Context, c Command, outcome Outcome, at time.Time) (Outcome, error) {
			return o.records.RecordSlot(ctx, q, c, outcome, at, o.clock())
		},
	})
}

// request is what the records have to do with one request to open something.
type request struct {
	claim   func() (Claim, error)
	reclaim func(raced Command, code string) (Claim, error)
	record  recorder
}

type recorder func(ctx context.Context, c Command, outcome Outcome, at time.Time) (Outcome, error)

// raced are the words of a panel that knows something newer than the decision that
// it is to carry out: it surely did not open, and a decision on fresh facts may be
// another one. So what a change leaves as it was never blinks (I14), and what it
// takes away is refused for the right reason.
var raced = map[string]bool{"stale_revision": true, "closed_by_policy": true, "locked_down": true}

// open claims and carries out, and does so once more if the panel knew better.
func (o *Opener) open(ctx context.Context, r request) (Outcome, error) {
	claim, err := r.claim()
	if err != nil {
		return Outcome{}, err
	}
	if claim.Outcome != nil {
		return *claim.Outcome, nil
	}
	outcome, at := o.send(ctx, claim)
	if outcome.Result == ResultRefused && raced[outcome.Code] {
		again, err := r.reclaim(claim.Command, outcome.Code)
		switch {
		case err != nil:
			o.log.LogAttrs(ctx, slog.LevelWarn, "a command that its panel refused was not decided anew", slog.String("command_id", claim.Command.ID), slog.Any("error", err))
		case again.Outcome != nil:
			return *again.Outcome, nil
		default:
			claim = again
			outcome, at = o.send(ctx, claim)
		}
	}
	if outcome.Result != ResultOpened {
		return o.record(ctx, claim.Command, outcome, at, r.record), nil
	}
	outcome.EventID = OpeningEventID(claim.Command.ID)
	o.recording.Go(func() { o.record(ctx, claim.Command, outcome, at, r.record) })
	return outcome, nil
}

// Wait returns when everything that opened has been recorded.
func (o *Opener) Wait() { o.recording.Wait() }

// record writes the outcome down, whether or not the caller is still there. What
// cannot be recorded is unknown; the panel's own report will fill it in.
func (o *Opener) record(ctx context.Context, c Command, outcome Outcome, at time.Time, record recorder) Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	recorded, err := record(ctx, c, outcome, at)
	if err != nil {
		o.log.LogAttrs(ctx, slog.LevelError, "the outcome of a command was not recorded", slog.String("command_id", c.ID), slog.Any("error", err))
		return Outcome{Result: ResultUnknown}
	}
	return recorded
}

// send sends a claimed command to its panel.
func (o *Opener) send(ctx context.Context, claim Claim) (Outcome, time.Time) {
	c := claim.Command
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	slot := o.slot(c.PanelID)
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return Outcome{Result: unreached(claim)}, o.clock()
	}
	answer, err := o.panels.Command(ctx, c)
	switch {
	case errors.Is(err, ErrPanelUnreachable):
		return Outcome{Result: unreached(claim)}, o.clock()
	case err != nil:
		return Outcome{Result: ResultUnknown}, o.clock()
	case answer.Opened:
		return Outcome{Result: ResultOpened, Slot: answer.Slot, PanelID: c.PanelID}, o.clock()
	default:
		return Outcome{Result: ResultRefused, Code: answer.Code}, o.clock()
	}
}

// unreached is the result of a command that did not arrive this time: if it was sent
// before, it may have arrived then.
func unreached(claim Claim) Result {
	if claim.Again {
		return ResultUnknown
	}
	return ResultUnreachable
}

func (o *Opener) slot(panelID string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy[panelID] == nil {
		o.busy[panelID] = make(chan struct{}, commandsPerPanel)
	}
	return o.busy[panelID]
}
