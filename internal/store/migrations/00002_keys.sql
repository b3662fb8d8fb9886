-- +goose Up

-- SmartBoxes get booking codes encrypted to a key of theirs (P1).
ALTER TABLE panels ADD COLUMN encryption_key bytea; -- a public JWK

CREATE TABLE keys (
    id          text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES accounts,
    property_id text NOT NULL REFERENCES properties,
    name        text NOT NULL,
    panel_id    text NOT NULL REFERENCES panels, -- where it lives
    slot        integer NOT NULL,
    notes       text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    revision    bigint NOT NULL DEFAULT 1,
    UNIQUE (panel_id, slot)
);
CREATE INDEX keys_by_account ON keys (account_id, id);
CREATE INDEX keys_by_property ON keys (property_id, id);

-- Where each key is and who has it (K12): one row a key, so never in two places.
CREATE TABLE custody (
    key_id     text PRIMARY KEY REFERENCES keys ON DELETE CASCADE,
    account_id text NOT NULL,
    state      text NOT NULL,                    -- in_box, out, unknown
    panel_id   text NOT NULL DEFAULT '',         -- the box, while it is in one
    slot       integer NOT NULL DEFAULT 0,
    holder_id  text NOT NULL DEFAULT '',         -- the reservation whose visitor has it
    since      timestamptz NOT NULL,
    revision   bigint NOT NULL DEFAULT 1
);
-- A slot holds one key.
CREATE UNIQUE INDEX custody_slots ON custody (panel_id, slot) WHERE state = 'in_box';

-- The chain of custody: append-only, in the order of at.
CREATE TABLE custody_changes (
    id          text PRIMARY KEY,
    key_id      text NOT NULL REFERENCES keys ON DELETE CASCADE,
    account_id  text NOT NULL,
    at          timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    state       text NOT NULL,
    panel_id    text NOT NULL DEFAULT '',
    slot        integer NOT NULL DEFAULT 0,
    holder_id   text NOT NULL DEFAULT '',
    cause       text NOT NULL,                   -- declared, box, host
    grant_id    text NOT NULL DEFAULT '',        -- whose code or request opened the slot
    actor_id    text NOT NULL DEFAULT '',
    note_id     text
);
CREATE INDEX custody_changes_by_key ON custody_changes (key_id, at DESC, id DESC);

-- Photo IDs that wait for a decision, encrypted under the visitor's key (K7).
CREATE TABLE visitor_photos (
    reservation_id text PRIMARY KEY,
    account_id     text NOT NULL,
    person_id      text NOT NULL REFERENCES people,
    media_type     text NOT NULL,
    width          integer NOT NULL,
    height         integer NOT NULL,
    body           bytea NOT NULL,
    submitted_at   timestamptz NOT NULL
);
