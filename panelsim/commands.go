package panelsim

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/panel"
)

const (
	kindDoor  = "door"
	doorOpens = 5 * time.Second // how long a door stands open after a command
)

// fromEngine answers a signed request of the engine with what handle makes of its
// body.
func fromEngine[Q any](p *Panel, typ, answerType panel.Type, handle func(ctx context.Context, q Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := p.currentFault()
		if f.mode == faultOffline {
			hangUp(w)
			return
		}
		document, err := io.ReadAll(io.LimitReader(r.Body, panel.MaxMessage+1))
		if err != nil {
			return // the engine has gone
		}
		if r.Method == http.MethodGet {
			document = []byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}
		select {
		case <-p.enrolled:
		default:
			writeProblem(w, http.StatusServiceUnavailable, "not_enrolled", "The panel has not enrolled yet.")
			return
		}
		p.mu.Lock()
		id := *p.memory.identity
		p.mu.Unlock()
		var q Q
		want := panel.Expect{Issuer: panel.EngineName, Audience: id.PanelID, Type: typ}
		e, err := id.EngineKeys.Open(r.Context(), string(document), want, p.now(), &p.guard, &q)
		if err == nil && f.mode == faultSlow {
			wait(context.WithoutCancel(r.Context()), f.value) // the engine may have given up; a slow panel does not know
		}
		if err == nil {
			err = p.renewLease(q, e.IssuedAt)
		}
		var answer any
		if err == nil {
			answer, err = handle(r.Context(), q)
		}
		if refusal, ok := panel.AsError(err); ok {
			writeProblem(w, http.StatusBadRequest, string(refusal.Code), refusal.Detail)
			return
		}
		var token string
		if err == nil {
			token, _, err = p.signer().Sign(panel.EngineName, answerType, e.ID, answer, p.now())
		}
		if err != nil {
			p.config.Logger.LogAttrs(r.Context(), slog.LevelError, "the panel could not carry out a request", slog.Any("error", err))
			writeProblem(w, http.StatusInternalServerError, "internal", "The panel could not carry out the request.")
			return
		}
		if f.mode == faultLoseAck {
			hangUp(w)
			return
		}
		w.Header().Set("Content-Type", panel.ContentType)
		_, _ = io.WriteString(w, token) // if the engine has gone it will ask again
	}
}

// putGrant takes in a grant and says which revision is held now (P3).
func (p *Panel) putGrant(_ context.Context, g panel.Grant) (any, error) {
	if g.GrantID == "" {
		return nil, &panel.Error{Code: panel.CodeMalformed, Detail: "grant_id is missing."}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.take([]panel.Grant{g}); err != nil {
		return nil, err
	}
	unknownKey := p.isBox() && g.KeyID != "" && !p.memory.keysSeen[g.KeyID]
	if unknownKey || slices.ContainsFunc(g.EntranceIDs, func(id string) bool { return !p.has(id) }) {
		p.askForAll()
	}
	return panel.Ack{GrantID: g.GrantID, Revision: p.memory.grants[g.GrantID].Revision}, nil
}

func (p *Panel) status(context.Context, panel.StatusQuery) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return panel.Status{PanelID: p.memory.identity.PanelID, Kind: p.kind(), BootID: p.bootID, At: p.clock(), Grants: len(p.memory.grants)}, nil
}

func (p *Panel) command(_ context.Context, c panel.Command) (any, error) {
	if c.CommandID == "" {
		return nil, &panel.Error{Code: panel.CodeMalformed, Detail: "command_id is missing."}
	}
	return p.obey(c, "command")
}

