-- When nothing is posted to the user, by the user's own clock: model::quiet::QuietHours.
ALTER TABLE sequences ADD quiet_hours jsonb;
