-- name: add
-- A new silence.
INSERT INTO silence (id, service, why, who, from_at, until_at)
VALUES (:id, :service, :why, :who, :from_at, :until_at);

-- name: end
-- End a silence early.
UPDATE silence SET until_at = :now WHERE id = :id AND until_at > :now;

-- name: active
-- The silences that hold now.
SELECT * FROM silence WHERE from_at <= :now AND until_at > :now ORDER BY id;

-- name: all
-- Every silence that has not ended before a moment.
SELECT * FROM silence WHERE until_at > :after ORDER BY from_at, id;
