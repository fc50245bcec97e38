-- Webhooks of a connection may have to come with a client certificate of one of these common names.
ALTER TABLE connections ADD client_certificate_names text[] NOT NULL DEFAULT '{}';
