-- The feed is in the order of transactions, and shows what lies below the oldest that runs
-- (store/feed.rs). A dump that is restored elsewhere meets a server that counts its transactions
-- lower, or lower than followers have come; so does a server that is put back to an older moment.

-- A transaction's place in the feed: its id, until the feed is restarted. The planner puts the
-- body in the place of the call.
CREATE FUNCTION feed_place(xid xid8) RETURNS xid8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN xid;

ALTER TABLE facts ALTER xid SET DEFAULT feed_place(pg_current_xact_id());

-- From now on places go on from the microseconds since 1970: behind all that were ever given out,
-- here or elsewhere, since no server makes a transaction a microsecond. What is there keeps its
-- place, and so does every follower.
CREATE FUNCTION restart_feed() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    start bigint;
BEGIN
    -- Who has written facts has ended, and who is about to sees the new function.
    LOCK TABLE facts IN SHARE ROW EXCLUSIVE MODE;
    start := GREATEST(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        (SELECT f.xid::text::bigint + 1 FROM facts f ORDER BY f.xid DESC, f.id DESC LIMIT 1));
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION feed_place(xid xid8) RETURNS xid8
         LANGUAGE sql IMMUTABLE PARALLEL SAFE
         RETURN (xid::text::bigint + %s)::text::xid8',
        start - pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
END
$$;
