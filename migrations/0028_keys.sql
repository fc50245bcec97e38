-- What a key may do, to whose messages, how fast and until when. Keys made before may do everything.
ALTER TABLE api_keys
    ADD COLUMN scopes              text[]      NOT NULL DEFAULT '{admin}',
    -- Restricted to these, and to the senders of these connections; both NULL: to none.
    ADD COLUMN senders             integer[],
    ADD COLUMN connections         uuid[],
    ADD COLUMN requests_per_second integer CHECK (requests_per_second > 0),
    ADD COLUMN expires_at          timestamptz,
    ADD COLUMN last_used_at        timestamptz,
    -- How the key begins, so that people can tell which one they hold.
    ADD COLUMN hint                text        NOT NULL DEFAULT '',
    -- What it was before it was rotated, and how long that is good for.
    ADD COLUMN former_hash         bytea       UNIQUE,
    ADD COLUMN former_until        timestamptz;

-- What was done with a key that manages or administers. Written before it is done, so that nothing
-- is done that is not here; `status` is NULL where nobody knows what came of it.
CREATE TABLE audit (
    id         uuid        PRIMARY KEY,
    at         timestamptz NOT NULL,
    -- `key_…`, or `command`.
    by_key     text        NOT NULL,
    by_name    text        NOT NULL,
    action     text        NOT NULL,
    request_id text,
    status     smallint
);
