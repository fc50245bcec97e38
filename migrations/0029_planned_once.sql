-- A function in SQL that has a query in it is planned anew by each statement that calls it, which
-- takes longer than all the rest of a claim. In PL/pgSQL its plan is kept.
CREATE OR REPLACE FUNCTION last_word(s senders, about_topic text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN (
        SELECT l.word
        FROM connections c JOIN last_words l ON l.stream = c.stream
        WHERE c.id = s.connection AND l.topic = about_topic
            AND l.about IN ('account ' || s.waba_id, 'sender ' || s.id,
                            'number ' || regexp_replace(s.display_phone_number, '[^0-9]', '', 'g'))
        ORDER BY l.said_at DESC, l.word DESC
        LIMIT 1
    );
END
$$;
-- Written out where it was called.
DROP FUNCTION lifetime(integer, uuid, interval, interval);
