-- +goose Up

-- What a panel said last that it holds, and until when anything that it may hold
-- admits somebody: what it confirmed, and every desire since that it may have heard
-- without confirming it (P5). Null: nothing. The year 9999: without an end.
ALTER TABLE grants
    ADD COLUMN confirmed jsonb,
    ADD COLUMN reach     timestamptz;
UPDATE grants SET confirmed = desired WHERE confirmed_revision >= desired_revision;
UPDATE grants SET reach = coalesce((desired ->> 'end')::timestamptz, '9999-12-31T00:00:00Z')
    WHERE NOT (desired ->> 'tombstone')::boolean AND NOT desired ? 'no_pickup';
UPDATE grants SET reach = '9999-12-31T00:00:00Z' WHERE confirmed IS NULL AND confirmed_revision > 0;

-- What the engine knows of a panel from its contact.
ALTER TABLE panels
    ADD COLUMN lease_until   timestamptz,               -- the latest lease that it may hold (P2)
    ADD COLUMN offline_since timestamptz,               -- set once its silence is in the log (P8)
    ADD COLUMN clock_skew_ms bigint,                    -- its clock minus ours
    ADD COLUMN clock_wrong   boolean NOT NULL DEFAULT false,
    ADD COLUMN battery       integer,                   -- percent
    ADD COLUMN battery_low   boolean NOT NULL DEFAULT false,
    ADD COLUMN locked_until  timestamptz,               -- takes no typed codes (P7)
    ADD COLUMN sync_error    text NOT NULL DEFAULT '';  -- why the last delivery failed; empty: it did not

-- From where a boot was asked to send its events again (P6). 0: never.
ALTER TABLE panel_boots ADD COLUMN asked_from bigint NOT NULL DEFAULT 0;

-- The policy document that was desired when a command was decided.
ALTER TABLE commands ADD COLUMN policy_version bigint NOT NULL DEFAULT 0;

-- The policy document of each entrance, and of each SmartBox under its own id, and
-- what its panel said it holds (P2). No foreign keys: whoever changes a property
-- holds a lock of the account here and must not wait for a panel that reports.
CREATE SEQUENCE panel_policy_versions;
CREATE TABLE panel_policies (
    panel_id    text NOT NULL,
    entrance_id text NOT NULL,
    account_id  text NOT NULL,
    desired_version   bigint NOT NULL,
    desired           jsonb NOT NULL,           -- access.PanelPolicy
    confirmed_version bigint NOT NULL DEFAULT 0,
    confirmed         jsonb,
    pending_since timestamptz,
    confirmed_at  timestamptz,
    attempts   integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    PRIMARY KEY (panel_id, entrance_id)
);
CREATE INDEX panel_policies_pending ON panel_policies (panel_id) WHERE confirmed_version < desired_version;
CREATE INDEX panel_policies_by_account ON panel_policies (account_id);

-- Those that exist are told at the next contact.
INSERT INTO panel_policies (panel_id, entrance_id, account_id, desired_version, desired, pending_since)
    SELECT d.panel_id, d.entrance_id, d.account_id, d.version, d.document || jsonb_build_object('entrance_id', d.entrance_id, 'version', d.version), now()
    FROM (
        SELECT e.panel_id, e.id AS entrance_id, e.account_id, nextval('panel_policy_versions') AS version, jsonb_build_object(
            'open_to_guests', (p.policy ->> 'sharing_enabled')::boolean AND e.shareable, 'schedules', e.schedules, 'time_zone', p.time_zone) AS document
        FROM entrances e JOIN properties p ON p.id = e.property_id
        UNION ALL
        SELECT n.id, n.id, n.account_id, nextval('panel_policy_versions'), jsonb_build_object('open_to_guests', true, 'time_zone', p.time_zone)
        FROM panels n JOIN properties p ON p.id = n.property_id WHERE n.kind = 'smartbox') d;
INSERT INTO wakeups (workflow_id, due_at) SELECT 'panel/' || id, now() FROM panels WHERE enrolled_at IS NOT NULL AND disowned_at IS NULL;
