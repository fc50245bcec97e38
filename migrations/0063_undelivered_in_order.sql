-- What waits or was given up is read, and revived, in the order of the feed, a page at a time.
DROP INDEX undelivered_state;
CREATE INDEX undelivered_state ON undelivered (state, subscription, xid, event);
