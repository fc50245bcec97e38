-- Where internal services want events posted (src/forward).

CREATE TABLE subscriptions (
    id              uuid        PRIMARY KEY,
    url             text        NOT NULL,
    description     text,
    -- Which events; an empty list narrows nothing. A type may end in `*`.
    types           text[]      NOT NULL,
    senders         integer[]   NOT NULL,
    connections     uuid[]      NOT NULL,
    format          text        NOT NULL CHECK (format IN ('event', 'cloudevents')),
    timeout_ms      integer     NOT NULL CHECK (timeout_ms > 0),
    -- Sealed: the secret, and the one before with its end.
    secrets         bytea       NOT NULL,
    status          text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    disabled_reason text,
    disabled_at     timestamptz,
    -- When a delivery failed first since one was taken last.
    failing_since   timestamptz,
    created_at      timestamptz NOT NULL,
    CONSTRAINT subscriptions_disabled CHECK ((status = 'disabled') = (disabled_at IS NOT NULL))
);

-- How far each has been told, and who tells it. Apart, because these change all the time.
CREATE TABLE subscription_cursors (
    subscription uuid   PRIMARY KEY REFERENCES subscriptions ON DELETE CASCADE,
    -- A place in the feed: what lies up to here was delivered, or is in `undelivered`.
    xid          xid8   NOT NULL,
    event        uuid   NOT NULL,
    -- Grows with whatever the owner has to read again.
    version      bigint NOT NULL DEFAULT 1,
    lease_epoch  bigint NOT NULL DEFAULT 0,
    lease_owner  uuid,
    lease_until  timestamptz
) WITH (fillfactor = 50);

-- What was not taken at once, and what waits behind it; and what was given up. Never a row for
-- what is taken the first time.
CREATE TABLE undelivered (
    subscription uuid        NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    -- The event's place in the feed, where it is read again.
    xid          xid8        NOT NULL,
    event        uuid        NOT NULL,
    stream       integer     NOT NULL,
    subject      uuid        NOT NULL,
    type         text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('waiting', 'dead')),
    -- Somebody asked for it again.
    replay       boolean     NOT NULL DEFAULT false,
    attempts     smallint    NOT NULL,
    next_at      timestamptz,
    failed_at    timestamptz,
    status       smallint,
    error        text,
    PRIMARY KEY (subscription, xid, event)
);
CREATE INDEX undelivered_state ON undelivered (state, subscription);

-- Every attempt, for some days. Rows of a subscription that is gone go with the others.
CREATE TABLE deliveries (
    subscription uuid        NOT NULL,
    -- Version 7: in the order of time.
    id           uuid        NOT NULL,
    at           timestamptz NOT NULL,
    xid          xid8        NOT NULL,
    event        uuid        NOT NULL,
    stream       integer     NOT NULL,
    attempt      smallint    NOT NULL,
    -- Of the answer, if one came.
    status       smallint,
    latency_ms   integer     NOT NULL,
    type         text        NOT NULL,
    error        text,
    -- How the answer of who refused begins.
    answer       text,
    PRIMARY KEY (subscription, id)
);
-- Rows are appended in the order of time.
CREATE INDEX deliveries_at ON deliveries USING brin (at) WITH (pages_per_range = 16);
