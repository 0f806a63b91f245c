-- name: claim
-- Let an event be the one that is known by its key, unless another one is within the window.
INSERT INTO inbox_seen (source, key, event, at, digest) VALUES (:source, :key, :id, :received_at, :digest)
ON CONFLICT (source, key) DO UPDATE SET event = excluded.event, at = excluded.at, digest = excluded.digest
 WHERE inbox_seen.event <> excluded.event
   AND (inbox_seen.at <= excluded.at - :window OR inbox_seen.at > excluded.at + :window);

-- name: claim (postgres together)
-- The same for many events, none of which has another one's key.
INSERT INTO inbox_seen (source, key, event, at, digest)
SELECT * FROM unnest(CAST(:source AS TEXT[]), CAST(:key AS TEXT[]), CAST(:id AS TEXT[]),
                     CAST(:received_at AS DOUBLE PRECISION[]), CAST(:digest AS TEXT[]))
ON CONFLICT (source, key) DO UPDATE SET event = excluded.event, at = excluded.at, digest = excluded.digest
 WHERE inbox_seen.event <> excluded.event
   AND (SELECT inbox_seen.at <= excluded.at - w.seconds OR inbox_seen.at > excluded.at + w.seconds
          FROM unnest(CAST(:id AS TEXT[]), CAST(:window AS DOUBLE PRECISION[])) AS w (id, seconds)
         WHERE w.id = excluded.event);

-- name: claimed
-- The event that is known by a key.
SELECT event, digest FROM inbox_seen WHERE source = :source AND key = :key;

-- name: seen
-- The events of a source that are known by these keys, a JSON array.
SELECT key, event, digest, at FROM inbox_seen WHERE source = :source AND key IN (SELECT value FROM json_each(:keys));

-- name: seen (postgres)
-- The same.
SELECT key, event, digest, at FROM inbox_seen
 WHERE source = :source AND key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS JSONB))));

-- name: log_read
-- How far the segments of the edges' logs are in the journal.
SELECT segment, upto FROM inbox_log;

-- name: log_upto
-- A segment is in the journal up to here.
INSERT INTO inbox_log (segment, upto, at) VALUES (:segment, :upto, :at)
ON CONFLICT (segment) DO UPDATE SET upto = excluded.upto, at = excluded.at;

-- name: log_gone
-- A segment was removed; so were those, by whatever way, that nobody has read for so long.
DELETE FROM inbox_log WHERE segment = :segment OR at < :before;

-- name: put
-- An event that was taken in; one that is there already stays as it is.
INSERT INTO inbox (id, source, received_at, headers, body, query, peer, user_agent, secret, sent_at, event_id,
                   event_type, order_key, key, digest, conflict_of, state, next_at)
VALUES (:id, :source, :received_at, :headers, :body, :query, :peer, :user_agent, :secret, :sent_at, :event_id,
        :event_type, :order_key, :key, :digest, :conflict_of, :state, :received_at)
ON CONFLICT (id) DO NOTHING;

-- name: put (postgres together)
-- The same for many events.
INSERT INTO inbox (id, source, received_at, headers, body, query, peer, user_agent, secret, sent_at, event_id,
                   event_type, order_key, key, digest, conflict_of, state, next_at)
SELECT * FROM unnest(
    CAST(:id AS TEXT[]), CAST(:source AS TEXT[]), CAST(:received_at AS DOUBLE PRECISION[]), CAST(:headers AS TEXT[]),
    CAST(:body AS BYTEA[]), CAST(:query AS TEXT[]), CAST(:peer AS TEXT[]), CAST(:user_agent AS TEXT[]),
    CAST(:secret AS TEXT[]), CAST(:sent_at AS DOUBLE PRECISION[]), CAST(:event_id AS TEXT[]),
    CAST(:event_type AS TEXT[]), CAST(:order_key AS TEXT[]), CAST(:key AS TEXT[]), CAST(:digest AS TEXT[]),
    CAST(:conflict_of AS TEXT[]), CAST(:state AS TEXT[]), CAST(:received_at AS DOUBLE PRECISION[]))
ON CONFLICT (id) DO NOTHING;

-- name: used
-- When a secret last proved an event.
INSERT INTO secret_use (source, secret, used_at) VALUES (:source, :secret, :at)
ON CONFLICT (source, secret) DO UPDATE SET used_at = excluded.used_at WHERE secret_use.used_at < excluded.used_at;

-- name: uses
-- When each secret of each source last proved an event.
SELECT source, secret, used_at FROM secret_use ORDER BY source, secret;

-- name: due
-- The events of a source whose attempt is due, the one that has waited longest first; not yet their bodies. Nothing is
-- due before what came earlier under the same order key is done with.
SELECT id, order_key, length(body) AS size FROM inbox i WHERE source = :source AND state = 'queued' AND next_at <= :now
   AND (order_key IS NULL OR NOT EXISTS (
        SELECT 1 FROM inbox e WHERE e.source = i.source AND e.order_key = i.order_key
           AND e.state IN ('queued', 'held') AND e.id < i.id))
 ORDER BY next_at, id LIMIT :limit;

