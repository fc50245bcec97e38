-- How many sequences wait for a person is counted every few seconds.
CREATE INDEX sequences_held ON sequences (reason) WHERE status = 'held';
