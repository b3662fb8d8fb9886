-- +goose Up

-- A member who is removed stays as long as the history names them (I17); their
-- address is free for a new one.
ALTER TABLE members ADD COLUMN removed_at timestamptz;
ALTER TABLE members DROP CONSTRAINT members_account_id_email_index_key;
CREATE UNIQUE INDEX members_account_id_email_index_key ON members (account_id, email_index) WHERE removed_at IS NULL;

-- Removed members whose live items have yet to be revoked, or to follow to who takes
-- them over.
CREATE TABLE member_removals (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    member_id  text NOT NULL REFERENCES members,
    moved_to   text REFERENCES members,
    removed_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX member_removals_pending ON member_removals (removed_at) WHERE ended_at IS NULL;

-- The address that a mistyped invitation is being corrected to: it has a place under the cap (I5, I12).
ALTER TABLE invitations
    ADD COLUMN corrected_index bytea,
    ADD COLUMN corrected_until timestamptz;

-- Changes of what a property allows, until everybody whom they concern has been told (I12, I17).
CREATE TABLE policy_changes (
    id          text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES accounts,
    property_id text NOT NULL REFERENCES properties ON DELETE CASCADE,
    entrance_id text NOT NULL DEFAULT '',          -- of this entrance; empty: of the property's policy
    before      jsonb NOT NULL,
    after       jsonb NOT NULL,
    changed_at  timestamptz NOT NULL,
    last_invitation  text NOT NULL DEFAULT '',     -- how far telling has come
    last_reservation text NOT NULL DEFAULT ''
);
CREATE INDEX policy_changes_by_time ON policy_changes (changed_at, id);