-- name: follower
-- The first event under an order key that is not done with.
SELECT id, order_key, length(body) AS size, state, next_at FROM inbox
 WHERE source = :source AND order_key = :key AND state IN ('queued', 'held') ORDER BY id LIMIT 1;

-- name: next_at
-- When the next attempt of a source is due that is not due yet.
SELECT min(next_at) AS at FROM inbox WHERE source = :source AND state = 'queued' AND next_at > :now;

-- name: attempted
-- What came of an attempt; the same attempt is written down once.
INSERT INTO inbox_attempt (event, n, at, latency, status, detail)
SELECT i.id, (SELECT count(*) + 1 FROM inbox_attempt a WHERE a.event = i.id), CAST(:at AS DOUBLE PRECISION),
       CAST(:latency AS DOUBLE PRECISION), CAST(:status AS BIGINT), CAST(:detail AS TEXT)
  FROM inbox i WHERE i.id = :event
   AND NOT EXISTS (SELECT 1 FROM inbox_attempt b WHERE b.event = i.id AND b.at = CAST(:at AS DOUBLE PRECISION));

-- name: attempts
-- What came of each attempt of an event.
SELECT n, at, latency, status, detail FROM inbox_attempt WHERE event = :event ORDER BY n;

-- name: delivered
-- The target has it.
UPDATE inbox SET state = 'delivered', delivered_at = :at, attempts = attempts + 1, error = NULL
 WHERE id = :event AND state IN ('queued', 'held');

-- name: later
-- It was not taken; the next attempt is at next_at.
UPDATE inbox SET next_at = :next_at, attempts = attempts + 1, error = :detail
 WHERE id = :event AND state IN ('queued', 'held') AND attempts < :attempt;

-- name: dead
-- It was tried often enough.
UPDATE inbox SET state = 'dead', died_at = :at, attempts = attempts + 1, error = :detail
 WHERE id = :event AND state IN ('queued', 'held');

-- name: hold
-- No attempt until somebody lets it go on.
UPDATE inbox SET state = 'held', error = :error WHERE id = :id AND state = 'queued';

-- name: revive
-- Begin anew with what is not delivered: an attempt now, and all the attempts of a new event.
UPDATE inbox SET state = 'queued', attempts = 0, next_at = :now, died_at = NULL
 WHERE id = :id AND state <> 'delivered';

-- name: keep_only
-- Nobody is to be brought what waits.
UPDATE inbox SET state = 'kept', error = NULL, next_at = :now WHERE source = :source AND state IN ('queued', 'held');

-- name: keep_no_more
-- What came after there was a target for it is to be brought.
UPDATE inbox SET state = 'queued', next_at = :now WHERE source = :source AND state = 'kept' AND received_at >= :since;

-- name: source_of
-- Which source an event is of.
SELECT source FROM inbox WHERE id = :id;

-- name: saved
-- When an event was last taken by its target that had failed before.
SELECT max(delivered_at) AS at FROM inbox WHERE state = 'delivered' AND attempts > 1;

-- name: hurry
-- The target is well again: whatever failed because it was not is due now.
UPDATE inbox SET next_at = :now
 WHERE source = :source AND state = 'queued' AND next_at > :now AND EXISTS (
       SELECT 1 FROM inbox_attempt a WHERE a.event = inbox.id AND a.at >= :since
          AND (a.status IS NULL OR a.status >= 500 OR a.status < 300 OR a.status = 429));

-- name: astray
-- An attempt further off than any pause was set by a wrong clock: it is due now.
UPDATE inbox SET next_at = :now WHERE source = :source AND state = 'queued' AND next_at > :far;

-- name: dead_count
-- How many dead letters a source has.
SELECT count(*) AS events FROM inbox
 WHERE source = :source AND state IN ('held', 'dead') AND state = 'dead';

-- name: replay
-- A repetition of an event: the same bytes under an id of its own, so that the target takes it again.
INSERT INTO inbox (id, source, received_at, headers, body, query, peer, user_agent, secret, sent_at, event_id,
                   event_type, order_key, key, digest, replay_of, next_at)
SELECT :id, source, received_at, headers, body, query, peer, user_agent, secret, sent_at, event_id,
       event_type, order_key, NULL, digest, coalesce(replay_of, id), :now
  FROM inbox WHERE id = :of;

-- name: get
-- One event.
SELECT * FROM inbox WHERE id = :id;

-- name: find
-- Events from the newest back; '' means any.
SELECT id, source, received_at, length(body) AS size, peer, user_agent, secret, sent_at, event_id, event_type, order_key,
       conflict_of, replay_of, state, attempts, next_at, delivered_at, died_at, error
  FROM inbox
 WHERE (:state = '' OR state = :state) AND (:type = '' OR event_type = :type)
   AND (:before = '' OR id < :before) AND received_at >= :since
   AND (length(:part) = 0 OR instr(body, :part) > 0)
 ORDER BY id DESC LIMIT :limit;

