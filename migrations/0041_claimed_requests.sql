-- A request whose work is done at a provider claims its name before the provider is called, for
-- nobody holds a transaction open meanwhile: until then its answer is NULL.
ALTER TABLE idempotency_keys ADD COLUMN claimed_until timestamptz;
