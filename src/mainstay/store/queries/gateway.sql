-- name: put_seen
-- How a machine's gateway is now.
INSERT INTO gateway_seen (host, at, seen) VALUES (:host, :at, :seen)
ON CONFLICT (host) DO UPDATE SET at = excluded.at, seen = excluded.seen;

-- name: seen
-- How the gateway of each machine was when it was last looked at.
SELECT host, at, seen FROM gateway_seen ORDER BY host;

-- name: forget_seen
-- A machine that has no gateway any more.
DELETE FROM gateway_seen WHERE host = :host;

-- name: samples_at
-- What one machine's routes answered in one span.
SELECT * FROM gateway_sample WHERE span = :span AND at = :at AND host = :host;

-- name: put_sample
-- What a route answered in one span, as far as is known now.
INSERT INTO gateway_sample (span, at, host, route, answers, client_errors, server_errors, admitted, limited,
                            unauthorised, failed, latencies)
VALUES (:span, :at, :host, :route, :answers, :client_errors, :server_errors, :admitted, :limited,
        :unauthorised, :failed, :latencies)
ON CONFLICT (span, at, host, route) DO UPDATE SET answers = excluded.answers,
   client_errors = excluded.client_errors, server_errors = excluded.server_errors, admitted = excluded.admitted,
   limited = excluded.limited, unauthorised = excluded.unauthorised, failed = excluded.failed,
   latencies = excluded.latencies;

-- name: samples
-- What routes answered since a moment, the oldest first.
SELECT * FROM gateway_sample WHERE span = :span AND at >= :since ORDER BY at, route, host;

-- name: totals
-- What was admitted and turned away in whole hours since a moment, and the newest hour of each.
SELECT sum(admitted) AS admitted, sum(limited) AS limited, sum(unauthorised) AS unauthorised,
       max(CASE WHEN admitted > 0 THEN at END) AS admitted_at,
       max(CASE WHEN limited + unauthorised > 0 THEN at END) AS refused_at
  FROM gateway_sample WHERE span = 3600 AND at >= :since;

-- name: prune
-- Spans that are old.
DELETE FROM gateway_sample WHERE span = :span AND at < :before;
