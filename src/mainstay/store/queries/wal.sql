-- name: put
-- How the log of a database is now.
INSERT INTO log_seen (name, at, seen) VALUES (:name, :at, :seen)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, seen = excluded.seen;

-- name: all
-- How the log of each database was when it was last looked at.
SELECT name, at, seen FROM log_seen ORDER BY name;

-- name: forget
-- A database whose log is not kept any more.
DELETE FROM log_seen WHERE name = :name;