// obey carries out a command at most once (P4). What it will do is in the journal
// before it is done, so a panel that is killed here has either opened, and knows
// it, or will never open by this id.
func (p *Panel) obey(c panel.Command, via string) (panel.CommandResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.memory.seen[c.CommandID]; ok {
		return known, nil
	}
	if p.isBox() && c.Op == panel.OpOpenSlot {
		return p.obeySlot(c)
	}
	now := p.clock()
	judged := p.judge(c, now)
	result := panel.CommandResult{CommandID: c.CommandID, Result: judged, Reason: reasons[judged], At: now}
	e := entry{Seen: &result, Event: &bootEvent{BootID: p.bootID, Event: panel.Event{
		Seq: p.seq + 1, At: now, EntranceID: c.EntranceID, CommandID: c.CommandID, GrantID: c.GrantID,
	}}}
	if result.Result == panel.ResultOpened {
		e.Event.Event.Type = "opened"
		e.Opened = &Opening{At: now, EntranceID: c.EntranceID, GrantID: c.GrantID, CommandID: c.CommandID, Via: via}
	} else {
		e.Event.Event.Type, e.Event.Event.Code = "denied", string(result.Result)
		e.Denied = &Denial{At: now, EntranceID: c.EntranceID, GrantID: c.GrantID, CommandID: c.CommandID, Code: string(result.Result)}
	}
	if err := p.keep(e); err != nil {
		return result, err
	}
	p.seq++
	if result.Result == panel.ResultOpened {
		p.openTil[c.EntranceID] = p.world().Add(doorOpens)
	}
	if !p.has(c.EntranceID) {
		p.askForAll()
	}
	p.reportSoon()
	return result, nil
}

// judge decides about a command on what the panel itself knows (P2, P4).
func (p *Panel) judge(c panel.Command, now time.Time) panel.Result {
	g, known := p.memory.grants[c.GrantID]
	switch {
	case p.faulty().mode == faultRefuse:
		return panel.ResultRefused
	case c.BootID != p.bootID:
		return panel.ResultStaleBoot
	case !now.Before(c.ExpiresAt):
		return panel.ResultExpired
	case c.Op != panel.OpUnlock || !p.has(c.EntranceID) && len(p.memory.identity.Entrances) > 0:
		return panel.ResultNotShared
	case known && (g.Tombstone || g.Revision > c.GrantRevision):
		return panel.ResultStaleRevision
	case p.outdated(c, c.EntranceID, now) != "":
		return p.outdated(c, c.EntranceID, now)
	case !known || g.Revision < c.GrantRevision:
		return panel.ResultOpened // the engine knows more than we do, and has signed it
	case g.StartsAt != nil && now.Before(*g.StartsAt), g.EndsAt != nil && !now.Before(*g.EndsAt):
		return panel.ResultOutsideWindow
	case !slices.Contains(g.EntranceIDs, c.EntranceID):
		return panel.ResultNotShared
	default:
		return panel.ResultOpened
	}
}

// reasons say to the engine's operator why nothing opened.
var reasons = map[panel.Result]string{
	panel.ResultRefused:       "The panel is set to refuse everything.",
	panel.ResultStaleBoot:     "The panel has restarted since it last reported.",
	panel.ResultExpired:       "The command arrived after its time on the panel's clock.",
	panel.ResultNotShared:     "The entrance is not one of this panel's, or not in the grant.",
	panel.ResultStaleRevision: "The panel holds a newer revision of the grant, or its end.",
	panel.ResultOutsideWindow: "It is outside the grant's window on the panel's clock.",

	panel.ResultClosed:     "The entrance is closed to guests, by a newer policy document than the engine decided by.",
	panel.ResultLockedDown: "The property is locked down, by a newer policy document than the engine decided by.",

	panel.ResultWrongPanelCode: "The number is not the one that the box shows.",
	panel.ResultKeyNotHere:     "No slot of the box holds the key.",
	panel.ResultNoFreeSlot:     "All slots of the box are taken.",
	panel.ResultPickupDenied:   "The grant gives no pickup.",
}

// kind is what the panel is, as enrolled. The caller holds mu.
func (p *Panel) kind() string {
	if p.isBox() {
		return kindSmartBox
	}
	return kindDoor
}

// has reports whether an entrance is known to be behind this panel. The caller
// holds mu.
func (p *Panel) has(entranceID string) bool {
	return slices.ContainsFunc(p.memory.identity.Entrances, func(e panel.Entrance) bool { return e.EntranceID == entranceID })
}

// hangUp closes the connection without an answer, as a panel does that is gone.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if connection, _, err := h.Hijack(); err == nil {
			_ = connection.Close() // it is to be broken
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	writeJSON(w, "application/problem+json", status, map[string]any{"status": status, "title": http.StatusText(status), "code": code, "detail": detail})
}

func writeJSON(w http.ResponseWriter, media string, status int, body any) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // if the reader has gone there is nobody to tell
}
