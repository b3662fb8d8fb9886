package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// What is said on deliveryChannel: that a message waits for a panel, that a message
// has its answer.
const (
	deliveryChannel = "latchkey_deliveries"
	messageFor      = "message/"
	answerOf        = "answer/"
)

const (
	// exchangeLook is how often who waits for an answer looks for themselves, pollLook
	// how often a poll does, of which there can be thousands: a lost connection to the
	// database makes them slow, not deaf.
	exchangeLook = 2 * time.Second
	pollLook     = 10 * time.Second
	// exchangeRetry is the pause before the connection is tried again.
	exchangeRetry = 200 * time.Millisecond
)

// exchange wakes those in this process who wait for what another commits. It
// listens from the first who waits until it is closed.
type exchange struct {
	mu        sync.Mutex
	waiting   map[string]map[chan struct{}]bool
	stop      context.CancelFunc // of the listener; nil: nobody has waited yet
	listening sync.WaitGroup
	closed    bool
}

// wait gives a channel that is written to when key is called. forget it when done.
func (x *exchange) wait(dsn, key string) (woken <-chan struct{}, forget func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting == nil {
		x.waiting = map[string]map[chan struct{}]bool{}
	}
	if x.stop == nil && !x.closed {
		ctx, cancel := context.WithCancel(context.Background())
		x.stop = cancel
		x.listening.Go(func() { x.listen(ctx, dsn) })
	}
	bell := make(chan struct{}, 1)
	if x.waiting[key] == nil {
		x.waiting[key] = map[chan struct{}]bool{}
	}
	x.waiting[key][bell] = true
	return bell, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.waiting[key], bell)
		if len(x.waiting[key]) == 0 {
			delete(x.waiting, key)
		}
	}
}

// listen hears what is said until ctx ends, and calls everybody after each pause in
// which something may have been missed.
func (x *exchange) listen(ctx context.Context, dsn string) {
	for ctx.Err() == nil {
		_ = x.hear(ctx, dsn) // who waits looks for themselves meanwhile
		_ = waitFor(ctx, nil, exchangeRetry)
	}
}

func (x *exchange) hear(ctx context.Context, dsn string) error {
	connection, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = connection.Close(closing) // it is given up either way
	}()
	if _, err := connection.Exec(ctx, "LISTEN "+deliveryChannel); err != nil {
		return err
	}
	x.callAll()
	for {
		said, err := connection.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		x.call(said.Payload)
	}
}

func (x *exchange) call(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for bell := range x.waiting[key] {
		ring(bell)
	}
}

func (x *exchange) callAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, bells := range x.waiting {
		for bell := range bells {
			ring(bell)
		}
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default: // it rings already
	}
}

func (x *exchange) close() {
	x.mu.Lock()
	x.closed = true
	if x.stop != nil {
		x.stop()
	}
	x.mu.Unlock()
	x.listening.Wait()
}

// waitFor waits for the bell, but no longer than a while. It fails when ctx ends.
func waitFor(ctx context.Context, bell <-chan struct{}, while time.Duration) error {
	look := time.NewTimer(while)
	defer look.Stop()
	select {
	case <-bell:
	case <-look.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
