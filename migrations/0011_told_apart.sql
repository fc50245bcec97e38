-- Which turn it is, and not whose: an instance that takes a connection's turn again must not have
-- it ended by what it began in the one before.
ALTER TABLE poll_turns RENAME COLUMN instance TO turn;

-- By which server's transactions the feed is counted: its own identifier, which a standby that takes
-- over has too, and a server that was made for a dump or by an upgrade has not. Such a one may count
-- lower than followers have come, but not lower than the last fact, and nobody would notice.
CREATE TABLE feed_server (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint  NOT NULL
);

-- The code of a failure, as evidence has it (Failure::code): of the first error that has a whole
-- number for one; of Infobip's reports, with the list that it is from (model::error_class::infobip).
-- No code comes last.
CREATE FUNCTION failed_code(said jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce((
        SELECT e.code + 1000000000000 * CASE
                   -- Meta's: a report of Infobip's has its status, an object, beside the errors.
                   WHEN jsonb_typeof(said -> 'status') IS DISTINCT FROM 'object' THEN 0
                   WHEN said -> 'error' ->> 'id' ~ '^0*[1-9][0-9]{0,11}$' THEN
                       CASE e.permanent WHEN 'true' THEN 2 WHEN 'false' THEN 3 ELSE 1 END
                   ELSE 4
               END
        FROM (
            SELECT CASE WHEN jsonb_typeof(item -> 'code') = 'number'
                        THEN (item -> 'code')::numeric END AS code,
                   item ->> 'permanent' AS permanent, place
            FROM jsonb_array_elements(
                CASE WHEN jsonb_typeof(said -> 'errors') = 'array' THEN said -> 'errors'
                     ELSE '[]' END) WITH ORDINALITY AS items (item, place)
        ) e
        WHERE scale(e.code) = 0 AND abs(e.code) <= 9223372036854775807
        ORDER BY e.place
        LIMIT 1
    ), 9223372036854775807)
$$;

-- As before, but of two failures of one moment the one with the smaller code counts, as it does in
-- evidence.
CREATE OR REPLACE FUNCTION joined_copy(a_at timestamptz, a json, b_at timestamptz, b json)
RETURNS json
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN (
        SELECT (winner || CASE WHEN price IS NULL THEN '{}'
                               ELSE jsonb_build_object('pricing', price::jsonb) END)::json
        FROM (
            SELECT CASE WHEN (coalesce(a_at, 'infinity'), failed_code(a::jsonb),
                              (a::jsonb - 'pricing')::text COLLATE "C")
                            <= (coalesce(b_at, 'infinity'), failed_code(b::jsonb),
                                (b::jsonb - 'pricing')::text COLLATE "C")
                        THEN a::jsonb ELSE b::jsonb END - 'pricing' AS winner,
                   LEAST((a::jsonb -> 'pricing')::text COLLATE "C",
                         (b::jsonb -> 'pricing')::text COLLATE "C") AS price
        ) copies);
EXCEPTION
    -- JSON that jsonb does not take, such as a number beyond its reach: what is there stays.
    WHEN data_exception THEN RETURN a;
END
$$;
