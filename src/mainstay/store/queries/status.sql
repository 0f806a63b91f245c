-- name: p95
-- The latency that 95 % of each check's answers since a time do not exceed (nearest rank).
SELECT check_id, min(latency) AS p95 FROM (
    SELECT check_id, latency, row_number() OVER (PARTITION BY check_id ORDER BY latency) AS place,
           count(*) OVER (PARTITION BY check_id) AS answers
    FROM result WHERE at >= :start AND latency IS NOT NULL
) ranked WHERE place >= 0.95 * answers GROUP BY check_id;

-- name: last_ended
-- The newest run of every job that has ended.
SELECT * FROM run WHERE id IN (SELECT max(id) FROM run WHERE state IN ('done', 'failed', 'cancelled') GROUP BY job);

-- name: live
-- Runs that wait, run or need a person, the oldest first.
SELECT * FROM run WHERE state IN ('queued', 'running', 'parked') ORDER BY id;

-- name: streaks
-- How many runs of each job ended so since its newest run that ended otherwise.
SELECT r.job AS job, r.state AS state, count(*) AS runs FROM run r
WHERE r.state IN ('done', 'failed') AND r.id > coalesce(
    (SELECT max(o.id) FROM run o WHERE o.job = r.job AND o.state IN ('done', 'failed') AND o.state <>
        (SELECT n.state FROM run n WHERE n.job = r.job AND n.state IN ('done', 'failed') ORDER BY n.id DESC LIMIT 1)), '')
GROUP BY r.job, r.state;

-- name: schedules
-- Where every schedule stands, with its own words.
SELECT job, next_due, missed, missed_at, spec FROM schedule ORDER BY job;

-- name: worked
-- How long each job's runs took that ended since a time, pauses between tries included; the identifier spares older rows.
SELECT job, sum(finished_at - started_at) AS seconds, count(*) AS runs FROM run
 WHERE id >= :first AND finished_at >= :since AND started_at IS NOT NULL GROUP BY job;

-- name: runs_like
-- Runs whose identifier begins or ends so, the newest first.
SELECT * FROM run WHERE id LIKE :pattern ORDER BY id DESC LIMIT 5;

-- name: incidents_like
-- Incidents whose identifier begins or ends so, the newest first.
SELECT * FROM incident WHERE id LIKE :pattern ORDER BY id DESC LIMIT 5;

-- name: backups_like
-- Backups whose identifier begins or ends so, the newest first.
SELECT * FROM backup WHERE id LIKE :pattern ORDER BY id DESC LIMIT 5;
