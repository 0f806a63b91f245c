-- name: get
-- A certificate as it was last seen.
SELECT * FROM certificate WHERE name = :name;

-- name: all
-- All certificates, the one that ends first first.
SELECT * FROM certificate ORDER BY COALESCE(not_after, 0), name;

-- name: put
-- Keep how a certificate stands.
INSERT INTO certificate (name, names, serial, issuer, not_before, not_after, installed_at, served_at, served, due_at,
                         due_why, ari_start, ari_end, ari_why, ari_serial, ari_at, ari_next, failures, retry_at, fault,
                         looked_at)
VALUES (:name, :names, :serial, :issuer, :not_before, :not_after, :installed_at, :served_at, :served, :due_at,
        :due_why, :ari_start, :ari_end, :ari_why, :ari_serial, :ari_at, :ari_next, :failures, :retry_at, :fault,
        :looked_at)
ON CONFLICT (name) DO UPDATE SET names = excluded.names, serial = excluded.serial, issuer = excluded.issuer,
    not_before = excluded.not_before, not_after = excluded.not_after, installed_at = excluded.installed_at,
    served_at = excluded.served_at, served = excluded.served, due_at = excluded.due_at, due_why = excluded.due_why,
    ari_start = excluded.ari_start, ari_end = excluded.ari_end, ari_why = excluded.ari_why,
    ari_serial = excluded.ari_serial, ari_at = excluded.ari_at, ari_next = excluded.ari_next,
    failures = excluded.failures, retry_at = excluded.retry_at, fault = excluded.fault, looked_at = excluded.looked_at;
