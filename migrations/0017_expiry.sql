-- When the provider gives a message up, and when we were found to have heard nothing by then.
-- Neither is changed by a status, and an index names only the first.
ALTER TABLE attempts ADD expires_at timestamptz, ADD expired_at timestamptz;

-- How far it has been looked: one row.
CREATE TABLE expiries (
    one          boolean     PRIMARY KEY DEFAULT true CHECK (one),
    looked_until timestamptz NOT NULL
);
INSERT INTO expiries (looked_until) VALUES (now());

-- The category of what is sent decides how long it lives.
CREATE INDEX templates_name ON templates (connection, name, language);

-- How long the provider tries to deliver a message.
CREATE FUNCTION lifetime(of_sender integer, of_message uuid, others interval, authentication interval)
RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN EXISTS (
        SELECT FROM messages m
        JOIN senders s ON s.id = m.sender
        JOIN templates t ON t.connection = s.connection AND t.name = m.template_name
            AND t.language = m.template_language
        WHERE m.sender = of_sender AND m.id = of_message AND t.category = 'AUTHENTICATION'
            AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
    ) THEN authentication
    ELSE others
END;

-- As before, and what has expired.
CREATE OR REPLACE FUNCTION may_show(m messages, status text) RETURNS boolean
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
                WHEN 'expired' THEN a.expired_at IS NOT NULL
                WHEN 'failed' THEN a.failed_at IS NOT NULL OR a.outcome = 'refused'
                ELSE true
            END
    )
END;
