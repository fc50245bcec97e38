-- Whom an account has written to outside the window that a user's own message opens, and when last:
-- the provider lets it do so to so many users in 24 hours. `account` is the WABA, or the sender
-- where none is known.
CREATE TABLE opened (
    stream    integer     NOT NULL,
    opened_at timestamptz NOT NULL,
    account   text        NOT NULL COLLATE "C",
    recipient text        NOT NULL COLLATE "C",
    PRIMARY KEY (stream, account, recipient)
);
CREATE INDEX opened_newest ON opened (stream, account, opened_at);

-- What such an account was found to have used up: how many users, and when the next place is free.
CREATE TABLE messaging_limits (
    stream   integer     NOT NULL,
    users    integer     NOT NULL,
    frees_at timestamptz NOT NULL,
    account  text        NOT NULL COLLATE "C",
    PRIMARY KEY (stream, account)
);
