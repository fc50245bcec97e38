-- What was only read at a provider, and what the service asks there by itself, is in the audit too: a
-- row an hour, or a day, for calls that are alike, with how many there were. `NULL`: a request of the
-- API.
ALTER TABLE audit ADD COLUMN calls integer CHECK (calls > 0);

-- Those are deleted after a while.
CREATE INDEX audit_calls ON audit (at) WHERE calls IS NOT NULL;
