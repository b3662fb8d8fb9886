package panelsim

import "latchkey/internal/panel"

// resend says that the engine wants the events of a boot from one on again (P6).
type resend struct {
	BootID string `json:"boot_id"`
	From   int64  `json:"from"`
}

// forget is what a wipe takes: everything that came from the engine but the panel's
// identity.
func (m *memory) forget() {
	m.grants, m.seen, m.policies, m.lease = map[string]panel.Grant{}, map[string]panel.CommandResult{}, map[string]panel.Policy{}, lease{}
}

// acknowledge puts aside the events that the engine has. It keeps the last of them,
// since an engine that was set back to an earlier day asks for them again.
func (m *memory) acknowledge(a acknowledged) {
	kept := m.events[:0:0]
	for _, b := range m.events {
		if b.BootID != a.BootID || b.Event.Seq > a.Seq {
			kept = append(kept, b)
			continue
		}
		m.acked = append(m.acked, b)
	}
	m.events, m.acked = kept, last(m.acked)
}

// resend takes the events that the engine asks for back in front of the others of
// their boot.
func (m *memory) resend(r resend) {
	var again []bootEvent
	kept := m.acked[:0:0]
	for _, b := range m.acked {
		if b.BootID == r.BootID && b.Event.Seq >= r.From {
			again = append(again, b)
			continue
		}
		kept = append(kept, b)
	}
	m.acked, m.events = kept, append(again, m.events...)
}
