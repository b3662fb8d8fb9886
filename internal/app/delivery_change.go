package app

import (
	"context"
	"time"

	"latchkey/internal/notify"
	"latchkey/internal/store"
)

// addChanges fills in what has changed for the reader and whom it concerns (I12,
// I14, I17), with the names that the entrances have now.
func (d *writer) addChanges(ctx context.Context, m store.QueuedMessage, data *notify.Data) error {
	data.ToMember, data.Guests, data.Visitors = m.Params.ToMember, m.Params.Guests, m.Params.Visitors
	var ids []string
	for _, change := range m.Params.Changes {
		ids = append(ids, change.EntranceID)
	}
	if len(ids) == 0 {
		return nil
	}
	names, err := d.store.EntranceNames(ctx, ids)
	if err != nil {
		return err
	}
	for _, change := range m.Params.Changes {
		data.Changes = append(data.Changes, notify.Change{Difference: change, EntranceName: names[change.EntranceID]})
	}
	return nil
}

// movedData is about what a removed member has given (I17).
func (d *writer) movedData(ctx context.Context, m store.QueuedMessage) (notify.Data, *time.Location, error) {
	name, err := d.store.MemberName(ctx, m.Params.MemberID)
	return notify.Data{MemberName: name, Invitations: m.Params.Guests, Reservations: m.Params.Visitors}, time.UTC, err
}
