-- +goose Up

-- Tenants and what may act for them.
CREATE TABLE accounts (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    name       text NOT NULL,
    scopes     text[] NOT NULL,
    hash       bytea NOT NULL UNIQUE,          -- SHA-256 of a 256-bit secret
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- People: every personal field is encrypted under the person's own data key,
-- which is wrapped by the keyset. Erasing a person empties data_key (E7).
CREATE TABLE people (
    id          text PRIMARY KEY,
    account_id  text REFERENCES accounts,       -- null: a signed-in identity, which belongs to no tenant
    data_key    bytea,
    name        bytea,
    email       bytea,
    mobile      bytea,
    locale      text NOT NULL DEFAULT 'en',
    email_index bytea,                          -- keyed HMAC of the normalised address, for lookup
    created_at  timestamptz NOT NULL,
    signed_in_at timestamptz,                   -- identities only: the first sign-in made the account
    erased_at   timestamptz
);
CREATE INDEX people_by_email ON people (email_index, account_id);
CREATE UNIQUE INDEX identities_by_email ON people (email_index) WHERE account_id IS NULL;

CREATE TABLE properties (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    name       text NOT NULL,
    time_zone  text NOT NULL,
    policy     jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    revision   bigint NOT NULL DEFAULT 1
);
CREATE INDEX properties_by_account ON properties (account_id, id);

CREATE TABLE members (
    id          text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES accounts,
    person_id   text NOT NULL REFERENCES people,
    role        text NOT NULL,
    property_ids text[] NOT NULL,
    preferences jsonb NOT NULL DEFAULT '{}',
    email_index bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    revision    bigint NOT NULL DEFAULT 1,
    UNIQUE (account_id, email_index)
);

CREATE TABLE panels (
    id            text PRIMARY KEY,
    account_id    text NOT NULL REFERENCES accounts,
    property_id   text NOT NULL REFERENCES properties,
    name          text NOT NULL,
    kind          text NOT NULL,
    driver        text NOT NULL DEFAULT 'native',
    slots         integer NOT NULL DEFAULT 0,
    address       text NOT NULL DEFAULT '',
    address_fixed boolean NOT NULL DEFAULT false, -- given by the manager, so an announcement does not change it
    public_key    bytea,
    enrolment_hash       bytea,
    enrolment_expires_at timestamptz,
    enrolled_at   timestamptz,
    disowned_at   timestamptz,
    boot_id       text NOT NULL DEFAULT '',
    last_seen_at  timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    revision      bigint NOT NULL DEFAULT 1
);
CREATE INDEX panels_by_account ON panels (account_id, id);

CREATE TABLE panel_boots (
    panel_id text NOT NULL REFERENCES panels ON DELETE CASCADE,
    boot_id  text NOT NULL,
    last_seq bigint NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (panel_id, boot_id)
);

-- Message ids of panels, kept until the message would be refused for its age (P1).
CREATE TABLE panel_messages (
    issuer     text NOT NULL,
    message_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, message_id)
);
CREATE INDEX panel_messages_by_expiry ON panel_messages (expires_at);

CREATE TABLE engine_keys (
    id          text PRIMARY KEY,
    private_key bytea NOT NULL,                 -- encrypted by the keyset
    created_at  timestamptz NOT NULL
);

CREATE TABLE entrances (
    id          text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES accounts,
    property_id text NOT NULL REFERENCES properties,
    panel_id    text NOT NULL REFERENCES panels,
    name        text NOT NULL,
    directions  text NOT NULL DEFAULT '',
    shareable   boolean NOT NULL,
    schedules   jsonb NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    revision    bigint NOT NULL DEFAULT 1
);
CREATE INDEX entrances_by_account ON entrances (account_id, id);
CREATE INDEX entrances_by_panel ON entrances (panel_id);
CREATE INDEX entrances_by_property ON entrances (property_id);

