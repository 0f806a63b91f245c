-- name: insert
-- A new run; nothing happens when its key is known.
INSERT INTO run (id, job, key, state, why, due_at, args, missed, owner, created_at, next_try_at)
VALUES (:id, :job, :key, 'queued', :why, :due_at, :args, :missed, :owner, :now, :next_try_at)
ON CONFLICT (key) DO NOTHING;

-- name: get
-- One run.
SELECT * FROM run WHERE id = :id;

-- name: deaths
-- How many owners died with it.
SELECT deaths FROM run WHERE id = :id;

-- name: by_key
-- The run of a key.
SELECT * FROM run WHERE key = :key;

-- name: latest
-- The newest runs of a job.
SELECT * FROM run WHERE job = :job ORDER BY due_at DESC, id DESC LIMIT :limit;

-- name: next_at
-- When the next of these jobs' runs may start; a retry further off than any pause comes from a wrong clock.
SELECT min(CASE WHEN q.next_try_at IS NULL OR (q.attempt > 0 AND q.next_try_at > :now + :longest) THEN 0
                ELSE q.next_try_at END) AS at
  FROM run q
 WHERE q.state = 'queued' AND (q.owner IS NULL OR q.owner = :node)
   AND q.job IN (SELECT value FROM json_each(:jobs))
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.job = q.job AND r.state = 'running');

-- name: next_at (postgres)
-- The same; names come as a JSON list.
SELECT min(CASE WHEN q.next_try_at IS NULL OR (q.attempt > 0 AND q.next_try_at > :now + :longest) THEN 0
                ELSE q.next_try_at END) AS at
  FROM run q
 WHERE q.state = 'queued' AND (q.owner IS NULL OR q.owner = :node)
   AND q.job IN (SELECT jsonb_array_elements_text(CAST(:jobs AS jsonb)))
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.job = q.job AND r.state = 'running');

-- name: ready
-- Runs that may start now: begun ones first, then by due time.
SELECT q.id, q.job FROM run q
 WHERE q.state = 'queued' AND (q.owner IS NULL OR q.owner = :node)
   AND (q.next_try_at IS NULL OR q.next_try_at <= :now OR (q.attempt > 0 AND q.next_try_at > :now + :longest))
   AND q.job IN (SELECT value FROM json_each(:jobs))
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.job = q.job AND r.state = 'running')
 ORDER BY (q.started_at IS NULL), q.due_at, q.id LIMIT :limit;

-- name: ready (postgres)
-- The same, leaving out what another node is just taking.
SELECT q.id, q.job FROM run q
 WHERE q.state = 'queued' AND (q.owner IS NULL OR q.owner = :node)
   AND (q.next_try_at IS NULL OR q.next_try_at <= :now OR (q.attempt > 0 AND q.next_try_at > :now + :longest))
   AND q.job IN (SELECT jsonb_array_elements_text(CAST(:jobs AS jsonb)))
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.job = q.job AND r.state = 'running')
 ORDER BY (q.started_at IS NULL), q.due_at, q.id LIMIT :limit
   FOR UPDATE OF q SKIP LOCKED;

-- name: lock_job
-- SQLite has one writer: the job is locked already.
SELECT 1 AS got;

-- name: lock_job (postgres)
-- Lets one transaction at a time start a run of the job; the others look again later.
SELECT pg_try_advisory_xact_lock(hashtextextended('mainstay job ' || :job, 0))::int AS got;

-- name: take
-- Become the owner of a queued run, unless the job is busy or the node was declared dead.
UPDATE run SET state = 'running', owner = :node, fence = fence + 1, attempt = attempt + 1, next_try_at = NULL,
       started_at = coalesce(started_at, :now), finished_at = NULL
 WHERE id = :id AND state = 'queued' AND EXISTS (SELECT 1 FROM node WHERE id = :node)
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.job = run.job AND r.state = 'running');

-- name: left_out
-- First tries that are due while their job is busy.
SELECT q.id, r.id AS busy FROM run q JOIN run r ON r.job = q.job AND r.state = 'running'
 WHERE q.state = 'queued' AND q.started_at IS NULL AND (q.next_try_at IS NULL OR q.next_try_at <= :now)
   AND q.job IN (SELECT value FROM json_each(:jobs));

-- name: left_out (postgres)
-- The same; names come as a JSON list.
SELECT q.id, r.id AS busy FROM run q JOIN run r ON r.job = q.job AND r.state = 'running'
 WHERE q.state = 'queued' AND q.started_at IS NULL AND (q.next_try_at IS NULL OR q.next_try_at <= :now)
   AND q.job IN (SELECT jsonb_array_elements_text(CAST(:jobs AS jsonb)));

