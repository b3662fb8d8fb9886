// Package delivery sends the messages that wait in the store: it chooses the
// channel, claims the message, hands it to the vendor and records what came of it.
//
// A send is at least once. A message is claimed before a vendor is given it, so two
// workers never send it both; a worker that dies after the vendor took it leaves a
// claim that runs out, and the message is sent again unless the vendor can say that
// it has it: Twilio is asked, SendGrid's webhook tells of it, and by email both
// copies bear one Message-ID, by which a mailbox shows one. A phone shows one by the
// notification's tag. Where the outcome stays unknown the message is given up
// visibly rather than sent for ever.
//
// What a channel refuses for good goes by another one that the person has, each at
// most once; what may have arrived goes by no other. What the vendor refuses
// because of us and not of the message (a wrong key) waits for a day, shown on the
// item, unless there is another way.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// Delivery sends messages. It implements activities.Messages.
type Delivery struct {
	Store   *store.Store
	Senders notify.Senders
	Write   Writer
	Clock   func() time.Time
	Log     *slog.Logger

	lock   sync.Mutex
	paused map[notify.Channel]time.Time // until when a vendor wants to be left alone
}

// Writer writes a message for its reader as it is at an instant.
type Writer func(ctx context.Context, m store.QueuedMessage, reader directory.Person, c notify.Channel, now time.Time) (notify.Message, error)

const (
	// giveUpAfter is how many times a message is tried: with the pauses below, for
	// about a day.
	giveUpAfter = 40
	firstRetry  = 2 * time.Second
	lastRetry   = 30 * time.Minute
	// misconfiguredRetry is the least pause after a refusal that only a person can
	// put right.
	misconfiguredRetry = time.Minute
	// mostUnknown is how many copies there can be of a message whose answers are lost.
	mostUnknown = 3

	// sendTimeout bounds one send, claimFor how long nobody else tries. One is well
	// below the other, so that a claim never runs out under a send.
	sendTimeout = 20 * time.Second
	claimFor    = 30 * time.Second
	// batchTime is how long one activity goes on beginning to send.
	batchTime = 25 * time.Second
	// vendorsAtOnce is how many people are written to at the same time through vendors,
	// who are far away. An outbox is here, and its disk is the doors' too.
	vendorsAtOnce = 8
)

// SendQueued implements activities.Messages. Messages to one person leave in the
// order they were written, those to different people side by side.
func (d *Delivery) SendQueued(ctx context.Context, limit int, now time.Time) (handled int, next time.Time, err error) {
	due, next, err := d.Store.DueMessages(ctx, limit, now)
	if err != nil {
		return 0, next, err
	}
	var lock sync.Mutex
	var group sync.WaitGroup
	places := make(chan struct{}, d.atOnce())
	began := d.Clock()
	for _, own := range byPerson(due) {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			for _, m := range own {
				if d.Clock().Sub(began) > batchTime {
					return
				}
				failed := d.send(ctx, m, d.Clock())
				lock.Lock()
				if failed == nil {
					handled++
				} else if err == nil {
					err = failed
				}
				lock.Unlock()
				if failed != nil {
					return
				}
				breathe(ctx)
			}
		})
	}
	group.Wait()
	return handled, next, err
}

// breath is the pause after each message: doors share the disk with a crowd of
// messages, and nobody waits for a message as for a door.
const breath = 3 * time.Millisecond

func breathe(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(breath):
	}
}

func (d *Delivery) atOnce() int {
	if _, here := d.Senders[notify.ChannelEmail].(notify.OutboxSender); here {
		return 1
	}
	return vendorsAtOnce
}

// byPerson keeps the order of each person's messages and of the people.
func byPerson(due []store.QueuedMessage) [][]store.QueuedMessage {
	place := map[string]int{}
	var all [][]store.QueuedMessage
	for _, m := range due {
		n, known := place[m.PersonID]
		if !known {
			n = len(all)
			place[m.PersonID] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], m)
	}
	return all
}

// send sends one message or notes why it could not. Only a store that is away is
// an error: it would fail for the next message as well.
func (d *Delivery) send(ctx context.Context, m store.QueuedMessage, now time.Time) error {
	if m.Template == access.TemplateSignInCode && now.After(m.Written.Add(store.SignInCodeTTL)) {
		return d.Store.MessageFailed(ctx, m.ID, "expired", now) // nobody can use it any more
	}
	if m.CutOff && m.Unknowns+1 >= mostUnknown {
		return d.Store.MessageFailed(ctx, m.ID, notify.CodeUnknown, now)
	}
	reader, err := d.Store.Person(ctx, m.PersonID)
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	channel, err := d.way(ctx, m, reader, now)
	switch {
	case err != nil:
		return err
	case channel == "":
		return d.Store.MessageWithoutWay(ctx, m, notify.CodeNoAddress, now)
	case string(channel) != m.Channel:
		if err := d.Store.MessageRerouted(ctx, m.ID, string(channel)); err != nil {
			return err
		}
	}
	if until := d.pausedUntil(channel); until.After(now) {
		return d.Store.MessagePostponed(ctx, m.ID, until)
	}
	message, err := d.Write(ctx, m, reader, channel, now)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return d.tryAgain(ctx, m, "retrying", now, err)
	}
	return d.give(ctx, m, message, reader)
}

