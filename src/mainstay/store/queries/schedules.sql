-- name: get
-- Where a schedule stands.
SELECT * FROM schedule WHERE job = :job;

-- name: all
-- Where all schedules stand.
SELECT * FROM schedule ORDER BY job;

-- name: put
-- Keep where a schedule stands.
INSERT INTO schedule (job, last_due, next_due, missed, missed_at, spec)
VALUES (:job, :last_due, :next_due, :missed, :missed_at, :spec)
ON CONFLICT (job) DO UPDATE SET last_due = excluded.last_due, next_due = excluded.next_due,
    missed = excluded.missed, missed_at = excluded.missed_at, spec = excluded.spec;

-- name: drop
-- The job has no schedule any more.
DELETE FROM schedule WHERE job = :job;
