-- name: live
-- Every incident that is not resolved. Not sorted: for an order SQLite would read the resolved ones as well.
SELECT * FROM incident WHERE resolved_at IS NULL;

-- name: live_of
-- The open incident with a key.
SELECT * FROM incident WHERE key = :key AND resolved_at IS NULL;

-- name: live_of_service
-- The open incidents of a service, not sorted.
SELECT * FROM incident WHERE service = :service AND resolved_at IS NULL;

-- name: latest
-- The newest incident with a key, open or not.
SELECT * FROM incident WHERE key = :key ORDER BY opened_at DESC, id DESC LIMIT 1;

-- name: get
-- One incident.
SELECT * FROM incident WHERE id = :id;

-- name: recent
-- The newest incidents: open ones first.
SELECT * FROM incident ORDER BY (resolved_at IS NOT NULL), opened_at DESC, id DESC LIMIT :limit;

-- name: put
-- Write an incident as it is now.
INSERT INTO incident (id, key, service, severity, title, detail, state, failed_at, opened_at, acknowledged_at,
                      acknowledged_by, resolved_at, facts)
VALUES (:id, :key, :service, :severity, :title, :detail, :state, :failed_at, :opened_at, :acknowledged_at,
        :acknowledged_by, :resolved_at, :facts)
ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, title = excluded.title, detail = excluded.detail,
    state = excluded.state, acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
    resolved_at = excluded.resolved_at, facts = excluded.facts;

-- name: add_event
-- A new line of a timeline.
INSERT INTO event (id, incident, at, kind, detail, facts) VALUES (:id, :incident, :at, :kind, :detail, :facts);

-- name: events
-- An incident's timeline.
SELECT * FROM event WHERE incident = :incident ORDER BY id;

-- name: suspicions
-- Checks that fail or warn without an incident, and since when.
SELECT check_id, failed_at, warned_at FROM suspicion;

-- name: put_suspicion
-- Remember since when a check fails or warns.
INSERT INTO suspicion (check_id, failed_at, warned_at) VALUES (:check_id, :failed_at, :warned_at)
ON CONFLICT (check_id) DO UPDATE SET failed_at = excluded.failed_at, warned_at = excluded.warned_at;

-- name: drop_suspicion
-- A check is fine, or has an incident.
DELETE FROM suspicion WHERE check_id = :check_id;

-- name: actions_since
-- When playbooks acted on services.
SELECT i.service AS service, e.at AS at, i.id AS incident
  FROM event e JOIN incident i ON i.id = e.incident
 WHERE e.kind = 'action' AND e.at > :since ORDER BY e.at;
