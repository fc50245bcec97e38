-- Templates are managed from here too: what the provider showed of one last, as it came, and what
-- was last submitted through us.
ALTER TABLE templates
    ADD COLUMN object    json,
    ADD COLUMN object_at timestamptz,
    ADD COLUMN submitted json;

-- Edits of approved templates, which the provider allows only so many of. Those whose time is over
-- are deleted with the next.
CREATE TABLE template_edits (
    id       uuid        PRIMARY KEY,
    template uuid        NOT NULL REFERENCES templates ON DELETE CASCADE,
    at       timestamptz NOT NULL
);
CREATE INDEX template_edits_of ON template_edits (template, at);

-- What an act was about, and what the provider said of it, where its path does not say.
ALTER TABLE audit ADD COLUMN detail text;
