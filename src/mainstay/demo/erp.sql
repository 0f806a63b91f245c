-- A small company's ERP: 14 tables, about 160,000 rows, and the names and types that break careless tools.
-- Everything is generated from row numbers, so that two machines make the same data.

CREATE ROLE erp_owner NOLOGIN;
CREATE ROLE erp_reader NOLOGIN;
CREATE SCHEMA audit;
CREATE TYPE order_state AS ENUM ('draft', 'sale', 'done', 'cancel');
CREATE DOMAIN peso AS numeric(14, 2) CHECK (VALUE > -1000000000);

CREATE TABLE res_partner (
    id serial PRIMARY KEY, name text NOT NULL, email text UNIQUE, vat char(12), is_company boolean NOT NULL,
    credit_limit peso, tags text[] NOT NULL DEFAULT '{}', created timestamptz NOT NULL);
INSERT INTO res_partner (name, email, vat, is_company, credit_limit, tags, created)
SELECT (ARRAY['Niño Dela Cruz', 'Søren Ødegård', '李小龍', 'O''Brien & Søns "Ltd"', E'Tab\there', 'Zoë Müller'])[n % 6 + 1]
           || ' ' || n,
       'partner' || n || '@example.com', lpad((n * 7919)::text, 12, '0'), n % 3 = 0, (n * 37 % 100000)::numeric / 7,
       CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['vip'] ELSE ARRAY['late payer', 'has "quotes"', NULL] END,
       timestamptz '2021-01-01 00:00+08' + n * interval '3 hours 7 minutes'
FROM generate_series(1, 8000) n;

CREATE TABLE product_template (
    id serial PRIMARY KEY, sku text NOT NULL UNIQUE, name jsonb NOT NULL, list_price peso, weight real,
    active boolean DEFAULT true, description text);
INSERT INTO product_template (sku, name, list_price, weight, description)
SELECT 'SKU-' || to_char(n, 'FM00000'), jsonb_build_object('en_US', 'Product ' || n, 'fil_PH', 'Produkto ' || n, 'size', n % 9),
       n % 997 + 0.25, (n % 50)::real / 3, repeat('Durable, washable, returnable. ', n % 12)
FROM generate_series(1, 3000) n;

CREATE TABLE sale_order (
    id bigserial PRIMARY KEY, name text NOT NULL, partner_id integer NOT NULL REFERENCES res_partner, state order_state NOT NULL,
    date_order timestamptz NOT NULL, "order" integer, note text, amount_total peso);
INSERT INTO sale_order (name, partner_id, state, date_order, "order", note, amount_total)
SELECT 'S' || to_char(n, 'FM000000'), n % 8000 + 1, (ARRAY['draft', 'sale', 'done', 'cancel'])[n % 4 + 1]::order_state,
       timestamptz '2024-03-31 01:30 Europe/Berlin' + n * interval '19 minutes', nullif(n % 11, 0),
       CASE WHEN n % 17 = 0 THEN E'line one\nline two\\N not a null' END, (n * 101 % 250000)::numeric / 100
FROM generate_series(1, 20000) n;

CREATE TABLE sale_order_line (
    id bigserial PRIMARY KEY, order_id bigint NOT NULL REFERENCES sale_order, product_id integer NOT NULL REFERENCES product_template,
    quantity numeric NOT NULL, price peso NOT NULL, discount double precision,
    subtotal numeric GENERATED ALWAYS AS (quantity * price) STORED);
INSERT INTO sale_order_line (order_id, product_id, quantity, price, discount)
SELECT n % 20000 + 1, n % 3000 + 1, n % 12 + 1, (n % 9973)::numeric / 10,
       CASE n % 1000 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE (n % 30)::float8 / 3 END
FROM generate_series(1, 60000) n;
CREATE INDEX sale_order_line_order ON sale_order_line (order_id);

CREATE TABLE account_move (
    id bigserial, move_date date NOT NULL, journal text NOT NULL, amount peso NOT NULL, ref text, PRIMARY KEY (id, move_date)
) PARTITION BY RANGE (move_date);
CREATE TABLE account_move_2024 PARTITION OF account_move FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE account_move_2025 PARTITION OF account_move FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO account_move (move_date, journal, amount, ref)
SELECT date '2024-01-01' + n % 730, (ARRAY['BANK', 'SALE', 'EXP'])[n % 3 + 1], (n * 61 % 99999)::numeric / 100, md5(n::text)
FROM generate_series(1, 25000) n;

