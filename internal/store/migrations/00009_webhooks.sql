-- +goose Up

-- Endpoints of apps (E4). The address is sealed: receivers put tokens into it.
CREATE TABLE webhooks (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts,
    url        bytea NOT NULL,
    events     text[] NOT NULL,                  -- types, or * for all
    failing_since     timestamptz,               -- of the first failure since the last delivery
    last_delivered_at timestamptz,
    last_error        text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    revision   bigint NOT NULL DEFAULT 1
);
CREATE INDEX webhooks_by_account ON webhooks (account_id, id);

-- Signing secrets, sealed. One that was replaced signs beside the new one until it retires.
CREATE TABLE webhook_secrets (
    id         text PRIMARY KEY,
    webhook_id text NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    secret     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retires_at timestamptz                       -- null: the current one
);
CREATE INDEX webhook_secrets_by_webhook ON webhook_secrets (webhook_id, created_at DESC);

-- Events that have yet to become deliveries. A trigger writes them with the event; the
-- fan-out takes whatever is committed, in the order of serial. It keeps no place in the
-- log, so there is none that an event which commits late, or a database that was
-- restored, could fall behind.
CREATE TABLE webhook_feed (
    serial     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   text NOT NULL,
    webhook_id text                              -- a test or a replay; null: who wants events of the type
);

-- +goose StatementBegin
CREATE FUNCTION feed_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE account_id = NEW.account_id) THEN
        INSERT INTO webhook_feed (event_id) VALUES (NEW.id);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER events_feed_webhooks AFTER INSERT ON events
    FOR EACH ROW WHEN (NEW.type <> 'webhook.test') EXECUTE FUNCTION feed_webhooks();

-- One event for one endpoint. Those of a lane go one after the other, in the order of place.
CREATE TABLE webhook_deliveries (
    id          text PRIMARY KEY,
    webhook_id  text NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    account_id  text NOT NULL,
    event_id    text NOT NULL,
    event_type  text NOT NULL,
    lane        text NOT NULL,                   -- the item; for events without one, what they are about
    place       bigint GENERATED ALWAYS AS IDENTITY,
    state       text NOT NULL DEFAULT 'pending', -- pending, delivered, dead
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    retry_until timestamptz NOT NULL,
    attempted_at timestamptz,
    status      integer NOT NULL DEFAULT 0,      -- of the last answer
    error       text NOT NULL DEFAULT '',        -- why the last attempt failed
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,                     -- when it was delivered or died
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_lanes ON webhook_deliveries (webhook_id, lane, place) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook_id, id DESC);
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (webhook_id, id DESC) WHERE state = 'dead';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- The job queue has tables of its own, which it migrates itself.
CREATE SCHEMA IF NOT EXISTS river;
