-- The journal's first shape. Times are seconds since 1970; JSON is text; truth is 0 or 1.
-- One text serves SQLite and PostgreSQL.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- How often each topic was signalled: other processes on the same SQLite file see by it what to look at again.
CREATE TABLE topic (
    name   TEXT PRIMARY KEY,
    number BIGINT NOT NULL
);

-- One row per running process that may own work. On one host ownership is a lock file; the beat is for other hosts.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    pid        BIGINT NOT NULL,
    role       TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    beat_at    DOUBLE PRECISION NOT NULL
);

-- Named exclusive roles, e.g. which node asks the checks. The fence grows with every change of owner.
CREATE TABLE lease (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    fence BIGINT NOT NULL,
    taken_at DOUBLE PRECISION NOT NULL
);

-- Where each schedule stands: everything due up to last_due has a run or is counted as missed.
CREATE TABLE schedule (
    job       TEXT PRIMARY KEY,
    last_due  DOUBLE PRECISION NOT NULL,
    next_due  DOUBLE PRECISION,
    missed    BIGINT NOT NULL DEFAULT 0,
    missed_at DOUBLE PRECISION,
    spec      TEXT NOT NULL
);

CREATE TABLE run (
    id          TEXT PRIMARY KEY,
    job         TEXT NOT NULL,
    key         TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL,
    why         TEXT NOT NULL,
    due_at      DOUBLE PRECISION NOT NULL,
    args        TEXT NOT NULL DEFAULT '{}',
    attempt     BIGINT NOT NULL DEFAULT 0,
    missed      BIGINT NOT NULL DEFAULT 0,
    owner       TEXT,
    fence       BIGINT NOT NULL DEFAULT 0,
    plan        TEXT NOT NULL DEFAULT '[]',
    created_at  DOUBLE PRECISION NOT NULL,
    started_at  DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    next_try_at DOUBLE PRECISION,
    summary     TEXT NOT NULL DEFAULT '',
    outcome     TEXT NOT NULL DEFAULT '{}',
    error       TEXT,
    progress    TEXT,
    deaths      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX run_job ON run (job, due_at);
-- Two runs of one job never run at once, whatever the code believes.
CREATE UNIQUE INDEX run_busy ON run (job) WHERE state = 'running';
CREATE INDEX run_live ON run (state, next_try_at) WHERE state IN ('queued', 'running', 'parked');

CREATE TABLE step (
    run         TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    position    BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    started_at  DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION NOT NULL,
    result      TEXT NOT NULL,
    PRIMARY KEY (run, name)
);

CREATE TABLE log (
    run  TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq  BIGINT NOT NULL,
    at   DOUBLE PRECISION NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);

-- The present answer of each check.
CREATE TABLE check_state (
    check_id  TEXT PRIMARY KEY,
    service   TEXT NOT NULL,
    verdict   TEXT NOT NULL,
    since     DOUBLE PRECISION NOT NULL,
    at        DOUBLE PRECISION NOT NULL,
    latency   DOUBLE PRECISION,
    detail    TEXT NOT NULL,
    facts     TEXT NOT NULL DEFAULT '{}'
);

-- Every answer, kept for days; `sample` keeps what is older in coarser steps.
CREATE TABLE result (
    check_id TEXT NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    place    TEXT NOT NULL,
    verdict  TEXT NOT NULL,
    latency  DOUBLE PRECISION,
    detail   TEXT,
    PRIMARY KEY (check_id, at, place)
);
CREATE INDEX result_at ON result (at);

CREATE TABLE sample (
    check_id TEXT NOT NULL,
    span     BIGINT NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    ok       BIGINT NOT NULL,
    warn     BIGINT NOT NULL,
    fail     BIGINT NOT NULL,
    unknown  BIGINT NOT NULL,
    p50      DOUBLE PRECISION,
    p95      DOUBLE PRECISION,
    slowest  DOUBLE PRECISION,
    PRIMARY KEY (check_id, span, at)
);

CREATE TABLE incident (
    id              TEXT PRIMARY KEY,
    key             TEXT NOT NULL,
    service         TEXT NOT NULL,
    severity        TEXT NOT NULL,
    title           TEXT NOT NULL,
    detail          TEXT NOT NULL,
    state           TEXT NOT NULL,
    failed_at       DOUBLE PRECISION NOT NULL,
    opened_at       DOUBLE PRECISION NOT NULL,
    acknowledged_at DOUBLE PRECISION,
    acknowledged_by TEXT,
    resolved_at     DOUBLE PRECISION,
    facts           TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX incident_live ON incident (key) WHERE resolved_at IS NULL;
CREATE INDEX incident_key ON incident (key, opened_at);
CREATE INDEX incident_opened ON incident (opened_at);

-- Since when a check fails or warns without having opened an incident.
CREATE TABLE suspicion (
    check_id  TEXT PRIMARY KEY,
    failed_at DOUBLE PRECISION,
    warned_at DOUBLE PRECISION
);

CREATE TABLE event (
    id       TEXT PRIMARY KEY,
    incident TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    at       DOUBLE PRECISION NOT NULL,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    facts    TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX event_incident ON event (incident, id);
CREATE INDEX event_action ON event (at) WHERE kind = 'action';

-- What is owed to people. Sent in the order of id within a channel; a row leaves only by being accepted or refused.
-- tried_at is the first attempt; a claim keeps two agents from sending one message at the same time.
CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,
    channel    TEXT NOT NULL,
    incident   TEXT,
    message    TEXT NOT NULL,
    event_at   DOUBLE PRECISION NOT NULL,
    owed_at    DOUBLE PRECISION NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    DOUBLE PRECISION NOT NULL,
    tried_at   DOUBLE PRECISION,
    claimed_by TEXT,
    claimed_until DOUBLE PRECISION,
    sent_at    DOUBLE PRECISION,
    refused_at DOUBLE PRECISION,
    receipt    TEXT,
    error      TEXT
);
CREATE INDEX outbox_owed ON outbox (channel, id) WHERE sent_at IS NULL AND refused_at IS NULL;
CREATE INDEX outbox_incident ON outbox (incident);

CREATE TABLE silence (
    id         TEXT PRIMARY KEY,
    service    TEXT NOT NULL,
    why        TEXT NOT NULL,
    who        TEXT NOT NULL,
    from_at    DOUBLE PRECISION NOT NULL,
    until_at   DOUBLE PRECISION NOT NULL
);

CREATE TABLE backup (
    id         TEXT PRIMARY KEY,
    database   TEXT NOT NULL,
    storage    TEXT NOT NULL,
    path       TEXT NOT NULL,
    state      TEXT NOT NULL,
    taken_at   DOUBLE PRECISION NOT NULL,
    seconds    DOUBLE PRECISION NOT NULL,
    bytes      BIGINT NOT NULL,
    tables     BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    manifest   TEXT NOT NULL,
    run        TEXT,
    deleted_at DOUBLE PRECISION,
    UNIQUE (storage, path)
);
CREATE INDEX backup_database ON backup (database, taken_at);

CREATE TABLE proof (
    id       TEXT PRIMARY KEY,
    backup   TEXT NOT NULL REFERENCES backup (id),
    at       DOUBLE PRECISION NOT NULL,
    verdict  TEXT NOT NULL,
    summary  TEXT NOT NULL,
    seconds  DOUBLE PRECISION NOT NULL,
    tables   BIGINT NOT NULL,
    rows     BIGINT NOT NULL,
    detail   TEXT NOT NULL DEFAULT '{}',
    run      TEXT
);
CREATE INDEX proof_backup ON proof (backup, at);

CREATE TABLE audit (
    id     TEXT PRIMARY KEY,
    at     DOUBLE PRECISION NOT NULL,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE account (
    name       TEXT PRIMARY KEY,
    password   TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE login (
    token_hash TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    csrf       TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    seen_at    DOUBLE PRECISION NOT NULL
);
