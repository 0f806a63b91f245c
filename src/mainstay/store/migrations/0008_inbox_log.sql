-- How far each segment of the edges' logs is in the journal, written together with the events: none is brought twice.
CREATE TABLE inbox_log (
    segment TEXT PRIMARY KEY,
    upto    BIGINT NOT NULL,
    at      DOUBLE PRECISION NOT NULL
);
