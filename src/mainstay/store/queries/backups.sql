-- name: put
-- Record a backup; one that lies at the same place was replaced by it.
INSERT INTO backup (id, database, storage, path, state, taken_at, seconds, bytes, tables, rows, manifest, run, kept)
VALUES (:id, :database, :storage, :path, :state, :taken_at, :seconds, :bytes, :tables, :rows, :manifest, :run, :kept)
ON CONFLICT (storage, path) DO UPDATE SET
    state = excluded.state, taken_at = excluded.taken_at, seconds = excluded.seconds, bytes = excluded.bytes,
    tables = excluded.tables, rows = excluded.rows, manifest = excluded.manifest, run = excluded.run,
    deleted_at = NULL, kept = excluded.kept, verified_at = NULL;

-- name: get
-- One backup.
SELECT id, database, storage, path, state, taken_at, seconds, bytes, tables, rows, manifest, run, deleted_at, kept, verified_at
FROM backup WHERE id = :id;

-- name: at
-- The backup at a place.
SELECT id, database, storage, path, state, taken_at, seconds, bytes, tables, rows, manifest, run, deleted_at, kept, verified_at
FROM backup WHERE storage = :storage AND path = :path;

-- name: of
-- Every backup of a database that is still there, the newest first.
SELECT id, database, storage, path, state, taken_at, seconds, bytes, tables, rows, manifest, run, deleted_at, kept, verified_at
FROM backup WHERE database = :database AND deleted_at IS NULL
ORDER BY taken_at DESC, id DESC;

-- name: all
-- Every backup that is still there, the newest first.
SELECT id, database, storage, path, state, taken_at, seconds, bytes, tables, rows, manifest, run, deleted_at, kept, verified_at
FROM backup WHERE deleted_at IS NULL
ORDER BY taken_at DESC, id DESC;

-- name: judge
-- What a proof made of a backup.
UPDATE backup SET state = :state WHERE id = :id;

-- name: delete
-- The objects are gone.
UPDATE backup SET deleted_at = :now WHERE id = :id AND deleted_at IS NULL;

-- name: undelete
-- The objects are still there.
UPDATE backup SET deleted_at = NULL WHERE id = :id;

-- name: verified
-- Every stored byte was found unchanged.
UPDATE backup SET verified_at = :now WHERE id = :id;

-- name: prove
-- Keep what a proof found.
INSERT INTO proof (id, backup, at, verdict, summary, seconds, tables, rows, detail, run)
VALUES (:id, :backup, :at, :verdict, :summary, :seconds, :tables, :rows, :detail, :run)
ON CONFLICT (id) DO NOTHING;

-- name: proof
-- One proof.
SELECT id, backup, at, verdict, summary, seconds, tables, rows, detail, run FROM proof WHERE id = :id;

-- name: proofs
-- The proofs of a backup, the newest first.
SELECT id, backup, at, verdict, summary, seconds, tables, rows, detail, run
FROM proof WHERE backup = :backup ORDER BY at DESC, id DESC;

-- name: last_proof
-- The newest proof of a database with one of its verdicts.
SELECT p.id, p.backup, p.at, p.verdict, p.summary, p.seconds, p.tables, p.rows, p.detail, p.run
FROM proof p JOIN backup b ON b.id = p.backup
WHERE b.database = :database AND p.verdict = :verdict
ORDER BY p.at DESC, p.id DESC LIMIT 1;

-- name: last_proof_in
-- The newest proof of a database in one storage.
SELECT p.id, p.backup, p.at, p.verdict, p.summary, p.seconds, p.tables, p.rows, p.detail, p.run
FROM proof p JOIN backup b ON b.id = p.backup
WHERE b.database = :database AND b.storage = :storage
ORDER BY p.at DESC, p.id DESC LIMIT 1;

-- name: run_state
-- Where the run stands that made something in a storage.
SELECT state FROM run WHERE id = :id;
