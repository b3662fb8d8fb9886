package delivery

import (
	"context"
	"slices"
	"time"

	"latchkey/internal/directory"
	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// way is the channel by which a message goes: its own, or one that stands in if it
// is not configured or the person cannot be reached by it. Empty: there is none.
func (d *Delivery) way(ctx context.Context, m store.QueuedMessage, reader directory.Person, now time.Time) (notify.Channel, error) {
	if m.TriedAt.IsZero() {
		return d.firstWay(ctx, m, reader, append([]notify.Channel{notify.Channel(m.Channel)}, notify.Others(notify.Channel(m.Channel))...), now)
	}
	return d.firstWay(ctx, m, reader, []notify.Channel{notify.Channel(m.Channel)}, now) // a vendor may have it: no second way
}

// otherWay is the channel that stands in for the one a message was refused by.
func (d *Delivery) otherWay(ctx context.Context, m store.QueuedMessage, reader directory.Person, now time.Time) (notify.Channel, error) {
	return d.firstWay(ctx, m, reader, notify.Others(notify.Channel(m.Channel)), now)
}

func (d *Delivery) firstWay(ctx context.Context, m store.QueuedMessage, reader directory.Person, wanted []notify.Channel, now time.Time) (notify.Channel, error) {
	for _, c := range wanted {
		if d.Senders[c] == nil || !notify.Reaches(c, m.Template) || slices.Contains(m.Tried, string(c)) {
			continue
		}
		if c == notify.ChannelPush {
			phones, err := d.Store.PhonesOf(ctx, reader.ID, now)
			if err != nil {
				return "", err
			}
			if len(phones) == 0 {
				continue
			}
		}
		if AddressOf(reader, c) != "" {
			return c, nil
		}
	}
	return "", nil
}

// AddressOf is where a channel reaches a person; empty if it does not.
func AddressOf(p directory.Person, c notify.Channel) string {
	switch c {
	case notify.ChannelEmail:
		return p.Email
	case notify.ChannelSMS:
		return p.Mobile
	case notify.ChannelPush:
		return p.ID
	}
	return ""
}
