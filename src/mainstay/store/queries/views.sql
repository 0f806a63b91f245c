-- name: frame
-- What every page shows around itself: open incidents, what is owed, when the agent was last heard of.
SELECT
    (SELECT count(*) FROM incident WHERE resolved_at IS NULL) AS open_incidents,
    (SELECT count(*) FROM incident WHERE resolved_at IS NULL AND state = 'open') AS unseen_incidents,
    (SELECT count(*) FROM outbox WHERE sent_at IS NULL AND refused_at IS NULL) AS owed,
    (SELECT min(owed_at) FROM outbox WHERE sent_at IS NULL AND refused_at IS NULL) AS owed_since,
    (SELECT max(beat_at) FROM node WHERE role = 'agent') AS beat_at,
    (SELECT max(at) FROM check_state) AS measured_at;

-- name: service_states
-- The present answers of one service's checks.
SELECT check_id, service, verdict, since, at, latency, detail, facts FROM check_state
WHERE service = :service ORDER BY check_id;

-- name: open_incidents
-- What is wrong now, the loudest and oldest first.
SELECT * FROM incident WHERE resolved_at IS NULL
ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, opened_at;

-- name: incidents
-- Incidents from the newest back; before is an identifier, service and state are '' for all.
SELECT * FROM incident
WHERE (:before = '' OR id < :before)
  AND (:service = '' OR service = :service)
  AND (:state = '' OR (:state = 'open' AND resolved_at IS NULL) OR (:state = 'resolved' AND resolved_at IS NOT NULL))
  AND (resolved_at IS NULL OR resolved_at >= :begun)
ORDER BY id DESC LIMIT :limit;

-- name: incident
-- One incident.
SELECT * FROM incident WHERE id = :id;

-- name: events
-- The life of one incident.
SELECT * FROM event WHERE incident = :incident ORDER BY at, id;

-- name: latest_actions
-- The newest action of every open incident.
SELECT e.incident, e.at, e.detail FROM event e
WHERE e.id IN (SELECT max(a.id) FROM event a JOIN incident i ON i.id = a.incident
               WHERE i.resolved_at IS NULL AND a.kind = 'action' GROUP BY a.incident);

-- name: messages
-- Everything told and owed about one incident.
SELECT id, channel, incident, message, event_at, owed_at, attempts, next_at, sent_at, refused_at, receipt, error
FROM outbox WHERE incident = :incident ORDER BY id;

-- name: told
-- Per open incident and channel: how many messages arrived and how many are owed.
SELECT o.incident, o.channel, count(o.sent_at) AS sent, max(o.sent_at) AS sent_at, max(o.attempts) AS attempts,
       sum(CASE WHEN o.sent_at IS NULL AND o.refused_at IS NULL THEN 1 ELSE 0 END) AS owed
FROM outbox o JOIN incident i ON i.id = o.incident WHERE i.resolved_at IS NULL
GROUP BY o.incident, o.channel ORDER BY o.incident, o.channel;

-- name: runs_by_key
-- Runs whose key lies in a range: those of one incident's healing.
SELECT * FROM run WHERE key >= :low AND key < :high ORDER BY id;

-- name: live_healing
-- The newest healing run of every open incident.
SELECT i.id AS incident, r.id, r.key, r.state, r.summary, r.error FROM incident i
JOIN run r ON r.id = (SELECT max(h.id) FROM run h WHERE h.key >= 'heal:' || i.id || ':' AND h.key < 'heal:' || i.id || ';')
WHERE i.resolved_at IS NULL;

-- name: recent_runs
-- The newest runs of each of these jobs (a JSON list of names).
SELECT r.id, r.job, r.key, r.state, r.why, r.due_at, r.attempt, r.missed, r.created_at, r.started_at, r.finished_at,
       r.next_try_at, r.summary, r.error, r.progress
FROM json_each(:jobs) j
JOIN run r ON r.id IN (SELECT n.id FROM run n WHERE n.job = j.value ORDER BY n.due_at DESC, n.id DESC LIMIT :limit)
ORDER BY r.job, r.due_at, r.id;

-- name: recent_runs (postgres)
-- The same; names come as a JSON list.
SELECT r.id, r.job, r.key, r.state, r.why, r.due_at, r.attempt, r.missed, r.created_at, r.started_at, r.finished_at,
       r.next_try_at, r.summary, r.error, r.progress
FROM jsonb_array_elements_text(CAST(:jobs AS jsonb)) AS j(value)
CROSS JOIN LATERAL (SELECT * FROM run n WHERE n.job = j.value ORDER BY n.due_at DESC, n.id DESC LIMIT :limit) r
ORDER BY r.job, r.due_at, r.id;

-- name: runs
-- Runs from the newest back; job and state are '' for all, before is an identifier.
SELECT * FROM run
WHERE (:before = '' OR id < :before) AND (:job = '' OR job = :job) AND (:state = '' OR state = :state)
ORDER BY id DESC LIMIT :limit;

-- name: run
-- One run.
SELECT * FROM run WHERE id = :id;

-- name: steps
-- The finished steps of a run with their results.
SELECT name, position, started_at, finished_at, result FROM step WHERE run = :run ORDER BY position;

-- name: log_tail
-- The newest lines of a run's log, newest first.
SELECT seq, at, line FROM log WHERE run = :run ORDER BY seq DESC LIMIT :limit;

-- name: log_after
-- The log after a line.
SELECT seq, at, line FROM log WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit;

-- name: schedules
-- Where the schedules stand.
SELECT job, last_due, next_due, missed, missed_at FROM schedule;

-- name: minutes
-- Answers by the minute of these checks (a JSON list).
SELECT s.check_id, s.at, s.ok, s.warn, s.fail, s.unknown FROM json_each(:checks) c
JOIN sample s ON s.check_id = c.value AND s.span = 60 AND s.at >= :start;

