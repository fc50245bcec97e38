-- Messages of somebody who was erased that were made later than that, because a campaign's turn came
-- to them just then: their ids do not tell that they are of before.
ALTER TABLE erasures ADD messages uuid[] NOT NULL DEFAULT '{}';

-- Whose turn it is: one that is too late gives nobody else's away.
ALTER TABLE retention ADD owner uuid;
