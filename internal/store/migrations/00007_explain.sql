-- +goose Up

-- Whose an entrance was, so that "why?" can answer for one that has been deleted (E5, E8).
UPDATE directory_revisions r SET document = r.document || jsonb_build_object('account_id', e.account_id, 'property_id', e.property_id)
FROM entrances e WHERE e.id = r.subject_id;

-- The order in which reports about a key were applied, which is not always that of their times (P6).
ALTER TABLE custody_changes ADD COLUMN serial bigint GENERATED ALWAYS AS IDENTITY;
