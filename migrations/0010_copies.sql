-- A provider may say the same status twice with another time or more beside it. Both are one fact:
-- the copy with the smaller time counts, at a tie the one whose text sorts first, and the price is
-- taken from whichever has one. A join: in whatever order copies come, the same is left.
CREATE FUNCTION joined_copy(a_at timestamptz, a json, b_at timestamptz, b json) RETURNS json
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN (
        SELECT (winner || CASE WHEN price IS NULL THEN '{}'
                               ELSE jsonb_build_object('pricing', price::jsonb) END)::json
        FROM (
            SELECT CASE WHEN (coalesce(a_at, 'infinity'), (a::jsonb - 'pricing')::text COLLATE "C")
                            <= (coalesce(b_at, 'infinity'), (b::jsonb - 'pricing')::text COLLATE "C")
                        THEN a::jsonb ELSE b::jsonb END - 'pricing' AS winner,
                   LEAST((a::jsonb -> 'pricing')::text COLLATE "C",
                         (b::jsonb -> 'pricing')::text COLLATE "C") AS price
        ) copies);
EXCEPTION
    -- JSON that jsonb does not take, such as a number beyond its reach: what is there stays.
    WHEN data_exception THEN RETURN a;
END
$$;
