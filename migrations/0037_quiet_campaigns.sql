-- When nothing of a campaign is posted, by each recipient's own clock: model::quiet.
ALTER TABLE campaigns ADD quiet_hours jsonb;
