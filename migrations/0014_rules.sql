-- What the sender knows of users and of rules.

-- When a user wrote last, under the name they wrote by: for 24 hours from then on anything may be
-- sent to them.
ALTER TABLE recipients ADD wrote_at timestamptz;

-- What is known of a user by any of their names.
CREATE FUNCTION user_known(of_sender integer, by_name text)
RETURNS TABLE (wrote_at timestamptz, marketing text, marketing_at timestamptz)
LANGUAGE sql STABLE ROWS 1
AS $$
    WITH RECURSIVE names (name) AS (
        SELECT by_name COLLATE "C"
        UNION
        SELECT x.name
        FROM names n
        CROSS JOIN LATERAL (
            SELECT r.leads_to FROM recipients r
            WHERE r.sender = of_sender AND r.alias = n.name AND r.leads_to IS NOT NULL
            UNION ALL
            SELECT r.alias FROM recipients r
            WHERE r.sender = of_sender AND r.leads_to = n.name
        ) x (name)
    )
    SELECT max(r.wrote_at),
           (array_agg(r.marketing ORDER BY r.marketing_at DESC, r.marketing = 'stop' DESC,
                      r.marketing DESC) FILTER (WHERE r.marketing IS NOT NULL))[1],
           max(r.marketing_at)
    FROM names n JOIN recipients r ON r.sender = of_sender AND r.alias = n.name
$$;

-- What the caller chose beside `on_failure`: model::sequence::Policy.
ALTER TABLE sequences ADD policy jsonb NOT NULL DEFAULT '{}';

-- Why a head that is ready is not posted, where it is neither the caller's wish nor what became of
-- an attempt before: rate_limit, quiet_hours, opted_out, window_closed.
ALTER TABLE sequences ADD ready_because text;
-- When a person last set it going again: what was written before is no reply.
ALTER TABLE sequences ADD set_going_at timestamptz;
