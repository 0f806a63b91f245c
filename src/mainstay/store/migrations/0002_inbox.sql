-- Webhooks that were taken in: the bytes as they came, and how their delivery stands.

-- next_at is when an attempt is due; `key` is what the event is known by among those of its source, `conflict_of` the
-- event that came before under the same id with another body, `replay_of` the event that this is a repetition of.
CREATE TABLE inbox (
    id           TEXT PRIMARY KEY,
    source       TEXT NOT NULL,
    received_at  DOUBLE PRECISION NOT NULL,
    headers      TEXT NOT NULL,
    body         BYTEA NOT NULL,
    query        TEXT NOT NULL DEFAULT '',
    peer         TEXT NOT NULL,
    user_agent   TEXT,
    secret       TEXT,
    sent_at      DOUBLE PRECISION,
    event_id     TEXT,
    event_type   TEXT,
    order_key    TEXT,
    key          TEXT,
    digest       TEXT NOT NULL,
    conflict_of  TEXT,
    replay_of    TEXT,
    state        TEXT NOT NULL DEFAULT 'queued',
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_at      DOUBLE PRECISION NOT NULL,
    delivered_at DOUBLE PRECISION,
    died_at      DOUBLE PRECISION,
    error        TEXT
);
CREATE INDEX inbox_source ON inbox (source, id);
CREATE INDEX inbox_due ON inbox (source, next_at, id) WHERE state = 'queued';
CREATE INDEX inbox_order ON inbox (source, order_key, id) WHERE state IN ('queued', 'held') AND order_key IS NOT NULL;
CREATE INDEX inbox_stuck ON inbox (source, id) WHERE state IN ('held', 'dead');
CREATE INDEX inbox_replays ON inbox (replay_of) WHERE replay_of IS NOT NULL;

-- What each source has sent, so that a second copy is known; a row goes with its event.
CREATE TABLE inbox_seen (
    source TEXT NOT NULL,
    key    TEXT NOT NULL,
    event  TEXT NOT NULL,
    at     DOUBLE PRECISION NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (source, key)
);

CREATE TABLE inbox_attempt (
    event   TEXT NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    n       BIGINT NOT NULL,
    at      DOUBLE PRECISION NOT NULL,
    latency DOUBLE PRECISION,
    status  BIGINT,
    detail  TEXT NOT NULL,
    PRIMARY KEY (event, n)
);

-- How the delivery of each source stands: whether its target is left alone (open), since when and why, and what it was
-- brought so far.
CREATE TABLE delivery (
    source       TEXT PRIMARY KEY,
    state        TEXT NOT NULL DEFAULT 'closed',
    since        DOUBLE PRECISION,
    detail       TEXT NOT NULL DEFAULT '',
    delivered    BIGINT NOT NULL DEFAULT 0,
    dead         BIGINT NOT NULL DEFAULT 0,
    retried      BIGINT NOT NULL DEFAULT 0,
    delivered_at DOUBLE PRECISION
);

-- When each secret of a source last proved an event: an old one may go when nobody uses it any more.
CREATE TABLE secret_use (
    source  TEXT NOT NULL,
    secret  TEXT NOT NULL,
    used_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (source, secret)
);
