-- name: get
-- One value of the journal about itself.
SELECT value FROM meta WHERE key = :key;

-- name: put
-- Set a value of the journal about itself.
INSERT INTO meta (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: drop
-- Forget a value.
DELETE FROM meta WHERE key = :key;
