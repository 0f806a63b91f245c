-- A second, smaller database: one failing must never stop the other.
CREATE TABLE page_view (id bigserial PRIMARY KEY, at timestamptz NOT NULL, path text NOT NULL, agent jsonb NOT NULL, millis integer);
INSERT INTO page_view (at, path, agent, millis)
SELECT timestamptz '2026-02-01 00:00+08' + n * interval '13 seconds', '/shop/' || n % 300,
       jsonb_build_object('mobile', n % 3 = 0, 'lang', (ARRAY['en', 'fil', 'de'])[n % 3 + 1]), n % 900
FROM generate_series(1, 12000) n;
CREATE TABLE daily (day date PRIMARY KEY, views bigint, slowest integer);
INSERT INTO daily SELECT at::date, count(*), max(millis) FROM page_view GROUP BY 1;
