-- Providers are asked again and again what webhooks may have failed to say.

-- Since when a word has been the same, where it is read again and again, which makes `said_at`
-- later each time; NULL: since it was said.
ALTER TABLE last_words ADD since timestamptz;

-- When a whole list of its account's templates lacked it first. One that the next lacks too is
-- gone: a list that is read page by page may miss one that was there.
ALTER TABLE templates ADD unlisted_since timestamptz;

-- What is read, a row each: 'sender <id>'; 'templates <account>', or 'templates' where the
-- connection's credentials lead to one account.
CREATE TABLE polls (
    connection uuid        NOT NULL REFERENCES connections,
    failures   integer     NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it was last read, or there was nothing to read it with.
    read_at    timestamptz,
    about      text        NOT NULL COLLATE "C",
    -- Why it could not be read.
    error      text,
    PRIMARY KEY (connection, about),
    CHECK ((failures = 0) = (error IS NULL))
);

-- Which instance reads from a connection, so that one does and the pace is the connection's.
-- What the provider as a whole refused, such as a rate, holds up the connection's next turn.
CREATE TABLE poll_turns (
    connection uuid        PRIMARY KEY REFERENCES connections,
    instance   uuid        NOT NULL,
    until      timestamptz NOT NULL,
    failures   integer     NOT NULL DEFAULT 0
);

-- As before, and what was read of the number itself. A word that is read again is as old as when
-- it was read first: whoever opens a sender by hand need not do so after each reading.
CREATE OR REPLACE FUNCTION standing(s senders, at timestamptz)
RETURNS TABLE (status text, reason text, since timestamptz)
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status
               WHEN w.topic IN ('deleted', 'offboarded') THEN 'unregistered'
               WHEN w.topic = 'state' AND w.word <> 'BANNED' THEN 'unregistered'
               WHEN w.topic IS NOT NULL THEN 'blocked'
               ELSE 'active'
           END,
           CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status_reason
               ELSE w.word
           END,
           CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status_at
               ELSE coalesce(w.since, o.reopened, s.status_at)
           END
    FROM (
        SELECT max(l.said_at) AS reopened
        FROM connections c JOIN last_words l ON l.stream = c.stream
        WHERE s.status <> 'active' AND c.id = s.connection AND l.about = 'account ' || s.waba_id
            AND l.topic IN ('ban', 'deleted', 'offboarded', 'partner', 'restriction')
            AND NOT l.stops AND l.said_at > s.status_at
    ) o
    LEFT JOIN LATERAL (
        SELECT l.topic, l.word, coalesce(l.since, l.said_at) AS since
        FROM connections c JOIN last_words l ON l.stream = c.stream
        WHERE c.id = s.connection AND l.about IN ('account ' || s.waba_id, 'sender ' || s.id)
            AND l.stops AND (l.until IS NULL OR l.until > at)
            AND (s.status_at IS NULL
                 OR coalesce(l.since, l.said_at) >= date_trunc('second', s.status_at))
        -- The one that holds longest.
        ORDER BY l.until DESC NULLS FIRST, l.topic
        LIMIT 1
    ) w ON true
$$;

CREATE OR REPLACE FUNCTION last_word(s senders, about_topic text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT l.word
    FROM connections c JOIN last_words l ON l.stream = c.stream
    WHERE c.id = s.connection AND l.topic = about_topic
        AND l.about IN ('account ' || s.waba_id, 'sender ' || s.id,
                        'number ' || regexp_replace(s.display_phone_number, '[^0-9]', '', 'g'))
    ORDER BY l.said_at DESC, l.word DESC
    LIMIT 1
$$;
