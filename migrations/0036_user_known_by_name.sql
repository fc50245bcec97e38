-- Each name is looked up by itself (OFFSET 0): a plan that was kept from when the table was small
-- would read all users of the sender for each sequence that is claimed.
CREATE OR REPLACE FUNCTION user_known(of_sender integer, by_name text)
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
    FROM names n
    CROSS JOIN LATERAL (
        SELECT r.wrote_at, r.marketing, r.marketing_at FROM recipients r
        WHERE r.sender = of_sender AND r.alias = n.name
        OFFSET 0
    ) r
$$;