-- name: strangers
-- Runs that wait although nobody here knows their job; the list of states is that of the index run_live.
SELECT * FROM run
 WHERE state = 'queued' AND state IN ('queued', 'running', 'parked') AND created_at < :before AND (next_try_at IS NULL OR next_try_at < :before)
   AND job NOT IN (SELECT value FROM json_each(:jobs));

-- name: strangers (postgres)
-- The same; names come as a JSON list.
SELECT * FROM run
 WHERE state = 'queued' AND created_at < :before AND (next_try_at IS NULL OR next_try_at < :before)
   AND job NOT IN (SELECT jsonb_array_elements_text(CAST(:jobs AS jsonb)));

-- name: plan
-- Keep the names of the steps at the first start.
UPDATE run SET plan = :plan WHERE id = :id;

-- name: hold
-- Changes nothing, but only for the present owner; the row stays locked until the end of the transaction.
UPDATE run SET fence = fence WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: owns
-- Whether this is still the owner.
SELECT 1 AS yes FROM run WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: owned
-- What a node owns.
SELECT id, fence FROM run WHERE state = 'running' AND owner = :owner;

-- name: steps
-- The finished steps of a run.
SELECT name, result FROM step WHERE run = :run ORDER BY position;

-- name: keep_step
-- A finished step; finishing it twice changes nothing.
INSERT INTO step (run, name, position, fence, started_at, finished_at, result)
VALUES (:run, :name, (SELECT count(*) FROM step WHERE run = :run), :fence, :started_at, :finished_at, :result)
ON CONFLICT (run, name) DO NOTHING;

-- name: forget_steps
-- The run begins anew.
DELETE FROM step WHERE run = :run;

-- name: last_line
-- How far the log goes.
SELECT coalesce(max(seq), 0) AS seq FROM log WHERE run = :run;

-- name: add_line
-- One line of the log.
INSERT INTO log (run, seq, at, line) VALUES (:run, :seq, :at, :line);

-- name: lines
-- The log after a line.
SELECT seq, at, line FROM log WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit;

-- name: progress
-- How far the present step is.
UPDATE run SET progress = :progress WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: settle
-- What became of a try, written by its owner only.
UPDATE run SET state = :state, summary = :summary, outcome = :outcome, error = :error, progress = NULL,
       finished_at = :finished_at
 WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: later
-- Try again at next_try_at, by the reserved owner or anybody.
UPDATE run SET state = 'queued', error = :error, progress = NULL, next_try_at = :next_try_at, owner = :reserved
 WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: release
-- Give a run back; the try does not count.
UPDATE run SET state = 'queued', owner = NULL, fence = fence + 1, attempt = attempt - 1, progress = NULL
 WHERE id = :id AND state = 'running' AND owner = :owner AND fence = :fence;

-- name: orphans
-- Runs whose owner is no more; the list of states is that of the index run_live, without which this reads every run.
SELECT id FROM run
 WHERE state IN ('queued', 'running', 'parked') AND state <> 'parked' AND owner IS NOT NULL
   AND owner NOT IN (SELECT id FROM node);

-- name: free
-- Free an orphan: the next owner has a higher fence; the try does not count, for it did not end.
UPDATE run SET attempt = attempt - (CASE state WHEN 'running' THEN 1 ELSE 0 END),
       deaths = deaths + (CASE state WHEN 'running' THEN 1 ELSE 0 END),
       state = 'queued', owner = NULL, fence = fence + 1, progress = NULL
 WHERE id = :id AND state IN ('queued', 'running') AND owner IS NOT NULL
   AND owner NOT IN (SELECT id FROM node);

-- name: close
-- End a run from outside; a higher fence stops its owner.
UPDATE run SET state = :state, finished_at = :now, summary = :summary, error = :error, fence = fence + 1, progress = NULL
 WHERE id = :id AND state IN ('queued', 'running', 'parked');

-- name: reopen
-- Queue an ended or parked run again, from its last finished step or from the beginning.
UPDATE run SET state = 'queued', attempt = 0, deaths = 0, owner = NULL, fence = fence + 1, finished_at = NULL,
       error = NULL, summary = '', outcome = '{}', next_try_at = NULL,
       started_at = CASE WHEN :anew = 1 THEN NULL ELSE started_at END,
       plan = CASE WHEN :anew = 1 THEN '[]' ELSE plan END
 WHERE id = :id AND state IN ('failed', 'parked', 'cancelled');

-- name: prune
-- Forget runs that ended long ago, with their steps and log, a few at a time.
DELETE FROM run WHERE id IN (SELECT id FROM run WHERE finished_at < :before ORDER BY id LIMIT 500);
