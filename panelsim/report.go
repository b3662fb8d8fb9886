package panelsim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"latchkey/internal/panel"
)

const (
	heartbeat    = 30 * time.Second       // a panel reports at least every 60 seconds (P8)
	gather       = 100 * time.Millisecond // events that come together are one batch
	firstPause   = 250 * time.Millisecond // before a failed report is sent again; doubles
	longestPause = 4 * time.Second
	batchMost    = 200
)

var (
	// errOffline is the panel's own fault mode, not the engine's absence.
	errOffline     = errors.New("the panel is offline")
	errNotEnrolled = errors.New("the panel has not enrolled yet")
)

// send posts a signed message to the engine and returns the body of its answer.
func (p *Panel) send(ctx context.Context, path, token string) (string, error) {
	if p.currentFault().mode == faultOffline {
		return "", errOffline
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.EngineURL+path, strings.NewReader(token))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", panel.ContentType)
	response, err := p.http.Do(request)
	if err != nil {
		return "", err
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, panel.MaxMessage+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode == http.StatusOK {
		return string(document), nil
	}
	var problem struct {
		Code   panel.Code `json:"code"`
		Detail string     `json:"detail"`
	}
	transient := response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests
	if !transient && json.Unmarshal(document, &problem) == nil && problem.Code != "" {
		return "", &panel.Error{Code: problem.Code, Detail: problem.Detail}
	}
	return "", fmt.Errorf("the engine answered with HTTP status %d", response.StatusCode)
}

// ask sends a signed request to the engine and opens its signed answer.
func (p *Panel) ask(ctx context.Context, path string, typ panel.Type, body any, answerType panel.Type, answer any) error {
	signer := p.signer()
	token, id, err := signer.Sign(panel.EngineName, typ, "", body, p.now())
	if err != nil {
		return err
	}
	document, err := p.send(ctx, path, token)
	if err != nil {
		return err
	}
	want := panel.Expect{Issuer: panel.EngineName, Audience: signer.Name, Type: answerType, Re: id}
	e, err := p.engineKeys().Open(ctx, document, want, p.now(), nil, answer)
	if err != nil {
		return err
	}
	return p.renewLease(answer, e.IssuedAt)
}

// reportSoon wakes the reporter. It never blocks.
func (p *Panel) reportSoon() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// askForAll makes the reporter ask the engine for all that the panel should hold.
// The caller holds mu.
func (p *Panel) askForAll() {
	p.unknown = true
	p.reportSoon()
}

// report keeps the engine informed: at the start with a sync, then whenever
// something happens, and at least every half minute with an empty batch.
func (p *Panel) report(ctx context.Context) {
	retry := firstPause
	for ctx.Err() == nil {
		err := p.reportOnce(ctx)
		pause, woken := heartbeat, p.wake
		switch {
		case err == nil:
			retry = firstPause
		case errors.Is(err, errOffline):
			pause = firstPause // the fault may be over by itself, or be called off
		default:
			pause, woken = retry, nil // nothing new makes the engine answer sooner
			retry = min(2*retry, longestPause)
		}
		p.setOnline(err == nil)
		if err != nil && !errors.Is(err, errOffline) && ctx.Err() == nil {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the engine does not take the panel's report; it will be sent again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		case <-woken:
			wait(ctx, gather)
		}
	}
}

func (p *Panel) setOnline(online bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.online = online
}

// reportOnce sends what the engine does not have. The current boot is reported
// last, even with nothing to say, since that is what tells the engine which boot
// commands must name.
func (p *Panel) reportOnce(ctx context.Context) error {
	for {
		batch, more := p.nextBatch()
		var ack panel.EventsAck
		if err := p.ask(ctx, "/panel/v1/events", panel.TypeEvents, batch, panel.TypeEventsAck, &ack); err != nil {
			return err
		}
		if err := p.acknowledge(batch, ack); err != nil {
			return err
		}
		if err := p.trust(ack.EngineKeys); err != nil {
			return err
		}
		if !more && ack.ResendFrom == 0 {
			break
		}
	}
	return p.syncIfUnknown(ctx)
}

// nextBatch is the oldest unacknowledged events of one boot, and whether there is
// more to send after them.
func (p *Panel) nextBatch() (batch panel.EventBatch, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch = panel.EventBatch{
		BootID: p.bootID, At: p.clock().Truncate(time.Millisecond), Events: []panel.Event{}, LeaseUntil: p.leaseHeld(),
		EngineKeyIDs: p.memory.identity.EngineKeys.IDs(),
	}
	if len(p.memory.events) == 0 {
		return batch, false
	}
	batch.BootID = p.memory.events[0].BootID
	for _, b := range p.memory.events {
		if b.BootID != batch.BootID || len(batch.Events) == batchMost {
			return batch, true
		}
		batch.Events = append(batch.Events, b.Event)
	}
	return batch, batch.BootID != p.bootID
}

// acknowledge forgets the events that the engine has.
func (p *Panel) acknowledge(batch panel.EventBatch, ack panel.EventsAck) error {
	if len(batch.Events) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ack.BootID == batch.BootID && ack.ResendFrom > 0 {
		return p.keep(entry{Acked: &acknowledged{BootID: ack.BootID, Seq: ack.Seq}, Resend: &resend{BootID: ack.BootID, From: ack.ResendFrom}})
	}
	if ack.BootID != batch.BootID || ack.Seq < batch.Events[0].Seq {
		return errors.New("the engine acknowledges none of the events")
	}
	return p.keep(entry{Acked: &acknowledged{BootID: ack.BootID, Seq: ack.Seq}})
}

// syncIfUnknown asks for everything that the panel should hold, if there may be
// something it does not know: after a start, and when the engine speaks of an
// entrance that is new to the panel.
func (p *Panel) syncIfUnknown(ctx context.Context) error {
	p.mu.Lock()
	request := panel.SyncRequest{BootID: p.bootID, Lost: p.lost, EngineKeyIDs: p.memory.identity.EngineKeys.IDs()}
	unknown := p.unknown
	p.unknown = false // what comes up from here on asks again
	p.mu.Unlock()
	if !unknown {
		return nil
	}
	err := p.syncAll(ctx, request)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.bootID == request.BootID { // not wiped again meanwhile
		p.lost = false
	}
	p.unknown = p.unknown || err != nil
	return err
}

// syncAll asks for one part after the other.
func (p *Panel) syncAll(ctx context.Context, request panel.SyncRequest) error {
	for {
		var answer panel.SyncAnswer
		if err := p.ask(ctx, "/panel/v1/sync", panel.TypeSync, request, panel.TypeSyncAnswer, &answer); err != nil {
			return err
		}
		if err := p.takeAll(answer); err != nil {
			return err
		}
		if err := p.trust(answer.EngineKeys); err != nil {
			return err
		}
		if answer.Next == "" {
			return nil
		}
		request.After, request.Lost = answer.Next, false
	}
}

// takeAll takes in one part of what the panel should hold.
func (p *Panel) takeAll(answer panel.SyncAnswer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := *p.memory.identity
	id.Entrances, id.TimeZone, id.Kind, id.Slots = answer.Entrances, answer.TimeZone, answer.Kind, answer.Slots
	if err := p.keep(entry{Identity: &id}); err != nil {
		return err
	}
	if err := p.adopt(answer.Keys); err != nil {
		return err
	}
	if err := p.takePolicies(answer.Policies); err != nil {
		return err
	}
	return p.take(answer.Grants)
}

// hold is a phone held to the panel (I9). A tap whose answer is lost is sent again
// under the same id. done is what became of the command in the answer, if it has
// one.
func (p *Panel) hold(ctx context.Context, token, entranceID string) (answer panel.TapAnswer, done panel.CommandResult, err error) {
	select {
	case <-p.enrolled:
	default:
		return answer, done, errNotEnrolled
	}
	p.mu.Lock()
	tap := panel.Tap{TapID: rand.Text(), TapToken: token, EntranceID: entranceID, BootID: p.bootID}
	p.mu.Unlock()
	for range 3 {
		answer = panel.TapAnswer{}
		if err = p.ask(ctx, "/panel/v1/taps", panel.TypeTap, tap, panel.TypeTapAnswer, &answer); err == nil {
			break
		}
		if _, refused := panel.AsError(err); refused || errors.Is(err, errOffline) {
			return answer, done, err
		}
		wait(ctx, 200*time.Millisecond)
	}
	if err == nil && answer.Command != nil {
		done, err = p.obey(*answer.Command, "tap")
	}
	return answer, done, err
}
