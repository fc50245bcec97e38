-- What a message goes out with over the Marketing Messages API, if over that: an object with
-- `product_policy` and `message_activity_sharing`, as far as the caller gave them.
ALTER TABLE messages ADD marketing jsonb;
