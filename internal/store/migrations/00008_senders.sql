-- +goose Up

-- A message is claimed before a vendor is given it, so that two workers do not send
-- it both and a worker that died in between is noticed.
ALTER TABLE messages
    ADD COLUMN lease_until timestamptz,              -- of state sending
    ADD COLUMN tried_at    timestamptz,              -- when a vendor was first given it
    ADD COLUMN unknowns    integer NOT NULL DEFAULT 0, -- answers of the vendor that were lost
    ADD COLUMN warned      boolean NOT NULL DEFAULT false, -- its item shows that it is being tried again
    ADD COLUMN tried       text[] NOT NULL DEFAULT '{}', -- channels by which the same was tried before
    ADD COLUMN instead_of  text;                     -- the message that this one replaces
COMMENT ON COLUMN messages.state IS 'queued, sending, sent, failed, bounced';
CREATE INDEX messages_sending ON messages (lease_until) WHERE state = 'sending';
CREATE INDEX messages_under_way ON messages (id) WHERE state IN ('queued', 'sending'); -- however many have been sent

-- Phones that want to be notified: one a session, gone with it. The endpoint is a
-- capability, so it is encrypted under its person's key.
CREATE TABLE push_subscriptions (
    session_id    text PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    person_id     text NOT NULL REFERENCES people,
    endpoint_hash bytea NOT NULL UNIQUE,             -- keyed HMAC: a browser has one endpoint, whoever is signed in
    body          bytea NOT NULL,
    created_at    timestamptz NOT NULL
);
CREATE INDEX push_subscriptions_by_person ON push_subscriptions (person_id);

-- By what push services know the engine (VAPID), made once.
CREATE TABLE push_keys (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    public_key  text NOT NULL,
    private_key bytea NOT NULL,                      -- encrypted
    created_at  timestamptz NOT NULL
);
