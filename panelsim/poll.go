package panelsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/internal/panel"
)

// pollWait is how long the engine may hold a poll; pollTimeout how long an answer
// may take then.
const (
	pollWait    = 25 * time.Second
	pollTimeout = pollWait + 15*time.Second
)

// polled is where a message goes that was fetched, by its type: the same place as
// if it had come to the panel's address.
var polled = map[panel.Type]struct{ method, path string }{
	panel.TypeGrant:       {http.MethodPut, "/grants/polled"},
	panel.TypePolicy:      {http.MethodPut, "/entrances/polled/policy"},
	panel.TypeCommand:     {http.MethodPost, "/commands"},
	panel.TypeStatusQuery: {http.MethodGet, "/status"},
}

// poll fetches the panel's messages from the engine until ctx ends, for a panel
// that the engine cannot reach.
func (p *Panel) poll(ctx context.Context, handler http.Handler) {
	var answering sync.WaitGroup
	defer answering.Wait()
	for pause := firstPause; ctx.Err() == nil; {
		began := time.Now()
		messages, err := p.fetch(ctx)
		switch {
		case err == nil && len(messages) > 0:
			pause = firstPause
			answering.Go(func() { p.answer(ctx, handler, messages) })
			continue
		case err == nil:
			pause = firstPause
			if time.Since(began) < pollWait/2 { // the engine stops, or somebody else polls as this panel
				wait(ctx, time.Second)
			}
			continue
		}
		if !errors.Is(err, errOffline) && !errors.Is(err, context.Canceled) {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the engine does not answer the panel's poll; it polls again", slog.Any("error", err))
			pause = min(2*pause, longestPause)
		}
		wait(ctx, pause)
	}
}

// fetch asks for messages once. It is given up as soon as the panel is taken
// offline, as the connection of a real one would be.
func (p *Panel) fetch(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	p.mu.Lock()
	p.hangUpPoll = cancel
	bootID := p.bootID
	p.mu.Unlock()
	if p.currentFault().mode == faultOffline {
		return nil, errOffline
	}
	signer := p.signer()
	token, id, err := signer.Sign(panel.EngineName, panel.TypePoll, "", panel.Poll{BootID: bootID}, p.now())
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.config.EngineURL+"/panel/v1/commands?wait="+pollWait.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := p.polling.Do(request)
	if err != nil {
		return nil, err
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, panel.MaxMessage+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the engine answered with HTTP status %d", response.StatusCode)
	}
	var deliveries panel.Deliveries
	want := panel.Expect{Issuer: panel.EngineName, Audience: signer.Name, Type: panel.TypeDeliveries, Re: id}
	if _, err = p.engineKeys().Open(ctx, string(document), want, p.now(), nil, &deliveries); err != nil {
		return nil, err
	}
	if p.currentFault().mode == faultOffline {
		return nil, errOffline
	}
	return deliveries.Messages, nil
}

// answer does what the messages say, one after the other, and sends all answers. It
// tries again while somebody may still wait for them.
func (p *Panel) answer(ctx context.Context, handler http.Handler, messages []string) {
	said := panel.Answers{Answers: []string{}}
	for _, message := range messages {
		p.obeyPolled(ctx, handler, message, &said)
	}
	if len(said.Answers)+len(said.Refused) == 0 {
		return
	}
	for pause := firstPause; ctx.Err() == nil && pause < longestPause; pause *= 2 {
		err := p.ask(ctx, "/panel/v1/answers", panel.TypeAnswers, said, panel.TypeAnswersAck, new(panel.AnswersAck))
		if err == nil {
			return
		}
		p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the engine does not take the panel's answers", slog.Any("error", err))
		wait(ctx, pause)
	}
}

// obeyPolled hands one message to the handler that its HTTP request would reach, and
// keeps what that says. A handler that hangs up says nothing.
func (p *Panel) obeyPolled(ctx context.Context, handler http.Handler, message string, said *panel.Answers) {
	typ, id, err := panel.MessageHead(message)
	place, known := polled[typ]
	if err != nil || !known {
		said.Refused = append(said.Refused, panel.Refused{Re: id, Code: panel.CodeWrongType, Detail: "The panel does not know this type of message."})
		return
	}
	request, err := http.NewRequestWithContext(ctx, place.method, place.path, strings.NewReader(message))
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+message)
	w := &heard{header: http.Header{}, status: http.StatusOK}
	handler.ServeHTTP(w, request)
	switch w.status {
	case http.StatusOK:
		said.Answers = append(said.Answers, w.body.String())
	case http.StatusBadRequest:
		refused := panel.Refused{Re: id}
		if json.Unmarshal(w.body.Bytes(), &refused) == nil {
			said.Refused = append(said.Refused, refused)
		}
	}
}

// heard is what a handler answers, in memory.
type heard struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heard) Header() http.Header                { return h.header }
func (h *heard) WriteHeader(status int)             { h.status = status }
func (h *heard) Write(document []byte) (int, error) { return h.body.Write(document) }
