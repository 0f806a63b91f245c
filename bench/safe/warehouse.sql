-- An ERP-like database: keys, text, documents with an index into them, files. {n} is the number of lines in its ledger.
CREATE TABLE entry AS
SELECT n::bigint AS id, (n / 4)::bigint AS move, 'INV/2026/' || lpad((n / 4)::text, 8, '0') AS move_name,
       (ARRAY['Customer Invoices', 'Vendor Bills', 'Bank', 'Miscellaneous Operations'])[n / 4 % 4 + 1] AS journal,
       (100 + n % 300)::int AS account, (hashint8(n / 4) & 65535)::int AS partner, 1 AS company, 'PHP' AS currency,
       ((hashint8(n) & 4095) * 12.25)::numeric(14, 2) AS debit, 0::numeric(14, 2) AS credit, 'posted' AS state,
       date '2024-01-01' + (n / 9000)::int AS booked, timestamptz '2024-01-01 00:00Z' + n / 4 * interval '44 seconds' AS created,
       'Line ' || n % 4 + 1 || ' of order S' || n / 4 AS label, NULL::text AS note, NULL::text[] AS tags
FROM generate_series(1, {n}::bigint) n;
ALTER TABLE entry ADD PRIMARY KEY (id);
CREATE INDEX ON entry (partner, booked);
VACUUM ANALYZE entry;
-- beside it
CREATE TABLE attachment (id bigint PRIMARY KEY, name text NOT NULL, content bytea NOT NULL);
ALTER TABLE attachment ALTER content SET STORAGE EXTERNAL;
INSERT INTO attachment
SELECT n, 'file-' || n || '.pdf',
       (SELECT string_agg(sha512((n || '-' || k)::bytea), ''::bytea) FROM generate_series(1, 320) k)
FROM generate_series(1, {n}::bigint / 450) n;
CREATE TABLE message AS
SELECT n::bigint AS id, (hashint8(n) & 65535)::int AS partner,
       'Dear customer ' || n || ', your order ' || md5(n::text) || ' has left our warehouse in '
       || (ARRAY['Manila', 'Cebu', 'Davao', 'Iloilo', 'Baguio', 'Naga', 'Zamboanga'])[n % 7 + 1] || ' today. It weighs '
       || n % 977 || ' grams and was packed by ' || md5((n / 50)::text) || ', who wishes you well. Track it with '
       || md5((n * 3)::text) || '; returns are taken for ' || n % 60 || ' days. Thank you for shopping with us.' AS body
FROM generate_series(1, {n}::bigint / 4) n;
ALTER TABLE message ADD PRIMARY KEY (id);
CREATE TABLE event AS
SELECT n::bigint AS id, jsonb_build_object(
           'kind', (ARRAY['sale', 'visit', 'refund', 'login'])[n % 4 + 1], 'partner', hashint8(n) & 65535,
           'session', md5((n / 3)::text), 'items', jsonb_build_array(n % 3000, n % 977, n % 51),
           'total', (hashint8(n + 3) & 4095) * 12.25, 'page', '/shop/manila/product/' || n % 3000 || '?from=newsletter',
           'agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/12' || n % 9
                    || '.0.0.0 Safari/537.36',
           'address', jsonb_build_object('city', 'Quezon City', 'country', 'PH', 'zip', 1100 + n % 500)
       ) AS data
FROM generate_series(1, {n}::bigint / 6) n;
ALTER TABLE event ADD PRIMARY KEY (id);
CREATE INDEX ON event USING gin (data jsonb_path_ops);
VACUUM ANALYZE attachment, message, event;
