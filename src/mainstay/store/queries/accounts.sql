-- name: any
-- Whether anybody can log in at all.
SELECT name FROM account LIMIT 1;

-- name: password
-- The kept form of an account's password.
SELECT password FROM account WHERE name = :name;

-- name: put
-- Make an account or give it a new password.
INSERT INTO account (name, password, created_at) VALUES (:name, :password, :now)
ON CONFLICT (name) DO UPDATE SET password = excluded.password;

-- name: open
-- Keep a new login; only the token's hash is known.
INSERT INTO login (token_hash, account, csrf, created_at, seen_at)
VALUES (:token_hash, :account, :csrf, :now, :now);

-- name: find
-- The login that a token opens, if it is not too old.
SELECT token_hash, account, csrf, created_at, seen_at FROM login
WHERE token_hash = :token_hash AND created_at > :oldest;

-- name: seen
-- Remember that a login is in use.
UPDATE login SET seen_at = :now WHERE token_hash = :token_hash;

-- name: close
-- End one login.
DELETE FROM login WHERE token_hash = :token_hash;

-- name: close_all
-- End every login of an account.
DELETE FROM login WHERE account = :account;

-- name: expire
-- Forget logins that are too old.
DELETE FROM login WHERE created_at <= :oldest;
