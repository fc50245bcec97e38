-- By which expired messages are found. No status changes it.
CREATE INDEX IF NOT EXISTS attempts_expire ON attempts (expires_at) WHERE expires_at IS NOT NULL;
