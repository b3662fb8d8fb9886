-- +goose Up

-- For exclusion constraints that compare texts. Trusted, so the owner of the database may add it.
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Visitors may have a number and no address (K1).
ALTER TABLE people ADD COLUMN mobile_index bytea; -- keyed HMAC of the number
CREATE INDEX people_by_mobile ON people (mobile_index, account_id);

-- Reservations: the committed facts that decisions read. The workflow writes them.
CREATE TABLE reservations (
    id           text PRIMARY KEY,
    account_id   text NOT NULL REFERENCES accounts,
    property_id  text NOT NULL REFERENCES properties,
    key_id       text NOT NULL REFERENCES keys,
    host_id      text NOT NULL REFERENCES members,
    visitor_id   text NOT NULL REFERENCES people,
    state        text NOT NULL,
    revision     bigint NOT NULL,
    facts        jsonb NOT NULL,                -- access.Reservation as recorded
    starts_at    timestamptz,
    ends_at      timestamptz,
    channel      text NOT NULL,                 -- of the first message and of all that follow: email or sms
    email_index  bytea,
    mobile_index bytea,
    code         bytea NOT NULL,                -- encrypted: the host and the visitor see it again
    code_index   bytea NOT NULL,                -- keyed HMAC, for uniqueness
    token        bytea NOT NULL,                -- encrypted: the secret of the booking URL
    token_hash   bytea NOT NULL UNIQUE,         -- keyed HMAC, for lookup
    over_at      timestamptz,                   -- when picking up ended and the key was back; the tombstone follows 30 days later (P3)
    retired_at   timestamptz,                   -- when it became a tombstone: the code is free again
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX reservations_codes ON reservations (account_id, code_index) WHERE retired_at IS NULL;
CREATE INDEX reservations_by_account ON reservations (account_id, id DESC);
CREATE INDEX reservations_by_property ON reservations (property_id, id DESC);
CREATE INDEX reservations_by_key ON reservations (key_id, id DESC);
CREATE INDEX reservations_by_host ON reservations (host_id);
CREATE INDEX reservations_by_email ON reservations (email_index, id DESC);
CREATE INDEX reservations_by_mobile ON reservations (mobile_index, id DESC);
CREATE INDEX reservations_ending ON reservations (ends_at, id) WHERE state = 'scheduled';
CREATE INDEX reservations_creating ON reservations (created_at) WHERE state = 'creating';
CREATE INDEX reservations_retiring ON reservations (over_at) WHERE retired_at IS NULL AND over_at IS NOT NULL;

-- The windows of one-time reservations (K14). An exclusive one takes all lanes of its
-- key and so admits no other; one that is not takes a lane of its own, and admits
-- its like. A change of a window claims the new one beside the old, which goes when
-- the change is recorded. A zone's change moves all windows of a key at once, hence
-- deferrable.
CREATE SEQUENCE key_window_lanes;
CREATE TABLE key_windows (
    id             text PRIMARY KEY,
    reservation_id text NOT NULL REFERENCES reservations ON DELETE CASCADE,
    key_id         text NOT NULL REFERENCES keys,
    during         tstzrange NOT NULL,
    lanes          int8range NOT NULL,
    claimed_until  timestamptz,                 -- null: recorded
    CONSTRAINT key_windows_exclusive EXCLUDE USING gist (key_id WITH =, during WITH &&, lanes WITH &&, reservation_id WITH <>)
        DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX key_windows_by_reservation ON key_windows (reservation_id);
CREATE INDEX key_windows_claimed ON key_windows (claimed_until) WHERE claimed_until IS NOT NULL;

-- Properties whose zone or policy has changed, until their live items have been worked out anew (T4).
CREATE TABLE replans (
    property_id text PRIMARY KEY REFERENCES properties ON DELETE CASCADE,
    changed_at  timestamptz NOT NULL
);

-- Commands open slots as well as entrances.
ALTER TABLE commands RENAME COLUMN invitation_id TO item_id;
ALTER TABLE commands ALTER COLUMN entrance_id SET DEFAULT '';
ALTER TABLE commands
    ADD COLUMN op      text NOT NULL DEFAULT 'unlock',   -- unlock or open_slot
    ADD COLUMN purpose text NOT NULL DEFAULT '',         -- of open_slot: pickup or dropoff
    ADD COLUMN key_id  text NOT NULL DEFAULT '',
    ADD COLUMN slot    integer NOT NULL DEFAULT 0;       -- that opened
