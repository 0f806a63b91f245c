-- How the gateway of each machine was when somebody last looked, and what its routes answered by the minute and hour.

CREATE TABLE gateway_seen (
    host TEXT PRIMARY KEY,
    at   DOUBLE PRECISION NOT NULL,
    seen TEXT NOT NULL
);

-- `latencies` counts answers by how long they took (JSON, one number per bucket); route '' is what no route was for.
CREATE TABLE gateway_sample (
    span          BIGINT NOT NULL,
    at            DOUBLE PRECISION NOT NULL,
    host          TEXT NOT NULL,
    route         TEXT NOT NULL,
    answers       BIGINT NOT NULL,
    client_errors BIGINT NOT NULL,
    server_errors BIGINT NOT NULL,
    admitted      BIGINT NOT NULL,
    limited       BIGINT NOT NULL,
    unauthorised  BIGINT NOT NULL,
    failed        BIGINT NOT NULL,
    latencies     TEXT NOT NULL,
    PRIMARY KEY (span, at, host, route)
);