// give hands a message to its vendor, claimed, and records the answer.
func (d *Delivery) give(ctx context.Context, m store.QueuedMessage, message notify.Message, reader directory.Person) error {
	sender, now := d.Senders[message.Channel], d.Clock()
	_, repeatable := sender.(notify.Repeatable)
	if !repeatable {
		claimed, err := d.Store.ClaimMessage(ctx, m.ID, now.Add(claimFor), now)
		if err != nil || !claimed { // somebody else has it
			return err
		}
	}
	if m.CutOff { // the claim has counted it
		m.Unknowns++
	}
	bounded, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := d.ask(bounded, sender, m, message)
	now = d.Clock()
	switch {
	case err == nil:
		return d.Store.MessageSent(context.WithoutCancel(ctx), m.ID, now)
	case ctx.Err() != nil && notify.RefusalOf(err).Fate == notify.Unknown:
		return err // the claim runs out, and then the message is in doubt
	case ctx.Err() != nil:
		return d.Store.MessagePostponed(context.WithoutCancel(ctx), m.ID, now) // the worker stops; nothing was sent
	}
	return d.refused(ctx, m, message, reader, notify.RefusalOf(err), now)
}

// ask sends a message unless it was given to its vendor before, by a worker that may
// have died, and the vendor says that it has it.
func (d *Delivery) ask(ctx context.Context, sender notify.Sender, m store.QueuedMessage, message notify.Message) error {
	if witness, can := sender.(notify.Witness); can && !m.TriedAt.IsZero() {
		if took, err := witness.Took(ctx, message, m.TriedAt); err != nil || took {
			return err
		}
	}
	return sender.Send(ctx, message)
}

// refused records a refusal and what follows from it.
func (d *Delivery) refused(ctx context.Context, m store.QueuedMessage, message notify.Message, reader directory.Person, r *notify.Refusal, now time.Time) error {
	m.Channel = string(message.Channel)
	m.Tried = append(m.Tried, m.Channel)
	d.Log.LogAttrs(ctx, slog.LevelWarn, "a message could not be sent", slog.String("message_id", m.ID), slog.String("channel", m.Channel),
		slog.Int("attempt", m.Attempts+1), slog.Any("error", r))
	if r.Code == notify.CodeRateLimited {
		d.pause(message.Channel, now.Add(max(r.After, firstRetry)))
	}
	last := m.Attempts+1 >= giveUpAfter
	switch r.Fate {
	case notify.Unknown:
		if m.Unknowns+1 >= mostUnknown { // it may have arrived, so it goes by no other channel
			return d.Store.MessageFailed(ctx, m.ID, r.Code, now)
		}
		return d.Store.MessageInDoubt(ctx, m.ID, r.Code, now.Add(retryPause(m.Attempts)))
	case notify.Ends:
		return d.switchOrFail(ctx, m, reader, r.Code, now)
	case notify.Misconfigured:
		other, err := d.otherWay(ctx, m, reader, now)
		if err != nil || other != "" || last {
			return d.switchOrFail(ctx, m, reader, r.Code, now)
		}
		if err := d.Store.MessageStuck(ctx, m.ID, r.Code, now); err != nil {
			return err
		}
		return d.Store.MessageDeferred(ctx, m.ID, r.Code, now.Add(max(misconfiguredRetry, retryPause(m.Attempts))))
	case notify.Retries:
	}
	if last {
		return d.switchOrFail(ctx, m, reader, "gave_up", now)
	}
	return d.Store.MessageDeferred(ctx, m.ID, r.Code, now.Add(max(r.After, retryPause(m.Attempts))))
}

// tryAgain keeps a message that could not be written for another try.
func (d *Delivery) tryAgain(ctx context.Context, m store.QueuedMessage, reason string, now time.Time, err error) error {
	d.Log.LogAttrs(ctx, slog.LevelWarn, "a message could not be written", slog.String("message_id", m.ID), slog.Int("attempt", m.Attempts+1), slog.Any("error", err))
	if m.Attempts+1 >= giveUpAfter {
		return d.Store.MessageFailed(ctx, m.ID, "gave_up", now)
	}
	return d.Store.MessageDeferred(ctx, m.ID, reason, now.Add(retryPause(m.Attempts)))
}

func retryPause(attempts int) time.Duration {
	return min(lastRetry, firstRetry<<min(attempts, 20))
}

// switchOrFail ends a message, and writes it anew for another channel if the person
// has one.
func (d *Delivery) switchOrFail(ctx context.Context, m store.QueuedMessage, reader directory.Person, reason string, now time.Time) error {
	other, err := d.otherWay(ctx, m, reader, now)
	if err != nil {
		return err
	}
	if other == "" {
		return d.Store.MessageFailed(ctx, m.ID, reason, now)
	}
	return d.Store.MessageSwitched(ctx, m.ID, reason, string(other), now)
}

func (d *Delivery) pausedUntil(c notify.Channel) time.Time {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.paused[c]
}

func (d *Delivery) pause(c notify.Channel, until time.Time) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.paused == nil {
		d.paused = map[notify.Channel]time.Time{}
	}
	d.paused[c] = until
}