-- name: minutes (postgres)
-- The same; names come as a JSON list.
SELECT s.check_id, s.at, s.ok, s.warn, s.fail, s.unknown FROM jsonb_array_elements_text(CAST(:checks AS jsonb)) AS c(value)
JOIN sample s ON s.check_id = c.value AND s.span = 60 AND s.at >= :start;

-- name: series
-- One check's answers and latencies over time.
SELECT at, ok, warn, fail, unknown, p50, p95, slowest FROM sample
WHERE check_id = :check AND span = :span AND at >= :start ORDER BY at;

-- name: hours
-- The newest summed-up hour of each of these checks (a JSON list), not older than start.
SELECT s.check_id, s.at, s.p50, s.p95 FROM json_each(:checks) c
JOIN sample s ON s.check_id = c.value AND s.span = 3600 AND s.at >= :start ORDER BY s.at;

-- name: hours (postgres)
-- The same; names come as a JSON list.
SELECT s.check_id, s.at, s.p50, s.p95 FROM jsonb_array_elements_text(CAST(:checks AS jsonb)) AS c(value)
JOIN sample s ON s.check_id = c.value AND s.span = 3600 AND s.at >= :start ORDER BY s.at;

-- name: answers
-- Every answer since a time, oldest first.
SELECT check_id, at, verdict, latency FROM result WHERE at >= :start ORDER BY at LIMIT :limit;

-- name: check_answers
-- One check's answers since a time.
SELECT at, verdict, latency FROM result WHERE check_id = :check AND at >= :start ORDER BY at LIMIT :limit;

-- name: last_bad
-- One service's newest answers that were not ok.
SELECT r.check_id, r.at, r.verdict, r.detail FROM check_state c
JOIN result r ON r.check_id = c.check_id AND r.at >= :start AND r.verdict <> 'ok'
WHERE c.service = :service ORDER BY r.at DESC LIMIT :limit;

-- name: first_answer
-- When the oldest answer that is still kept was given.
SELECT min(at) AS at FROM result;

-- name: silences
-- Silences that hold now or later.
SELECT * FROM silence WHERE until_at > :now ORDER BY from_at;

-- name: last_backups
-- The newest backup of every database, and its newest proof.
SELECT b.*, p.at AS proof_at, p.verdict AS proof_verdict, p.summary AS proof_summary, p.seconds AS proof_seconds,
       p.tables AS proof_tables, p.rows AS proof_rows, p.detail AS proof_detail, p.run AS proof_run
FROM backup b LEFT JOIN proof p ON p.id = (SELECT max(q.id) FROM proof q WHERE q.backup = b.id)
WHERE b.deleted_at IS NULL AND b.taken_at = (SELECT max(c.taken_at) FROM backup c WHERE c.database = b.database AND c.deleted_at IS NULL);

-- name: last_proofs
-- The newest proof of every database that found the restored copy equal.
SELECT p.*, b.database, b.taken_at, b.bytes, b.path, b.storage FROM proof p JOIN backup b ON b.id = p.backup
WHERE p.verdict = 'proven' AND p.at = (SELECT max(q.at) FROM proof q JOIN backup c ON c.id = q.backup
                  WHERE q.verdict = 'proven' AND c.database = b.database);

-- name: backup_counts
-- How many backups of each database lie on storage, and how much room they take.
SELECT database, count(*) AS kept, sum(bytes) AS bytes, min(taken_at) AS oldest_at FROM backup
WHERE deleted_at IS NULL GROUP BY database;

-- name: backups
-- One database's backups from the newest back, each with its newest proof.
SELECT b.*, p.at AS proof_at, p.verdict AS proof_verdict, p.summary AS proof_summary, p.seconds AS proof_seconds,
       p.tables AS proof_tables, p.rows AS proof_rows, p.detail AS proof_detail, p.run AS proof_run
FROM backup b LEFT JOIN proof p ON p.id = (SELECT max(q.id) FROM proof q WHERE q.backup = b.id)
WHERE (:database = '' OR b.database = :database) ORDER BY b.taken_at DESC LIMIT :limit;

-- name: channels
-- Per channel: what is owed, what arrived last.
SELECT channel, count(sent_at) AS sent, count(refused_at) AS refused, max(sent_at) AS sent_at,
       sum(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN 1 ELSE 0 END) AS owed,
       min(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN owed_at END) AS owed_since,
       max(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN attempts END) AS attempts,
       min(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN next_at END) AS next_at
FROM outbox GROUP BY channel ORDER BY channel;

-- name: channel_errors
-- The newest error of each channel.
SELECT channel, error, owed_at FROM outbox
WHERE id IN (SELECT max(id) FROM outbox WHERE error IS NOT NULL GROUP BY channel);

-- name: outbox
-- Messages from the newest back; channel is '' for all, owed 1 for what has not arrived.
SELECT o.*, i.title FROM outbox o LEFT JOIN incident i ON i.id = o.incident
WHERE (:channel = '' OR o.channel = :channel) AND (:before = '' OR o.id < :before)
  AND (:owed = 0 OR (o.sent_at IS NULL AND o.refused_at IS NULL))
ORDER BY o.id DESC LIMIT :limit;

-- name: nodes
-- The processes that live.
SELECT * FROM node ORDER BY id;

-- name: run_counts
-- How many runs ended how, and how many wait.
SELECT job, state, count(*) AS runs, max(finished_at) AS finished_at FROM run GROUP BY job, state;

-- name: audit
-- Who did what, the newest first.
SELECT id, at, who, action, target, detail FROM audit ORDER BY id DESC LIMIT :limit;
