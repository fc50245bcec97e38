-- How often the answer to this attempt was lost: where a repeat is harmless it is posted again under
-- its own number, a bounded number of times.
ALTER TABLE attempts ADD lost smallint NOT NULL DEFAULT 0;
