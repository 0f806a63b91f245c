-- name: owe
-- A message that a channel is owed.
INSERT INTO outbox (id, channel, incident, message, event_at, owed_at, next_at)
VALUES (:id, :channel, :incident, :message, :event_at, :owed_at, :owed_at);

-- name: next
-- The oldest message that a channel is owed; the claim of a node that is no more does not count.
SELECT id, channel, incident, message, event_at, owed_at, attempts, next_at, tried_at, claimed_by,
       CASE WHEN EXISTS (SELECT 1 FROM node n WHERE n.id = o.claimed_by) THEN claimed_until END AS claimed_until,
       sent_at, refused_at, receipt, error
  FROM outbox o WHERE channel = :channel AND sent_at IS NULL AND refused_at IS NULL ORDER BY id LIMIT 1;

-- name: all_owed
-- Everything that is owed to any channel.
SELECT * FROM outbox WHERE sent_at IS NULL AND refused_at IS NULL ORDER BY channel, id;

-- name: get
-- One message.
SELECT * FROM outbox WHERE id = :id;

-- name: claim
-- Begin an attempt, unless another living node is at it.
UPDATE outbox SET claimed_by = :owner, claimed_until = :until, attempts = attempts + 1,
       tried_at = coalesce(tried_at, :now)
 WHERE id = :id AND sent_at IS NULL AND refused_at IS NULL
   AND (claimed_until IS NULL OR claimed_until <= :now OR claimed_until > :now + :longest OR claimed_by = :owner
        OR NOT EXISTS (SELECT 1 FROM node n WHERE n.id = outbox.claimed_by));

-- name: sent
-- The provider has accepted it.
UPDATE outbox SET sent_at = :now, receipt = :receipt, error = NULL, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND sent_at IS NULL;

-- name: later
-- An attempt failed; the next one is at next_at.
UPDATE outbox SET next_at = :next_at, error = :error, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND sent_at IS NULL AND claimed_by = :owner;

-- name: refused
-- The provider will never accept it.
UPDATE outbox SET refused_at = :now, error = :error, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND sent_at IS NULL;

-- name: told
-- The channels that were told of an incident, or are owed it.
SELECT DISTINCT channel FROM outbox WHERE incident = :incident AND refused_at IS NULL;

-- name: of_incident
-- Everything that was owed because of an incident.
SELECT * FROM outbox WHERE incident = :incident ORDER BY id;

-- name: standing
-- How each channel stands: what it is owed, since when, what it took last.
SELECT channel, sum(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN 1 ELSE 0 END) AS owed,
       min(CASE WHEN sent_at IS NULL AND refused_at IS NULL THEN owed_at END) AS owed_since,
       max(sent_at) AS sent_at, sum(CASE WHEN refused_at IS NULL THEN 0 ELSE 1 END) AS refused
  FROM outbox GROUP BY channel ORDER BY channel;

-- name: forget
-- Leave out what was told long ago; who was told of an open incident must hear of its end.
DELETE FROM outbox WHERE sent_at < :before
   AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.id = outbox.incident AND i.resolved_at IS NULL);
