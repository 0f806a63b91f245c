-- name: join
-- A node is there.
INSERT INTO node (id, host, pid, role, started_at, beat_at) VALUES (:id, :host, :pid, :role, :started_at, :beat_at)
ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at;

-- name: beat
-- A node still lives.
UPDATE node SET beat_at = :beat_at WHERE id = :id;

-- name: get
-- One node.
SELECT * FROM node WHERE id = :id;

-- name: all
-- Every node.
SELECT * FROM node ORDER BY id;

-- name: leave
-- A node is no more.
DELETE FROM node WHERE id = :id;

-- name: bury
-- A node is no more, if its beat is still the one last seen.
DELETE FROM node WHERE id = :id AND beat_at = :beat_at;

-- name: found_lease
-- The first owner of a role.
INSERT INTO lease (name, owner, fence, taken_at) SELECT :name, :owner, 1, :now
 WHERE EXISTS (SELECT 1 FROM node WHERE id = :owner)
ON CONFLICT (name) DO NOTHING;

-- name: take_lease
-- Follow an owner that is no more.
UPDATE lease SET owner = :owner, fence = fence + 1, taken_at = :now
 WHERE name = :name AND owner NOT IN (SELECT id FROM node) AND EXISTS (SELECT 1 FROM node WHERE id = :owner);

-- name: drop_lease
-- Give a role back.
UPDATE lease SET owner = '' WHERE name = :name AND owner = :owner;

-- name: lease
-- Who has a role.
SELECT * FROM lease WHERE name = :name;
