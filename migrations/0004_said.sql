-- What webhooks say beside statuses, as far as it changes what we do. All of it is a function of
-- the set of what was said: the latest word by the provider's time counts, and a fixed order
-- decides between words of the same second.

-- A template's category has a word and a time of its own; a status may say it too.
ALTER TABLE templates ADD category_at timestamptz NOT NULL DEFAULT '-infinity';

-- The last word on each topic of an account, or of a number that is named by its digits. Nothing
-- of it is copied to senders: a ban changes one row, and holds for numbers that are made later.
CREATE TABLE last_words (
    -- The connection's own.
    stream  integer     NOT NULL,
    stops   boolean     NOT NULL,
    said_at timestamptz NOT NULL,
    -- When it ends by itself.
    until   timestamptz,
    -- 'account <waba id>' or 'number <digits>'
    about   text        NOT NULL COLLATE "C",
    topic   text        NOT NULL COLLATE "C",
    word    text        NOT NULL COLLATE "C",
    PRIMARY KEY (stream, about, topic)
);

-- How a sender stands. Its own columns are what answers and callers made of it; the words on its
-- account come on top. A person who opens it, or an answer that blocks it, sets status_at: older
-- words count no more, nor does an older block once the provider has reinstated the account. The
-- provider's times are whole seconds: a stop of the same second counts.
CREATE FUNCTION standing(s senders, at timestamptz)
RETURNS TABLE (status text, reason text, since timestamptz)
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status
               WHEN w.topic IN ('deleted', 'offboarded') THEN 'unregistered'
               WHEN w.topic IS NOT NULL THEN 'blocked'
               ELSE 'active'
           END,
           CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status_reason
               ELSE w.word
           END,
           CASE
               WHEN o.reopened IS NULL AND s.status <> 'active' THEN s.status_at
               ELSE coalesce(w.said_at, o.reopened, s.status_at)
           END
    FROM (
        SELECT max(l.said_at) AS reopened
        FROM connections c JOIN last_words l ON l.stream = c.stream
        WHERE s.status <> 'active' AND c.id = s.connection AND l.about = 'account ' || s.waba_id
            AND l.topic IN ('ban', 'deleted', 'offboarded', 'partner', 'restriction')
            AND NOT l.stops AND l.said_at > s.status_at
    ) o
    LEFT JOIN LATERAL (
        SELECT l.topic, l.word, l.said_at
        FROM connections c JOIN last_words l ON l.stream = c.stream
        WHERE c.id = s.connection AND l.about = 'account ' || s.waba_id
            AND l.stops AND (l.until IS NULL OR l.until > at)
            AND (s.status_at IS NULL OR l.said_at >= date_trunc('second', s.status_at))
        -- The one that holds longest.
        ORDER BY l.until DESC NULLS FIRST, l.topic
        LIMIT 1
    ) w ON true
$$;

-- The last word on a topic of a sender: of its number, or of all numbers of its account.
CREATE FUNCTION last_word(s senders, about_topic text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT l.word
    FROM connections c JOIN last_words l ON l.stream = c.stream
    WHERE c.id = s.connection AND l.topic = about_topic
        AND l.about IN ('account ' || s.waba_id,
                        'number ' || regexp_replace(s.display_phone_number, '[^0-9]', '', 'g'))
    ORDER BY l.said_at DESC, l.word DESC
    LIMIT 1
$$;

-- Users, by every name that the provider has for them: the number as a caller gave it, as the
-- provider spells it, business-scoped ids. Each name leads to a stronger or a newer one of the
-- same user, by the latest word: a number may become another's.
CREATE TABLE recipients (
    sender       integer NOT NULL,
    leads_at     timestamptz,
    marketing_at timestamptz,
    alias        text    NOT NULL COLLATE "C",
    leads_to     text    COLLATE "C",
    -- What was last said under this name of marketing messages: stop, resume, signup, …
    marketing    text    COLLATE "C",
    PRIMARY KEY (sender, alias),
    CHECK ((leads_to IS NULL) = (leads_at IS NULL)),
    CHECK ((marketing IS NULL) = (marketing_at IS NULL)),
    CHECK (leads_to <> alias)
);
CREATE INDEX recipients_leads_to ON recipients (sender, leads_to) WHERE leads_to IS NOT NULL;
