-- Only with Meta is the account a part of a template's name (Provider::account_of_templates). What
-- 360dialog passed on in Meta's envelope was of another template than what it told itself, and what
-- the one closed the other did not open. They become one: the latest word counts, a stop at a tie.
WITH renamed AS MATERIALIZED (
    SELECT t.id AS was, c.id AS connection, c.stream,
           encode(set_byte(set_byte(d.b, 6, get_byte(d.b, 6) & 15 | 128),
                           8, get_byte(d.b, 8) & 63 | 128), 'hex')::uuid AS id
    FROM templates t JOIN connections c ON c.id = t.connection
    -- TemplateId::of, of no account.
    CROSS JOIN LATERAL (
        SELECT substr(sha256(uuid_send(t.connection) || int8send(0)
                      || int8send(octet_length(n.name)) || n.name
                      || int8send(octet_length(n.language)) || n.language), 1, 16) AS b
        FROM (SELECT convert_to(t.name, 'UTF8') AS name,
                     convert_to(t.language, 'UTF8') AS language) n
    ) d
    WHERE c.provider <> 'meta' AND t.waba_id <> ''
),
-- Its history goes along, so that what is said once more is known.
told AS (
    UPDATE facts f SET subject = r.id
    FROM renamed r
    WHERE f.subject = r.was AND f.n = 0
        AND (f.stream = r.stream
             OR f.stream IN (SELECT s.id FROM senders s WHERE s.connection = r.connection))
),
gone AS (
    DELETE FROM templates t USING renamed r WHERE t.id = r.was
    RETURNING r.id AS new_id, t.*
)
INSERT INTO templates AS t (
    id, connection, name, language, provider_template_id, category, category_at, status, status_at,
    sendable, reason, pause_title, quality, quality_at, created_at, updated_at)
SELECT DISTINCT ON (new_id)
       new_id, connection, name, language, provider_template_id, category, category_at, status,
       status_at, sendable, reason, pause_title, quality, quality_at, created_at, updated_at
FROM gone
ORDER BY new_id, status_at DESC, sendable, status COLLATE "C" DESC
ON CONFLICT (id) DO UPDATE
SET provider_template_id = excluded.provider_template_id, category = excluded.category,
    category_at = excluded.category_at, status = excluded.status, status_at = excluded.status_at,
    sendable = excluded.sendable, reason = excluded.reason, pause_title = excluded.pause_title,
    quality = excluded.quality, quality_at = excluded.quality_at,
    updated_at = excluded.updated_at
WHERE (excluded.status_at, NOT excluded.sendable, excluded.status COLLATE "C")
    > (t.status_at, NOT t.sendable, t.status COLLATE "C");
