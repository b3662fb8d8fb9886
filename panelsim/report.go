package panelsim

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rs/xid"

	"latchkey/internal/panel"
)

const (
	heartbeat   = 30 * time.Second      // a panel reports at least every 60 seconds (P8)
	gather      = 10 * time.Millisecond // events that come together are one batch
	reportPause = time.Second
	batchMost   = 200
)

// errOffline is the panel's own fault mode, not the engine's absence.
var errOffline = errors.New("the panel is offline")

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
	document, err := io.ReadAll(io.LimitReader(response.Body, panel.MaxMessage))
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
	if response.StatusCode < 500 && json.Unmarshal(document, &problem) == nil && problem.Code != "" {
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
	_, err = panel.Open(ctx, document, p.engineKey(), want, p.now(), nil, answer)
	return err
}

func (p *Panel) engineKey() ed25519.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory.identity.EngineKey
}

// reportSoon wakes the reporter. It never blocks.
func (p *Panel) reportSoon() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// report keeps the engine informed: at the start with a sync, then whenever
// something happens, and at least every half minute with an empty batch.
func (p *Panel) report(ctx context.Context) {
	synced := ""
	for ctx.Err() == nil {
		err := p.reportOnce(ctx, &synced)
		pause, woken := heartbeat, p.wake
		if err != nil {
			pause, woken = reportPause, nil // nothing new makes the engine answer sooner
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
func (p *Panel) reportOnce(ctx context.Context, synced *string) error {
	for {
		batch, more := p.nextBatch()
		var ack panel.EventsAck
		if err := p.ask(ctx, "/panel/v1/events", panel.TypeEvents, batch, panel.TypeEventsAck, &ack); err != nil {
			return err
		}
		if err := p.acknowledge(ack); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	p.mu.Lock()
	boot, lost := p.bootID, len(p.memory.grants) == 0
	p.mu.Unlock()
	if *synced == boot {
		return nil
	}
	if err := p.sync(ctx, boot, lost); err != nil {
		return err
	}
	*synced = boot
	return nil
}

// nextBatch is the oldest unacknowledged events of one boot, and whether there is
// more to send after them.
func (p *Panel) nextBatch() (batch panel.EventBatch, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch = panel.EventBatch{BootID: p.bootID, Events: []panel.Event{}}
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

func (p *Panel) acknowledge(ack panel.EventsAck) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.memory.events) == 0 {
		return nil
	}
	return p.keep(entry{Acked: &acknowledged{BootID: ack.BootID, Seq: ack.Seq}})
}

// sync asks for everything that the panel should hold.
func (p *Panel) sync(ctx context.Context, boot string, lost bool) error {
	var answer panel.SyncAnswer
	if err := p.ask(ctx, "/panel/v1/sync", panel.TypeSync, panel.SyncRequest{BootID: boot, Lost: lost}, panel.TypeSyncAnswer, &answer); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := *p.memory.identity
	id.Entrances, id.TimeZone = answer.Entrances, answer.TimeZone
	if err := p.keep(entry{Identity: &id}); err != nil {
		return err
	}
	return p.take(answer.Grants)
}

// hold is a phone held to the panel (I9). A tap whose answer is lost is sent again
// under the same id.
func (p *Panel) hold(ctx context.Context, token, entranceID string) (panel.TapAnswer, error) {
	p.mu.Lock()
	tap := panel.Tap{TapID: xid.New().String(), TapToken: token, EntranceID: entranceID, BootID: p.bootID}
	p.mu.Unlock()
	var answer panel.TapAnswer
	var err error
	for range 3 {
		answer = panel.TapAnswer{}
		if err = p.ask(ctx, "/panel/v1/taps", panel.TypeTap, tap, panel.TypeTapAnswer, &answer); err == nil {
			break
		}
		if _, refused := panel.AsError(err); refused || errors.Is(err, errOffline) {
			return answer, err
		}
		wait(ctx, 200*time.Millisecond)
	}
	if err == nil && answer.Command != nil {
		_, err = p.obey(*answer.Command, "tap")
	}
	return answer, err
}
