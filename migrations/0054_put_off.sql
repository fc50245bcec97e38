-- What a caller said of when a lone message goes, and since when a head is put off for what
-- `ready_because` says, or because the provider did not take it: `ready_at` is overwritten by either.
ALTER TABLE sequences
    ADD not_before timestamptz,
    ADD put_off_at timestamptz;
