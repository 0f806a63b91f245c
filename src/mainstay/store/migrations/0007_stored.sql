-- What lies in an encrypted storage, object by object, and when its bytes were last looked at.
ALTER TABLE backup ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';
ALTER TABLE backup ADD COLUMN verified_at DOUBLE PRECISION;
