-- Connections to solution providers. Only Meta's API has versions in its addresses.
ALTER TABLE connections DROP CONSTRAINT connections_provider_check;
ALTER TABLE connections
    ADD CONSTRAINT connections_provider_check
        CHECK (provider IN ('meta', 'dialog360', 'dialog360_onprem', 'infobip')),
    ALTER api_version DROP NOT NULL,
    ADD CONSTRAINT connections_api_version_check
        CHECK ((provider = 'meta') = (api_version IS NOT NULL));

-- The one number of a connection whose provider names none in what it says of messages: an
-- On-Premises channel; with Infobip, whatever is said of messages that others sent.
COMMENT ON COLUMN senders.phone_number_id IS 'The provider''s id of the number; empty where it has none';
