-- The words are those of docs/ARCHITECTURE.md. Three rules hold in every table that grows:
-- the sender (or the connection's own stream) leads every primary and unique key and stands in
-- every WHERE of the write path; ids come from the application; there is no trigger and no
-- foreign key across big tables. So the tables can be spread over machines later as they are.

-- Senders and the own streams of connections share one number space: `facts.stream` is either.
CREATE SEQUENCE stream_numbers AS integer;

CREATE TABLE connections (
    id              uuid        PRIMARY KEY,
    stream          integer     NOT NULL UNIQUE DEFAULT nextval('stream_numbers'),
    name            text        NOT NULL,
    provider        text        NOT NULL CHECK (provider IN ('meta')),
    base_url        text        NOT NULL,
    api_version     text        NOT NULL,
    -- access token, app secrets, verify token: JSON, sealed with the service's key
    secrets         bytea       NOT NULL,
    -- set when the provider says that our token is gone: nothing is posted until it is cleared
    stopped_at      timestamptz,
    stopped_reason  text,
    created_at      timestamptz NOT NULL,
    CHECK ((stopped_at IS NULL) = (stopped_reason IS NULL))
);

CREATE TABLE senders (
    id                   integer     PRIMARY KEY DEFAULT nextval('stream_numbers'),
    connection           uuid        NOT NULL REFERENCES connections,
    phone_number_id      text        NOT NULL COLLATE "C",
    display_phone_number text,
    waba_id              text,
    messages_per_second  integer     NOT NULL DEFAULT 80 CHECK (messages_per_second BETWEEN 1 AND 1000),
    status               text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'unregistered')),
    status_reason        text,
    status_at            timestamptz,
    quality              text,
    messaging_limit      text,
    origin               text        NOT NULL CHECK (origin IN ('api', 'webhook')),
    -- Who may post for this sender, until when. The epoch grows with every change of owner;
    -- a claim bears the epoch it was made under.
    lease_owner          uuid,
    lease_epoch          bigint      NOT NULL DEFAULT 0,
    lease_until          timestamptz,
    created_at           timestamptz NOT NULL,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT senders_number UNIQUE (connection, phone_number_id)
);

