-- name: create
-- A new key.
INSERT INTO api_key (id, hash, subject, plan, note, who, created_at, expires_at)
VALUES (:id, :hash, :subject, :plan, :note, :who, :created_at, :expires_at);

-- name: revoke
-- End a key now.
UPDATE api_key SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL;

-- name: get
-- One key.
SELECT id, subject, plan, note, who, created_at, expires_at, revoked_at, used_at FROM api_key WHERE id = :id;

-- name: all
-- Every key that there ever was.
SELECT id, subject, plan, note, who, created_at, expires_at, revoked_at, used_at FROM api_key
ORDER BY subject, created_at, id;

-- name: live
-- The keys that open something.
SELECT id, hash, subject, plan, expires_at FROM api_key
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now);

-- name: used
-- Remember when a key was used last.
UPDATE api_key SET used_at = :used_at WHERE id = :id AND (used_at IS NULL OR used_at < :used_at);
