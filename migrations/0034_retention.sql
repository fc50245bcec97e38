-- What was settled long ago goes (store/retention.rs). One row.
CREATE TABLE retention (
    one         boolean     PRIMARY KEY DEFAULT true CHECK (one),
    -- Where the feed begins: of what lies before it something may be gone. Committed before
    -- anything is deleted, and never smaller.
    begins      xid8        NOT NULL DEFAULT '0',
    -- One instance at a time deletes, until this at most.
    taken_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO retention DEFAULT VALUES;