CREATE TABLE stock_quant (
    product_id integer REFERENCES product_template, location text, quantity numeric(20, 6), PRIMARY KEY (product_id, location));
INSERT INTO stock_quant
SELECT n % 3000 + 1, (ARRAY['Manila/Stock', 'Cebu/Stock', 'Transit', 'Singapore'])[n / 3000 + 1], n::numeric / 3
FROM generate_series(0, 11999) n;

CREATE TABLE ir_attachment (
    id serial PRIMARY KEY, res_model text, name text, mimetype text, datas bytea, checksum text);
INSERT INTO ir_attachment (res_model, name, mimetype, datas, checksum)
SELECT 'account.move', 'receipt ' || n || '.png', 'image/png',
       decode(repeat(md5(n::text) || md5((n * 3)::text), n % 40), 'hex') || '\x00ff00', md5(n::text)
FROM generate_series(1, 2500) n;

CREATE TABLE mail_message (
    id bigserial PRIMARY KEY, author_id integer REFERENCES res_partner, body text, sent timestamptz, headers jsonb);
INSERT INTO mail_message (author_id, body, sent, headers)
SELECT n % 8000 + 1, E'Magandang araw! \u2603 \U0001F600 <b>' || n || '</b>' || chr(9) || repeat('lorem ipsum ', n % 20),
       timestamptz '2025-11-02 00:00 America/New_York' + n * interval '7 minutes',
       jsonb_build_object('x', n, 'big', 9007199254740993, 'float', 10.0, 'nested', jsonb_build_array(n, NULL, true))
FROM generate_series(1, 15000) n;
CREATE INDEX mail_message_headers ON mail_message USING gin (headers);

CREATE TABLE hr_expense (
    id serial PRIMARY KEY, employee text, spent daterange, paid interval, receipt_ip inet, code uuid, amounts numeric[]);
INSERT INTO hr_expense (employee, spent, paid, receipt_ip, code, amounts)
SELECT 'Employee ' || n % 90, daterange(date '2025-01-01' + n % 300, date '2025-01-03' + n % 300), n * interval '1 day 2 hours',
       ('10.0.' || n % 256 || '.7')::inet, md5(n::text)::uuid, ARRAY[n, n / 3.0, NULL]
FROM generate_series(1, 4000) n;

CREATE TABLE "Kunden Notizen" ("Nr." integer PRIMARY KEY, "Größe (cm)" numeric, "select" text, "a""b" text);
INSERT INTO "Kunden Notizen" SELECT n, n / 7.0, 'Notiz ' || n, CASE WHEN n % 2 = 0 THEN '' END FROM generate_series(1, 1500) n;

CREATE TABLE "événements" (t timestamp, "_r_" timestamptz, précision time with time zone);
INSERT INTO "événements"
SELECT timestamp '2025-03-09 02:30' + n * interval '1 minute', CASE n % 50 WHEN 0 THEN 'infinity' ELSE timestamptz '2025-10-26 00:59+00' + n * interval '1 second' END,
       '04:05:06.789+08'
FROM generate_series(1, 3000) n;

CREATE TABLE audit."log entry" (id bigserial PRIMARY KEY, at timestamptz, who text, what jsonb);
INSERT INTO audit."log entry" (at, who, what)
SELECT timestamptz '2026-01-01 00:00 Asia/Manila' + n * interval '11 seconds', 'user' || n % 40, jsonb_build_object('op', n % 5)
FROM generate_series(1, 10000) n;

CREATE TABLE ir_config_parameter (key text PRIMARY KEY, value text);
INSERT INTO ir_config_parameter SELECT 'setting.' || n, md5(n::text) FROM generate_series(1, 200) n;

CREATE TABLE empty_on_purpose (id integer PRIMARY KEY, note text);

CREATE VIEW open_orders AS SELECT o.id, o.name, p.name AS partner FROM sale_order o JOIN res_partner p ON p.id = o.partner_id WHERE o.state = 'sale';
CREATE MATERIALIZED VIEW sales_by_product AS SELECT product_id, count(*) AS lines, sum(subtotal) AS total FROM sale_order_line GROUP BY product_id;
CREATE FUNCTION touch_partner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.created := now(); RETURN NEW; END $$;
CREATE TRIGGER partner_touched BEFORE UPDATE ON res_partner FOR EACH ROW EXECUTE FUNCTION touch_partner();
ALTER TABLE sale_order OWNER TO erp_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO erp_reader;
