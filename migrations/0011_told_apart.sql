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
