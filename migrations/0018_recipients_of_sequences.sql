-- Whatever is not done yet to a user is looked at when they write, or say what they want. IS TRUE,
-- so that only who says so too uses it: to the planner it looks small, and cheap to read as a whole.
-- IF NOT EXISTS, here and in what follows: where tables are big it is built beforehand, CONCURRENTLY
-- (docs/OPERATIONS.md).
CREATE INDEX IF NOT EXISTS sequences_recipient ON sequences (sender, recipient)
    WHERE (work <> 'done') IS TRUE;
