-- How the log of each database was when the node that keeps it looked last.
CREATE TABLE log_seen (
    name TEXT PRIMARY KEY,
    at   DOUBLE PRECISION NOT NULL,
    seen TEXT NOT NULL
);
