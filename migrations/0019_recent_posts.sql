-- Who takes a sender over has to know whom it has written to of late.
CREATE INDEX IF NOT EXISTS attempts_posted ON attempts (sender, posted_at)
    WHERE posted_at IS NOT NULL;