-- What properties and entrances were like in the past, so that a decision can be explained (E5).
CREATE TABLE directory_revisions (
    subject_id text NOT NULL,
    revision   bigint NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    document   jsonb NOT NULL,
    PRIMARY KEY (subject_id, revision)
);

-- Invitations: the committed facts that decisions read. The workflow writes them;
-- verified_at and last_used_at belong to taps and unlocks.
CREATE TABLE invitations (
    id           text PRIMARY KEY,
    account_id   text NOT NULL REFERENCES accounts,
    property_id  text NOT NULL REFERENCES properties,
    inviter_id   text NOT NULL REFERENCES members,
    guest_id     text NOT NULL REFERENCES people,
    state        text NOT NULL,
    revision     bigint NOT NULL,
    facts        jsonb NOT NULL,                -- access.Invitation as recorded
    expires_at   timestamptz,
    ends_at      timestamptz,
    guest_index  bytea NOT NULL,
    inviter_index bytea NOT NULL,
    token_hash   bytea UNIQUE,                  -- keyed HMAC, for lookup
    token        bytea,                         -- encrypted, because a resend shows it again
    verified_at  timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX invitations_by_account ON invitations (account_id, id DESC);
CREATE INDEX invitations_by_property ON invitations (property_id, id DESC);
CREATE INDEX invitations_by_guest ON invitations (guest_index, id DESC);
CREATE INDEX invitations_by_inviter ON invitations (inviter_id, property_id);
CREATE INDEX invitations_creating ON invitations (created_at) WHERE state = 'creating';

CREATE TABLE item_revisions (
    item_id    text NOT NULL,
    revision   bigint NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    document   jsonb NOT NULL,
    PRIMARY KEY (item_id, revision)
);

-- Verification attempts: one live token per guest and property, single use (I9).
CREATE TABLE verifications (
    id            text PRIMARY KEY,
    account_id    text NOT NULL REFERENCES accounts,
    invitation_id text NOT NULL REFERENCES invitations,
    property_id   text NOT NULL,
    guest_index   bytea NOT NULL,
    token_hash    bytea NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    result        text NOT NULL DEFAULT 'pending', -- pending, verified, wrong_entrance, voided
    entrance_id   text,
    tap_id        text,
    command_id    text,
    decided_at    timestamptz
);
CREATE INDEX verifications_by_invitation ON verifications (invitation_id, created_at DESC);
CREATE INDEX verifications_live ON verifications (guest_index, property_id) WHERE result = 'pending';

-- Momentary commands: claimed before they are sent, so that one that was acted on is never lost (P4).
-- No foreign keys: each would lock a row of the directory while a person waits at the door,
-- and every unlock of an account the same one.
CREATE TABLE commands (
    id             text PRIMARY KEY,
    account_id     text NOT NULL,
    panel_id       text NOT NULL,
    invitation_id  text NOT NULL,
    entrance_id    text NOT NULL,
    grant_revision bigint NOT NULL,
    boot_id        text NOT NULL,
    via            text NOT NULL,               -- unlock or tap
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    result         text NOT NULL DEFAULT '',    -- '' until known; opened, or the panel's refusal
    opened_at      timestamptz
);
CREATE INDEX commands_by_panel ON commands (panel_id);

-- What each panel should hold, and what it said it holds (P3, P5).
CREATE TABLE grants (
    panel_id   text NOT NULL REFERENCES panels ON DELETE CASCADE,
    grant_id   text NOT NULL,
    account_id text NOT NULL,
    desired_revision   bigint NOT NULL,
    desired            jsonb NOT NULL,          -- access.Grant
    confirmed_revision bigint NOT NULL DEFAULT 0,
    narrowing  boolean NOT NULL DEFAULT false,
    pending_since timestamptz,
    confirmed_at  timestamptz,
    attempts   integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    PRIMARY KEY (panel_id, grant_id)
);
CREATE INDEX grants_pending ON grants (panel_id) WHERE confirmed_revision < desired_revision;
CREATE INDEX grants_by_item ON grants (grant_id);

-- The event log: append-only (E3). No foreign keys, for the reason that commands have none.
CREATE TABLE events (
    id          text PRIMARY KEY,
    account_id  text NOT NULL,
    type        text NOT NULL,
    at          timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    property_id text,
    item_id     text,
    entrance_id text,
    panel_id    text,
    actor_id    text,
    code        text NOT NULL DEFAULT '',
    rule        text NOT NULL DEFAULT '',
    note_id     text,
    detail      jsonb NOT NULL DEFAULT '{}',
    dedup_key   text NOT NULL,
    UNIQUE (account_id, dedup_key)
);
CREATE INDEX events_by_account ON events (account_id, id DESC);
CREATE INDEX events_by_property ON events (property_id, id DESC);
CREATE INDEX events_by_item ON events (item_id, id DESC);
CREATE INDEX events_by_entrance ON events (entrance_id, id DESC);

-- +goose StatementBegin
CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_are_append_only();
CREATE TRIGGER events_not_emptied BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only();

-- People's own words, such as the reason of a revocation, encrypted under their subject's key (E7).
CREATE TABLE notes (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    person_id  text NOT NULL REFERENCES people,
    body       bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- Outgoing messages: written with what causes them, sent by the outbox workflow.
CREATE TABLE messages (
    id         text PRIMARY KEY,
    account_id text,                            -- null: sign-in codes
    person_id  text NOT NULL,
    channel    text NOT NULL DEFAULT 'email',
    template   text NOT NULL,
    item_id    text,
    params     jsonb NOT NULL DEFAULT '{}',     -- ids and instants only
    secret     bytea,                           -- encrypted: a sign-in code
    dedup_key  text NOT NULL UNIQUE,
    state      text NOT NULL DEFAULT 'queued',  -- queued, sent, failed
    attempts   integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    not_before timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX messages_queued ON messages (not_before, id) WHERE state = 'queued';

-- The development outbox: what a vendor would have been given, encrypted under the reader's key.
CREATE TABLE outbox (
    message_id text PRIMARY KEY,
    person_id  text NOT NULL REFERENCES people,
    channel    text NOT NULL,
    template   text NOT NULL,
    locale     text NOT NULL,
    body       bytea NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX outbox_newest ON outbox (at DESC, message_id DESC);

-- Transactions that make work for a workflow leave a row here; the dispatcher
-- signals the workflow and deletes the row, so a crash in between loses nothing.
-- One row a reason, so that transactions with the same reason do not wait for each other.
CREATE TABLE wakeups (
    serial      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id text NOT NULL,
    due_at      timestamptz NOT NULL,
    seen_by     bigint                           -- the look of the dispatcher that first saw it
);
CREATE INDEX wakeups_by_workflow ON wakeups (workflow_id, serial);

CREATE TABLE idempotency (
    account_id   text NOT NULL,
    key_hash     bytea NOT NULL,
    request_hash bytea NOT NULL,
    resource_id  text NOT NULL DEFAULT '',
    lease_until  timestamptz NOT NULL,
    status       integer NOT NULL DEFAULT 0,    -- 0: under way
    response     bytea,                         -- encrypted
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, key_hash)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE sign_in_attempts (
    id         text PRIMARY KEY,
    person_id  text NOT NULL REFERENCES people,
    code_hash  bytea NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz                       -- used or voided
);
CREATE INDEX sign_in_attempts_by_person ON sign_in_attempts (person_id, created_at);

CREATE TABLE sign_in_requests (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    bytea NOT NULL,                   -- keyed HMAC of an address or a network address
    created_at timestamptz NOT NULL
);
CREATE INDEX sign_in_requests_recent ON sign_in_requests (subject, created_at);

CREATE TABLE sessions (
    id         text PRIMARY KEY,
    person_id  text NOT NULL REFERENCES people,
    hash       bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX sessions_by_person ON sessions (person_id, created_at);
