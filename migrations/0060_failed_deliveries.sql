-- What failed is looked for in the log, and is a small part of it.
CREATE INDEX deliveries_failed ON deliveries (subscription, id) WHERE error IS NOT NULL;
