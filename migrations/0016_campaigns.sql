-- Campaigns: the same sequence for many recipients of one sender. A recipient is a row of
-- sequences; its messages are made when they are claimed.

CREATE TABLE campaigns (
    sender       integer     NOT NULL,
    -- Uploads that were begun. While `upload_until` is set the last of them is under way, and its
    -- recipients do not count yet; one that says nothing until then has been given up.
    uploads      integer     NOT NULL DEFAULT 0,
    upload_until timestamptz,
    -- Of whole uploads.
    recipients   bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    activated_at timestamptz,
    paused_at    timestamptz,
    ended_at     timestamptz,
    -- How far recipients have been made into sequences: the last one's upload and id.
    filled_n     integer     NOT NULL DEFAULT 0,
    filled_id    uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    filled_count bigint      NOT NULL DEFAULT 0,
    -- So many first; the rest when they have been watched for so long and nothing speaks against
    -- it, or a person says so. NULL where all go, or once the rest does.
    pace_first   bigint,
    pace_watch_ms bigint,
    watch_until  timestamptz,
    -- How its sequences stood at `counted_at`.
    counted_at   timestamptz,
    count_due_at timestamptz NOT NULL DEFAULT '-infinity',
    id           uuid        NOT NULL,
    -- No recipient is left that is no sequence.
    filled       boolean     NOT NULL DEFAULT false,
    -- There is something left to do for it, beside posting.
    open         boolean     NOT NULL DEFAULT false,
    -- It has ended, and all of its sequences have: what is left to do is to count them.
    done         boolean     NOT NULL DEFAULT false,
    allow_repeats boolean    NOT NULL,
    status       text        NOT NULL CHECK (status IN ('draft', 'activating', 'running', 'paused', 'completed', 'cancelled')),
    name         text        NOT NULL,
    label        text,
    -- Where nobody asked for the pause.
    paused_because text,
    on_failure   text        NOT NULL CHECK (on_failure IN ('stop', 'skip', 'retry')),
    -- What its messages take from each recipient.
    variables    text[]      NOT NULL,
    gate         jsonb       NOT NULL,
    policy       jsonb       NOT NULL,
    -- Its messages, in order: store::sequence_create::NewStep.
    steps        jsonb       NOT NULL,
    counts       jsonb,
    PRIMARY KEY (sender, id),
    CHECK ((status = 'paused') = (paused_at IS NOT NULL)),
    CHECK ((status IN ('completed', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK (paused_because IS NULL OR status = 'paused'),
    CHECK ((pace_first IS NULL) = (pace_watch_ms IS NULL)),
    CHECK (watch_until IS NULL OR pace_first IS NOT NULL),
    CHECK (status <> 'activating' OR NOT filled),
    CHECK (status NOT IN ('running', 'completed') OR filled)
);
CREATE INDEX campaigns_newest ON campaigns (id);
CREATE INDEX campaigns_open ON campaigns (id) WHERE open;
CREATE INDEX campaigns_going ON campaigns (sender, id) WHERE status IN ('activating', 'running');

-- Recipients that are no sequences yet, in the order in which they came.
CREATE TABLE campaign_recipients (
    upload     integer NOT NULL,
    campaign   uuid    NOT NULL,
    id         uuid    NOT NULL,
    may_repeat boolean NOT NULL,
    recipient  text    NOT NULL COLLATE "C",
    reference  text,
    variables  jsonb   NOT NULL,
    PRIMARY KEY (campaign, upload, id)
);
CREATE UNIQUE INDEX campaign_recipients_once ON campaign_recipients (campaign, recipient)
    WHERE NOT may_repeat;

ALTER TABLE sequences ADD campaign uuid, ADD variables jsonb;
-- IS TRUE, so that only who says so too uses them: of the two, each has its own questions.
CREATE INDEX sequences_campaign ON sequences (campaign, id) WHERE (campaign IS NOT NULL) IS TRUE;
CREATE INDEX sequences_campaign_undone ON sequences (campaign)
    WHERE campaign IS NOT NULL AND (work <> 'done') IS TRUE;

ALTER TABLE messages ADD campaign uuid;
CREATE INDEX messages_campaign ON messages (campaign, id) WHERE campaign IS NOT NULL;

-- The lane of a campaign is its own: it is open while its template may be used, if it uses one,
-- and while the campaign goes on.
ALTER TABLE lanes
    ADD campaign uuid,
    ALTER template_name DROP NOT NULL,
    ALTER template_language DROP NOT NULL,
    ADD CHECK ((template_name IS NULL) = (template_language IS NULL)),
    ADD CHECK (template_name IS NOT NULL OR campaign IS NOT NULL);
CREATE INDEX lanes_campaign ON lanes (campaign) WHERE campaign IS NOT NULL;
