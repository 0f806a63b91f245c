-- An ERP-like database; {rows} is replaced by the number of lines in the ledger.
CREATE TABLE partner (id serial PRIMARY KEY, name text, email text, data jsonb, created timestamptz);
CREATE TABLE move_line (
    id bigserial PRIMARY KEY, partner int, account int, debit numeric(16,2), credit numeric(16,2), label text, day date
);
CREATE TABLE message (id bigserial PRIMARY KEY, partner int, body text, tags text[]);
CREATE TABLE attachment (id serial PRIMARY KEY, name text, content bytea);

INSERT INTO partner (name, email, data, created)
SELECT 'Partner ' || n, 'p' || n || '@example.com',
       jsonb_build_object('vat', n * 7919, 'city', 'City ' || n % 97, 'score', random()), now() - n * interval '1 min'
FROM generate_series(1, {rows} / 8) n;

INSERT INTO move_line (partner, account, debit, credit, label, day)
SELECT n % 5000, 100 + n % 300, (random() * 9000)::numeric(16,2), 0, 'Invoice INV/2026/' || n, date '2026-01-01' + n % 365
FROM generate_series(1, {rows}) n;

INSERT INTO message (partner, body, tags)
SELECT n % 5000, 'Dear customer, your order ' || n || ' was sent to ' || md5(n::text)
       || repeat(', and more is to come: ' || md5((n * 31)::text), 3), ARRAY['mail', (n % 9)::text]
FROM generate_series(1, {rows} / 2) n;

INSERT INTO attachment (name, content)
SELECT 'file ' || n, decode(repeat(md5(random()::text) || md5(random()::text), 300), 'hex')
FROM generate_series(1, {rows} / 600) n;

CREATE INDEX ON move_line (partner, day);
CREATE INDEX ON message USING gin (tags);
