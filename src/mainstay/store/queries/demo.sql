-- name: alerts
-- How many messages were ever owed, and how many of them were accepted.
SELECT count(*) AS owed, count(sent_at) AS delivered FROM outbox;

-- name: answered
-- When a check was first answered well after a moment.
SELECT min(at) AS at FROM result WHERE check_id = :check AND at > :since AND verdict = 'ok';
