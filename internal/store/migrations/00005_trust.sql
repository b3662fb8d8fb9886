-- +goose Up

-- The phones of signed-in guests, one per session: passes are bound to their keys (P9).
CREATE TABLE devices (
    session_id text PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    person_id  text NOT NULL REFERENCES people,
    public_key jsonb NOT NULL,                  -- a public JWK: Ed25519 or P-256
    thumbprint text NOT NULL,                   -- of the key (RFC 7638)
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Passes that were given. They say until when a door that is cut off could still
-- admit a guest (P5), and which engine key must stay trusted until then. They are kept
-- for a while after their end, because a panel may report their use late.
CREATE TABLE passes (
    id             text PRIMARY KEY,
    account_id     text NOT NULL,
    invitation_id  text NOT NULL REFERENCES invitations,
    thumbprint     text NOT NULL,               -- of the phone's key
    grant_revision bigint NOT NULL,
    engine_key_id  text NOT NULL,
    issued_at      timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX passes_by_invitation ON passes (invitation_id, expires_at);
CREATE INDEX passes_by_expiry ON passes (expires_at);

-- Engine keys are replaced while panels go on (P1). Which of them a panel trusts it
-- says itself.
ALTER TABLE engine_keys ADD COLUMN retired_at timestamptz;
ALTER TABLE panels
    ADD COLUMN engine_key_ids text[] NOT NULL DEFAULT '{}',
    ADD COLUMN polled_at      timestamptz,      -- when a panel without an address last asked for messages
    ADD COLUMN poll_id        text NOT NULL DEFAULT ''; -- its newest poll, the only one that gets messages

-- Messages that wait for a panel that polls, each as long as somebody waits for its answer.
CREATE TABLE panel_deliveries (
    id         text PRIMARY KEY,                -- the jti of the message
    panel_id   text NOT NULL REFERENCES panels ON DELETE CASCADE,
    message    text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    picked_at  timestamptz,
    answer     text
);
CREATE INDEX panel_deliveries_by_panel ON panel_deliveries (panel_id, created_at) WHERE picked_at IS NULL;
