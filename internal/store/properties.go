package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

const propertyColumns = `SELECT id, account_id, name, time_zone, policy, created_at, updated_at, revision FROM properties`

func scanProperty(row pgx.CollectableRow) (p directory.Property, err error) {
	var policy []byte
	if err = row.Scan(&p.ID, &p.AccountID, &p.Name, &p.TimeZone, &policy, &p.CreatedAt, &p.UpdatedAt, &p.Revision); err == nil {
		err = json.Unmarshal(policy, &p.Policy)
	}
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return p, err
}

// CheckProperty refuses a zone that is none, and a policy that could not be kept (I12).
func CheckProperty(p directory.Property) error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	if !isZone(p.TimeZone) {
		return directory.Invalid("body.time_zone", "time_zone must be an IANA zone such as Europe/Lisbon or Asia/Tokyo.")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"invitation_ttl", p.Policy.InvitationTTL}, {"resend_cooldown", p.Policy.ResendCooldown},
		{"late_key_after", p.Policy.LateKeyAfter}, {"offline_lease", p.Policy.OfflineLease},
	} {
		if d.value < time.Second {
			return directory.Invalid("body.policy."+d.name, d.name+" must be a second or more.")
		}
	}
	if p.Policy.ReverifyAfter != 0 && p.Policy.ReverifyAfter < time.Second {
		return directory.Invalid("body.policy.reverify_after", "reverify_after must be a second or more, or 0 for never.")
	}
	if !slices.Contains([]access.Verification{access.VerificationNone, access.VerificationOnSite}, p.Policy.Verification) {
		return directory.Invalid("body.policy.verification", "verification must be none or on_site.")
	}
	if !slices.Contains([]access.HistoryVisibility{access.HistoryAll, access.HistoryOwn}, p.Policy.HistoryVisibility) {
		return directory.Invalid("body.policy.history_visibility", "history_visibility must be all or own.")
	}
	if p.Policy.MaxGuestsPerInviter < 0 {
		return directory.Invalid("body.policy.max_guests_per_inviter", "max_guests_per_inviter must be 0 (no cap) or more.")
	}
	if _, err := time.Parse("15:04", p.Policy.ReturnReminderAt); err != nil {
		return directory.Invalid("body.policy.return_reminder_at", "return_reminder_at must be a clock time such as 09:00.")
	}
	return nil
}

// isZone reports whether a name is a zone of the IANA database. The files "right/…"
// of some machines count leap seconds, which instants here do not; "localtime" and
// "Local" are another zone on each machine.
func isZone(name string) bool {
	if name == "" || name == "Local" || name == "localtime" || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix") {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// CreateProperty adds a property. Its id, instants and revision are given here.
func (s *Store) CreateProperty(ctx context.Context, p directory.Property, now time.Time) (directory.Property, error) {
	if err := CheckProperty(p); err != nil {
		return p, err
	}
	p.ID, p.Revision, p.CreatedAt, p.UpdatedAt = newID("prop"), 1, instant(now), instant(now)
	policy, err := json.Marshal(p.Policy)
	if err != nil {
		return p, err
	}
	return p, s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO properties (id, account_id, name, time_zone, policy, created_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $6, $7)`, p.ID, p.AccountID, p.Name, p.TimeZone, policy, p.CreatedAt, p.Revision); err != nil {
			return err
		}
		return keepRevision(ctx, tx, p.ID, p.Revision, propertyRevision(p), now)
	})
}

// propertyDocument is what an explanation of the past needs of a property (E5).
type propertyDocument struct {
	TimeZone string        `json:"time_zone"`
	Policy   access.Policy `json:"policy"`
}

func propertyRevision(p directory.Property) any {
	return propertyDocument{TimeZone: p.TimeZone, Policy: p.Policy}
}

// keepRevision ends the validity of the revision before and begins that of this
// one, so that "why?" can answer for the past (E5).
func keepRevision(ctx context.Context, tx pgx.Tx, subjectID string, revision int64, document any, now time.Time) error {
	encoded, err := json.Marshal(document)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE directory_revisions SET valid_to = $2 WHERE subject_id = $1 AND valid_to IS NULL`, subjectID, instant(now))
	batch.Queue(`INSERT INTO directory_revisions (subject_id, revision, valid_from, document) VALUES ($1, $2, $3, $4)`, subjectID, revision, instant(now), encoded)
	return tx.SendBatch(ctx, batch).Close()
}

// Properties lists an account's properties, newest first.
func (s *Store) Properties(ctx context.Context, accountID string, page Page) ([]directory.Property, string, error) {
	return list(ctx, s, propertyColumns+` WHERE account_id = $1`, accountID, "", page, scanProperty, func(p directory.Property) string { return p.ID })
}

