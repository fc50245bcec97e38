-- The status that a message shows: model::message::status on what is kept, word for word (a test
-- holds the two together, over every state there is). NULL where the claimer has not looked at a
-- failure yet, and what it will decide is more than SQL knows: `queued` or `failed`.
--
-- A view, because the planner lays it into the query that reads it; a function with a query in it
-- would be called for each row.
CREATE VIEW message_statuses AS
SELECT m.sender, m.id, m.created_at, m.sequence, m.campaign, m.adopted_by, m.recipient, m.reference,
       m.template_name,
       CASE
           WHEN coalesce(e.played, l.played_at IS NOT NULL) THEN 'played'
           WHEN coalesce(e.read, l.read_at IS NOT NULL) THEN 'read'
           WHEN coalesce(e.delivered, l.delivered_at IS NOT NULL) THEN 'delivered'
           WHEN m.cancelled_at IS NOT NULL THEN 'cancelled'
           WHEN l.failed_at IS NOT NULL OR l.outcome = 'refused' THEN CASE
               WHEN q.id IS NULL OR q.work = 'done' OR m.position < q.head THEN 'failed'
               WHEN m.position > q.head OR q.work = 'ready' THEN 'queued'
           END
           WHEN l.expired_at IS NOT NULL AND (l.sent_at IS NULL OR l.sent_at <= l.expired_at)
               THEN 'expired'
           WHEN l.held_at IS NOT NULL AND l.sent_at IS NULL THEN 'held'
           WHEN l.sent_at IS NOT NULL THEN 'sent'
           WHEN l.accepted_at IS NOT NULL THEN 'accepted'
           WHEN l.outcome <> 'unknown' OR l.unknown_at IS NOT NULL THEN 'unknown'
           WHEN q.id IS NULL THEN CASE WHEN l.n IS NULL THEN 'queued' ELSE 'sending' END
           WHEN q.work = 'done' OR m.position < q.head THEN 'cancelled'
           WHEN m.position > q.head OR q.work = 'ready' THEN 'queued'
           WHEN q.work = 'claimed' OR l.n IS NOT NULL THEN 'sending'
           ELSE 'queued'
       END AS status
FROM messages m
LEFT JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
-- The last attempt. They are numbered without gaps.
LEFT JOIN attempts l ON l.sender = m.sender AND l.message = m.id AND NOT EXISTS (
    SELECT FROM attempts o WHERE o.sender = l.sender AND o.message = l.message AND o.n = l.n + 1
)
-- That it reached the user may have been said of an earlier one.
LEFT JOIN LATERAL (
    SELECT bool_or(a.played_at IS NOT NULL) AS played, bool_or(a.read_at IS NOT NULL) AS read,
           bool_or(a.delivered_at IS NOT NULL) AS delivered
    FROM attempts a WHERE l.n > 1 AND a.sender = m.sender AND a.message = m.id
) e ON true;
