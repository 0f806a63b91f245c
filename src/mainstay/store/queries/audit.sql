-- name: note
-- Who did what to what.
INSERT INTO audit (id, at, who, action, target, detail) VALUES (:id, :at, :who, :action, :target, :detail);

-- name: latest
-- The newest entries first.
SELECT id, at, who, action, target, detail FROM audit ORDER BY id DESC LIMIT :limit;
