-- People whose data was erased. What is said of them later, but of before, is stripped when it comes
-- (model::erased), for as long as providers may say it, or the journal may be read again.
CREATE TABLE erasures (
    id       uuid        PRIMARY KEY,
    -- What was kept before this was erased.
    at       timestamptz NOT NULL,
    -- When to look again for what was under way then; NULL: that is done.
    again_at timestamptz,
    -- When nobody says anything of before any more, and this is deleted.
    until    timestamptz NOT NULL,
    -- A JSON array, sealed.
    names    bytea       NOT NULL
);

-- What was said of a member of a group stands with the group's message. Hardly any fact is in it.
CREATE INDEX IF NOT EXISTS facts_participants ON facts (key)
    WHERE source = 'webhook' AND n > 0 AND key <> '';

-- What refusals of subscribers say may repeat what they were told.
CREATE INDEX IF NOT EXISTS deliveries_answers ON deliveries (at) WHERE answer IS NOT NULL;