// Property reads one property of the account.
func (s *Store) Property(ctx context.Context, accountID, id string) (directory.Property, error) {
	return propertyIn(ctx, s.pool, accountID, id)
}

func propertyIn(ctx context.Context, q querier, accountID, id string) (directory.Property, error) {
	rows, err := q.Query(ctx, propertyColumns+` WHERE account_id = $1 AND id = $2`, accountID, id)
	return one(rows, err, scanProperty, "property", id)
}

// UpdateProperty changes a property if it is still at the revision seen (0: any).
// A new policy holds for every decision from the commit on (I12).
func (s *Store) UpdateProperty(ctx context.Context, accountID, id string, seen int64, change func(*directory.Property) error, now time.Time) (p directory.Property, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, propertyColumns+` WHERE account_id = $1 AND id = $2 FOR UPDATE`, accountID, id)
		if p, err = one(rows, err, scanProperty, "property", id); err != nil {
			return err
		}
		if seen != 0 && seen != p.Revision {
			return stale("property")
		}
		before := p
		if err := change(&p); err != nil {
			return err
		}
		if p == before {
			return nil
		}
		if err := CheckProperty(p); err != nil {
			return err
		}
		p.Policy.Succeed(before.Policy, instant(now))
		p.Revision, p.UpdatedAt = before.Revision+1, instant(now)
		policy, err := json.Marshal(p.Policy)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE properties SET name = $2, time_zone = $3, policy = $4, updated_at = $5, revision = $6 WHERE id = $1`,
			p.ID, p.Name, p.TimeZone, policy, p.UpdatedAt, p.Revision); err != nil {
			return err
		}
		if err := keepRevision(ctx, tx, p.ID, p.Revision, propertyRevision(p), now); err != nil {
			return err
		}
		if p.Policy == before.Policy && p.TimeZone == before.TimeZone {
			return nil
		}
		if _, err := tx.Exec(ctx, replanSQL, p.ID, instant(now)); err != nil { // T4
			return err
		}
		if err := policyToTell(ctx, tx, p, before.Policy, now); err != nil { // I12
			return err
		}
		if err := appendEvent(ctx, tx, policyChanged(p.AccountID, p.ID, "", p.Revision, now)); err != nil {
			return err
		}
		return desirePolicies(ctx, tx, p.ID, now)
	})
	return p, err
}

func policyChanged(accountID, propertyID, entranceID string, revision int64, now time.Time) directory.Event {
	return directory.Event{
		AccountID: accountID, Type: access.EventPolicyChanged, At: now, RecordedAt: now, PropertyID: propertyID, EntranceID: entranceID, Rule: "I12",
		DedupKey: fmt.Sprintf("%s%s/%d/policy", propertyID, entranceID, revision), Detail: map[string]any{"revision": revision},
	}
}

// endRevision ends the validity of the last revision of what is deleted.
func endRevision(ctx context.Context, tx pgx.Tx, subjectID string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE directory_revisions SET valid_to = $2 WHERE subject_id = $1 AND valid_to IS NULL`, subjectID, instant(now))
	return err
}

// DeleteProperty removes a property that nothing belongs to any more. Members lose
// the role they had there.
func (s *Store) DeleteProperty(ctx context.Context, accountID, id string, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, propertyColumns+` WHERE account_id = $1 AND id = $2 FOR UPDATE`, accountID, id)
		if _, err := one(rows, err, scanProperty, "property", id); err != nil {
			return err
		}
		var users int
		err = tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM panels WHERE property_id = $1) + (SELECT count(*) FROM entrances WHERE property_id = $1)
			+ (SELECT count(*) FROM invitations WHERE property_id = $1) + (SELECT count(*) FROM keys WHERE property_id = $1)`, id).Scan(&users)
		if err != nil {
			return err
		}
		if users > 0 {
			return inUse("property", users, "Its panels, entrances, keys and invitations, past ones included, belong to it.")
		}
		if err := endRevision(ctx, tx, id, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE members SET property_ids = array_remove(property_ids, $2), updated_at = $3, revision = revision + 1
			WHERE account_id = $1 AND $2 = ANY(property_ids)`, accountID, id, instant(now)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM properties WHERE account_id = $1 AND id = $2`, accountID, id)
		return err
	})
}

// inUse refuses to delete what other things need.
func inUse(what string, count int, why string) error {
	return &directory.Error{Code: directory.CodeInUse, Count: count, Detail: fmt.Sprintf("This %s is in use by %d. %s", what, count, why)}
}