-- Which instances are alive, so that each takes its share of the senders.
CREATE TABLE instances (
    id      uuid        PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

CREATE TABLE templates (
    -- made from (connection, waba_id, name, language), so that every instance makes the same
    id                   uuid        PRIMARY KEY,
    connection           uuid        NOT NULL REFERENCES connections,
    waba_id              text        NOT NULL DEFAULT '',
    name                 text        NOT NULL,
    language             text        NOT NULL,
    provider_template_id text,
    category             text,
    -- The provider's word, and when it was said: the latest wins, a stop wins a tie.
    status               text        NOT NULL DEFAULT 'UNKNOWN',
    status_at            timestamptz NOT NULL DEFAULT '-infinity',
    sendable             boolean     NOT NULL DEFAULT true,
    reason               text,
    pause_title          text,
    quality              text,
    quality_at           timestamptz NOT NULL DEFAULT '-infinity',
    -- When to ask the provider next; set whenever something opened or closed it.
    read_due_at          timestamptz,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    CONSTRAINT templates_key UNIQUE (connection, waba_id, name, language)
);
CREATE INDEX templates_read_due ON templates (read_due_at) WHERE read_due_at IS NOT NULL;

-- What may be paused as one: the template that the head of a sequence would use. A lane is open
-- unless a template of its name and language says otherwise: nothing is copied here, so a pause
-- changes one row of templates and never the sequences behind it.
CREATE TABLE lanes (
    sender            integer NOT NULL,
    lane              text    NOT NULL COLLATE "C",
    template_name     text    NOT NULL,
    template_language text    NOT NULL,
    PRIMARY KEY (sender, lane)
);

CREATE TABLE sequences (
    sender          integer     NOT NULL,
    -- The position of the message that is being sent or waited for; length + 1 at the end.
    head            integer     NOT NULL DEFAULT 1,
    length          integer     NOT NULL,
    -- The claim's owner epoch, and when a claim whose answer never came may be given up.
    claim_epoch     bigint,
    claim_until     timestamptz,
    -- When somebody has to look at this row next; NULL: only evidence or a person moves it.
    due_at          timestamptz,
    -- ready: the head may not be posted before. Evidence makes a row due earlier, and must not
    -- make the POST earlier.
    ready_at        timestamptz,
    deadline_at     timestamptz,
    paused_at       timestamptz,
    created_at      timestamptz NOT NULL,
    id              uuid        NOT NULL,
    -- The head's last attempt; 0: none yet. Whose answer ends a claim.
    attempt         smallint    NOT NULL DEFAULT 0,
    single          boolean     NOT NULL,
    status          text        NOT NULL CHECK (status IN ('running', 'paused', 'held', 'completed', 'stopped', 'cancelled')),
    -- Why it is held or was stopped; while it runs, why its head is posted again.
    reason          text,
    -- ready: the head may be posted at due_at. claimed: it is being posted. waiting: it has been
    -- posted and its gate is undecided. done: nothing is left to do.
    work            text        NOT NULL CHECK (work IN ('ready', 'claimed', 'waiting', 'done')),
    -- '' while there is a decision to take, '=' while paused; else what the head would use ('-':
    -- no template).
    lane            text        NOT NULL COLLATE "C",
    recipient       text        NOT NULL,
    reference       text,
    gate            jsonb       NOT NULL,
    on_failure      text        NOT NULL CHECK (on_failure IN ('stop', 'skip', 'retry')),
    PRIMARY KEY (sender, id),
    CHECK (head BETWEEN 1 AND length + 1),
    CHECK ((work = 'claimed') = (claim_epoch IS NOT NULL)),
    CHECK ((claim_epoch IS NULL) = (claim_until IS NULL)),
    CHECK ((status = 'paused') = (paused_at IS NOT NULL)),
    CHECK ((status IN ('completed', 'stopped', 'cancelled')) = (work = 'done')),
    CHECK ((work = 'ready') = (ready_at IS NOT NULL)),
    CHECK (work <> 'ready' OR due_at IS NOT NULL),
    CHECK (work <> 'done' OR due_at IS NULL),
    CHECK ((status = 'paused') = (lane = '='))
) WITH (fillfactor = 70);
CREATE INDEX sequences_due ON sequences (sender, lane, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sequences_claimed ON sequences (sender, claim_until) WHERE work = 'claimed';
CREATE INDEX sequences_newest ON sequences (id);
CREATE INDEX sequences_reference ON sequences (reference) WHERE reference IS NOT NULL;

-- What the caller asked for. Read when a message is claimed or shown; never touched by ingest.
CREATE TABLE messages (
    sender            integer     NOT NULL,
    position          integer,
    id                uuid        NOT NULL,
    sequence          uuid,
    created_at        timestamptz NOT NULL,
    cancelled_at      timestamptz,
    -- An external message whose attempt turned out to be ours: the message it went into.
    adopted_by        uuid,
    origin            text        NOT NULL CHECK (origin IN ('ours', 'external')),
    recipient         text,
    type              text,
    content           jsonb,
    template_name     text,
    template_language text,
    reference         text,
    gate              jsonb,
    delay_ms          bigint      NOT NULL DEFAULT 0,
    on_unknown        text        NOT NULL DEFAULT 'hold' CHECK (on_unknown IN ('hold', 'resend')),
    PRIMARY KEY (sender, id),
    CHECK ((origin = 'ours') = (sequence IS NOT NULL)),
    CHECK ((sequence IS NULL) = (position IS NULL)),
    CHECK (origin = 'external' OR (recipient IS NOT NULL AND type IS NOT NULL AND content IS NOT NULL)),
    CHECK (adopted_by IS NULL OR origin = 'external')
);
CREATE UNIQUE INDEX messages_step ON messages (sender, sequence, position) WHERE sequence IS NOT NULL;
CREATE INDEX messages_newest ON messages (id);
CREATE INDEX messages_recipient ON messages (recipient, id);
CREATE INDEX messages_reference ON messages (reference) WHERE reference IS NOT NULL;

-- The hot table: one row a POST, joined by every status. No status changes a column that an
-- index names, and half of each page is kept free, so that updates stay on their page (HOT).
CREATE TABLE attempts (
    sender              integer     NOT NULL,
    n                   smallint    NOT NULL CHECK (n > 0),
    -- The lowest rank whose arrival the sequence must hear of: its gate, or `sent` while the
    -- attempt is held or its fate unknown. NULL: no sequence waits for it.
    watch               smallint,
    message             uuid        NOT NULL,
    sequence            uuid,
    position            integer,
    failed_code         bigint,
    posted_at           timestamptz,
    -- Evidence: each is the first time the provider said so, and only ever shrinks.
    accepted_at         timestamptz,
    held_at             timestamptz,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    played_at           timestamptz,
    failed_at           timestamptz,
    unknown_at          timestamptz,
    outcome             text CHECK (outcome IN ('accepted', 'held', 'paused', 'refused', 'unknown')),
    provider_message_id text COLLATE "C",
    -- What the answer to the POST refused it with, or why the POST was given back.
    refusal             jsonb,
    PRIMARY KEY (sender, message, n),
    CHECK (failed_code IS NULL OR failed_at IS NOT NULL),
    CHECK (outcome IS DISTINCT FROM 'refused' OR refusal IS NOT NULL),
    CHECK (refusal IS NULL OR outcome IS NOT DISTINCT FROM 'refused' OR posted_at IS NULL),
    CHECK ((sequence IS NULL) = (position IS NULL))
) WITH (fillfactor = 50);
-- The provider's id leads, so that a look-up by it alone needs no sender.
CREATE UNIQUE INDEX attempts_provider_message_id ON attempts (provider_message_id, sender)
    WHERE provider_message_id IS NOT NULL;

-- Everything that happened, once. The feed is this table, in the order of (xid, id) below the
-- oldest running transaction, so that a late commit is never skipped.
CREATE TABLE facts (
    stream      integer     NOT NULL,
    -- The attempt of a message's fact, else 0.
    n           smallint    NOT NULL DEFAULT 0,
    -- Which of the webhook's facts this is.
    item        smallint,
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id          uuid        NOT NULL,
    -- Message, sequence or template; all zeros where there is none.
    subject     uuid        NOT NULL,
    webhook     uuid,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL,
    type        text        NOT NULL COLLATE "C",
    -- What makes it the same fact when it comes again: a group's participant, a provider's
    -- message id, a digest.
    key         text        NOT NULL COLLATE "C",
    source      text        NOT NULL CHECK (source IN ('webhook', 'answer', 'poll', 'sweep', 'api')),
    -- json, not jsonb: it is shown and hardly ever looked into, and costs a third to write.
    data        json        NOT NULL,
    CONSTRAINT facts_once PRIMARY KEY (stream, subject, n, type, key)
);
CREATE INDEX facts_feed ON facts (xid, id);

-- Every webhook, byte for byte: those of one commit in one compressed block. The id is a UUID of
-- version 7, so a range of ids is a range of time: partitions are days, and a look-up by id finds
-- its partition. A webhook's id is its block's with its place in the lowest 16 bits.
CREATE TABLE journal (
    id          uuid     NOT NULL,
    webhooks    smallint NOT NULL CHECK (webhooks > 0),
    -- Whose webhooks are in it, each once.
    connections uuid[]   NOT NULL,
    -- zstd: JSON, an array with an object a webhook (store/journal/block.rs).
    directory   bytea    NOT NULL,
    -- zstd: their bodies, one behind the other.
    bodies      bytea    NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
-- Compressed already.
ALTER TABLE journal ALTER directory SET STORAGE EXTERNAL, ALTER bodies SET STORAGE EXTERNAL;
-- Takes what no day's partition takes; empty unless the upkeep of partitions stood still.
CREATE TABLE journal_rest PARTITION OF journal DEFAULT;

-- Webhooks of which something could not be understood, or could not be written.
CREATE TABLE journal_problems (
    webhook    uuid NOT NULL,
    connection uuid NOT NULL,
    state      text NOT NULL CHECK (state IN ('undecoded', 'not_applied')),
    reason     text NOT NULL,
    PRIMARY KEY (webhook)
);

CREATE TABLE api_keys (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    -- SHA-256 of the key; the key itself has 256 bits of randomness and is never stored.
    hash       bytea       NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- Requests that callers named, and what they were answered: written in the transaction that did
-- what was asked for, deleted after a day.
CREATE TABLE idempotency_keys (
    api_key    uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    -- Method and path.
    endpoint   text        NOT NULL COLLATE "C",
    key        text        NOT NULL COLLATE "C",
    -- SHA-256 of endpoint and body.
    digest     bytea       NOT NULL CHECK (length(digest) = 32),
    -- The body of the answer. NULL is never committed.
    answer     bytea,
    PRIMARY KEY (api_key, endpoint, key)
);
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at);

-- A known text sealed with the service's key: a wrong key is found at start, not at 3 a.m.
CREATE TABLE sealing_check (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea   NOT NULL
);

-- Whether a message may have a status: false only when it certainly has another. Which it has is
-- decided by model::message::status on what is left.
CREATE FUNCTION may_show(m messages, status text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN status IN ('queued', 'sending') THEN m.sequence IS NULL OR EXISTS (
        SELECT FROM sequences q
        WHERE q.sender = m.sender AND q.id = m.sequence AND q.head <= m.position
            AND q.work <> 'done'
    )
    WHEN status = 'cancelled' THEN m.cancelled_at IS NOT NULL OR EXISTS (
        SELECT FROM sequences q
        WHERE q.sender = m.sender AND q.id = m.sequence
            AND (q.head > m.position OR q.work = 'done')
    )
    ELSE EXISTS (
        SELECT FROM attempts a
        WHERE a.sender = m.sender AND a.message = m.id
            AND CASE status
                WHEN 'unknown' THEN a.outcome IS NOT NULL
                WHEN 'accepted' THEN a.accepted_at IS NOT NULL
                WHEN 'held' THEN a.held_at IS NOT NULL
                WHEN 'sent' THEN a.sent_at IS NOT NULL
                WHEN 'delivered' THEN a.delivered_at IS NOT NULL
                WHEN 'read' THEN a.read_at IS NOT NULL
                WHEN 'played' THEN a.played_at IS NOT NULL
                WHEN 'failed' THEN a.failed_at IS NOT NULL OR a.outcome = 'refused'
                ELSE true
            END
    )
END;
