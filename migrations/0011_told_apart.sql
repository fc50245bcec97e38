-- Which turn it is, and not whose: an instance that takes a connection's turn again must not have
-- it ended by what it began in the one before.
ALTER TABLE poll_turns RENAME COLUMN instance TO turn;
