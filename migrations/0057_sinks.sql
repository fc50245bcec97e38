-- How far the feed has been published elsewhere, and who publishes it (src/forward/sink.rs): a row a
-- kind of sink, made when one is first turned on.
CREATE TABLE sinks (
    kind        text   PRIMARY KEY,
    -- A place in the feed: what lies up to here was taken.
    xid         xid8   NOT NULL,
    event       uuid   NOT NULL,
    lease_epoch bigint NOT NULL DEFAULT 0,
    lease_owner uuid,
    lease_until timestamptz
) WITH (fillfactor = 50);

-- Keys made before scopes were may do everything; a new one without scopes is a mistake.
ALTER TABLE api_keys ALTER COLUMN scopes DROP DEFAULT;
