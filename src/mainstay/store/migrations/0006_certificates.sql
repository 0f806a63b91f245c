-- Certificates as they were last seen: what is in place, when it is due, how the servers and the authority answered.
CREATE TABLE certificate (
    name       TEXT PRIMARY KEY,
    names      TEXT NOT NULL,
    serial     TEXT,
    issuer     TEXT,
    not_before DOUBLE PRECISION,
    not_after  DOUBLE PRECISION,
    installed_at DOUBLE PRECISION,
    served_at  DOUBLE PRECISION,
    served     TEXT NOT NULL,
    due_at     DOUBLE PRECISION,
    due_why    TEXT NOT NULL,
    ari_start  DOUBLE PRECISION,
    ari_end    DOUBLE PRECISION,
    ari_why    TEXT NOT NULL,
    ari_serial TEXT,
    ari_at     DOUBLE PRECISION,
    ari_next   DOUBLE PRECISION,
    failures   INTEGER NOT NULL,
    retry_at   DOUBLE PRECISION,
    fault      TEXT NOT NULL,
    looked_at  DOUBLE PRECISION NOT NULL
);
