-- API keys of the gateway's clients; only their hashes are kept.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    subject    TEXT NOT NULL,
    plan       TEXT NOT NULL,
    note       TEXT NOT NULL,
    who        TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    used_at    DOUBLE PRECISION
);
CREATE INDEX api_key_subject ON api_key (subject, created_at);