-- name: find (postgres)
-- The same, with the name that a search in bytes has there.
SELECT id, source, received_at, length(body) AS size, peer, user_agent, secret, sent_at, event_id, event_type, order_key,
       conflict_of, replay_of, state, attempts, next_at, delivered_at, died_at, error
  FROM inbox
 WHERE (:state = '' OR state = :state) AND (:type = '' OR event_type = :type)
   AND (:before = '' OR id < :before) AND received_at >= :since
   AND (length(:part::bytea) = 0 OR position(:part::bytea IN body) > 0)
 ORDER BY id DESC LIMIT :limit;

-- name: find_of
-- Events of one source from the newest back; '' means any.
SELECT id, source, received_at, length(body) AS size, peer, user_agent, secret, sent_at, event_id, event_type, order_key,
       conflict_of, replay_of, state, attempts, next_at, delivered_at, died_at, error
  FROM inbox
 WHERE source = :source AND (:state = '' OR state = :state) AND (:type = '' OR event_type = :type)
   AND (:before = '' OR id < :before) AND received_at >= :since
   AND (length(:part) = 0 OR instr(body, :part) > 0)
 ORDER BY id DESC LIMIT :limit;

-- name: find_of (postgres)
-- The same, with the name that a search in bytes has there.
SELECT id, source, received_at, length(body) AS size, peer, user_agent, secret, sent_at, event_id, event_type, order_key,
       conflict_of, replay_of, state, attempts, next_at, delivered_at, died_at, error
  FROM inbox
 WHERE source = :source AND (:state = '' OR state = :state) AND (:type = '' OR event_type = :type)
   AND (:before = '' OR id < :before) AND received_at >= :since
   AND (length(:part::bytea) = 0 OR position(:part::bytea IN body) > 0)
 ORDER BY id DESC LIMIT :limit;

-- name: previous
-- The event of the same type that came before.
SELECT * FROM inbox
 WHERE source = :source AND id < :id AND replay_of IS NULL AND coalesce(event_type, '') = :type
 ORDER BY id DESC LIMIT 1;

-- name: since
-- What a source's events since an id are known by.
SELECT id, event_id, event_type, body FROM inbox WHERE source = :source AND id >= :first ORDER BY id LIMIT :limit;

-- name: like
-- Events by a piece of their identifier.
SELECT id FROM inbox WHERE id LIKE :pattern ORDER BY id DESC LIMIT 5;

-- name: replays
-- The repetitions of an event, the oldest first.
SELECT id, state, delivered_at FROM inbox WHERE replay_of = :id ORDER BY id;

-- name: stats
-- What is not delivered, by source and state, and since when.
SELECT source, state, count(*) AS events, min(received_at) AS oldest_at, min(next_at) AS next_at
  FROM inbox WHERE state = 'queued' GROUP BY source, state
UNION ALL
SELECT source, state, count(*), min(received_at), NULL
  FROM inbox WHERE state IN ('held', 'dead') GROUP BY source, state
UNION ALL
SELECT source, 'kept', count(*), min(received_at), NULL
  FROM inbox WHERE state = 'kept' GROUP BY source
 ORDER BY 1, 2;

-- name: old
-- What is done with and older than an id; what is kept must have been so since before a moment, too.
SELECT id, key FROM inbox WHERE source = :source AND id < :before AND state = :state
   AND (state <> 'kept' OR next_at < :moment) ORDER BY id LIMIT :limit;

-- name: unsee
-- What an event was known by goes with it.
DELETE FROM inbox_seen WHERE source = :source AND key = :key AND event = :id
   AND NOT EXISTS (SELECT 1 FROM inbox WHERE id = :id);

-- name: forget
-- One event that is done with, with its attempts.
DELETE FROM inbox WHERE id = :id AND state = :state;

-- name: tally
-- Count what became of deliveries.
INSERT INTO delivery (source, delivered, dead, retried, delivered_at)
VALUES (:source, :delivered, :dead, :retried, :delivered_at)
ON CONFLICT (source) DO UPDATE SET delivered = delivery.delivered + excluded.delivered,
   dead = delivery.dead + excluded.dead, retried = delivery.retried + excluded.retried,
   delivered_at = coalesce(excluded.delivered_at, delivery.delivered_at);

-- name: stand
-- Whether a target is left alone, since when and why.
INSERT INTO delivery (source, state, since, detail) VALUES (:source, :state, :since, :detail)
ON CONFLICT (source) DO UPDATE SET state = excluded.state, since = excluded.since, detail = excluded.detail;

-- name: deliveries
-- How the delivery of every source stands.
SELECT * FROM delivery ORDER BY source;
