-- name: latest_proofs
-- The newest proof of every database that found the restored copy equal, and what it compared.
SELECT b.database AS database, max(p.at) AS at FROM proof p JOIN backup b ON b.id = p.backup
WHERE p.verdict = 'proven' GROUP BY b.database;

-- name: latest_verdicts
-- The newest proof of every database, whatever it found.
SELECT b.database AS database, p.at AS at, p.verdict AS verdict, p.summary AS summary, p.tables AS tables,
       p.rows AS rows
FROM proof p JOIN backup b ON b.id = p.backup
WHERE p.id IN (SELECT max(q.id) FROM proof q JOIN backup c ON c.id = q.backup GROUP BY c.database);

-- name: latest_backups
-- When the newest backup of every database was taken, and where it lies.
SELECT database, storage, max(taken_at) AS at FROM backup WHERE deleted_at IS NULL GROUP BY database, storage;

-- name: answers
-- When every check was answered last.
SELECT check_id, at FROM check_state;

-- name: caught
-- The newest incident about a check: how long from the first failed probe until it was opened.
SELECT title, failed_at, opened_at FROM incident WHERE key LIKE 'check:%' ORDER BY opened_at DESC LIMIT 1;

-- name: healed
-- The newest incident that ended after a playbook had acted.
SELECT i.title AS title, i.opened_at AS opened_at, i.resolved_at AS resolved_at FROM incident i
WHERE i.resolved_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM event e WHERE e.incident = i.id AND e.kind = 'action')
ORDER BY i.resolved_at DESC LIMIT 1;

-- name: accepted
-- The newest message that each channel's provider accepted: of any kind; of critical incidents and tests.
SELECT o.channel AS channel, max(o.sent_at) AS at,
       max(CASE WHEN i.severity = 'critical' OR i.id IS NULL THEN o.sent_at END) AS critical_at
FROM outbox o LEFT JOIN incident i ON i.id = o.incident WHERE o.sent_at IS NOT NULL GROUP BY o.channel;

-- name: owed
-- How many messages have not been accepted yet, by channel.
SELECT channel, count(*) AS owed, min(owed_at) AS since FROM outbox
WHERE sent_at IS NULL AND refused_at IS NULL GROUP BY channel;

-- name: done
-- When every job was done last.
SELECT job, max(finished_at) AS at FROM run WHERE state = 'done' GROUP BY job;

-- name: failed
-- The newest run of every job that has ended, when it failed.
SELECT job, finished_at AS at, error FROM run r WHERE state = 'failed' AND id =
    (SELECT max(n.id) FROM run n WHERE n.job = r.job AND n.state IN ('done', 'failed'));

-- name: last
-- The newest run of every job that was done, with what it said of itself.
SELECT job, finished_at AS at, summary, outcome FROM run r WHERE state = 'done' AND id =
    (SELECT max(n.id) FROM run n WHERE n.job = r.job AND n.state = 'done');

-- name: hosts
-- The machines on which an agent lives.
SELECT DISTINCT host FROM node WHERE role = 'agent' AND beat_at > :since;

-- name: accounts
-- How many people can log in.
SELECT count(*) AS accounts FROM account;
