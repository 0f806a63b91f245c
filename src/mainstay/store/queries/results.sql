-- name: keep
-- One answer of one check.
INSERT INTO result (check_id, at, place, verdict, latency, detail)
VALUES (:check, :at, :place, :verdict, :latency, :detail)
ON CONFLICT (check_id, at, place) DO NOTHING;

-- name: kept
-- Whether an answer is kept already.
SELECT 1 AS yes FROM result WHERE check_id = :check AND at = :at AND place = :place;

-- name: state
-- The present answer of a check; `since` moves only when the verdict changes.
INSERT INTO check_state (check_id, service, verdict, since, at, latency, detail, facts)
VALUES (:check, :service, :verdict, :at, :at, :latency, :detail, :facts)
ON CONFLICT (check_id) DO UPDATE SET
    service = excluded.service,
    since = CASE WHEN check_state.verdict = excluded.verdict THEN check_state.since ELSE excluded.since END,
    verdict = excluded.verdict,
    at = excluded.at,
    latency = excluded.latency,
    detail = excluded.detail,
    facts = excluded.facts;

-- name: states
-- The present answer of every check.
SELECT check_id, service, verdict, since, at, latency, detail, facts FROM check_state ORDER BY check_id;

-- name: forget
-- A check that is no longer configured has no present answer.
DELETE FROM check_state WHERE check_id = :check;

-- name: oldest
-- When the oldest answer at or after a time was given.
SELECT min(at) AS at FROM result WHERE at >= :start;

-- name: span
-- The answers of a stretch of time, in the order in which they are summed up.
SELECT check_id, at, verdict, latency FROM result WHERE at >= :start AND at < :end ORDER BY check_id, at;

-- name: sample
-- What the answers of one span of time amount to.
INSERT INTO sample (check_id, span, at, ok, warn, fail, unknown, p50, p95, slowest)
VALUES (:check_id, :span, :at, :ok, :warn, :fail, :unknown, :p50, :p95, :slowest)
ON CONFLICT (check_id, span, at) DO UPDATE SET
    ok = excluded.ok, warn = excluded.warn, fail = excluded.fail, unknown = excluded.unknown,
    p50 = excluded.p50, p95 = excluded.p95, slowest = excluded.slowest;

-- name: prune
-- Answers that are summed up and old.
DELETE FROM result WHERE at >= :start AND at < :end;

-- name: oldest_sample
-- When the oldest span of a length began.
SELECT min(at) AS at FROM sample WHERE span = :span;

-- name: prune_samples
-- Spans that are old.
DELETE FROM sample WHERE span = :span AND at < :end;

-- name: samples
-- Every sample of one length of span, oldest first.
SELECT check_id, at, ok, warn, fail, unknown, p50, p95, slowest FROM sample
WHERE span = :span ORDER BY at, check_id;
