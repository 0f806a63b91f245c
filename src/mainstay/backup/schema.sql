-- What a database is made of. Each query but the last gives: names, definition, class, oid.
-- {user} keeps the system's schemas out, {own CLASS ALIAS} what an extension made.

-- name: schema
-- Schemas. That of every database, public, has another owner from version to version.
SELECT ARRAY[n.nspname::text], 'owned by ' || pg_get_userbyid(n.nspowner), 'pg_namespace'::regclass::oid, n.oid
FROM pg_namespace n WHERE {user} AND n.nspname <> 'public'
  AND {own pg_namespace n};

-- name: relation
-- Tables, views, sequences and composite types, with their owners.
SELECT ARRAY[n.nspname::text, c.relname::text], CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN
       'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
       WHEN 'S' THEN 'sequence' ELSE 'type' END || CASE c.relpersistence WHEN 'u' THEN ', unlogged' ELSE '' END
       || CASE WHEN c.relrowsecurity THEN ', row security' ELSE '' END
       || ', owned by ' || pg_get_userbyid(c.relowner), 'pg_class'::regclass::oid, c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't' AND {user}
  AND {own pg_class c};

-- name: column
-- Columns with their types.
SELECT ARRAY[n.nspname::text, c.relname::text, a.attname::text], format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || CASE WHEN a.attidentity <> '' THEN ' identity' WHEN (to_jsonb(a) ->> 'attgenerated') <> ''
          THEN ' generated' WHEN a.atthasdef THEN ' default' ELSE '' END, 'pg_class'::regclass::oid, c.oid
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't' AND a.attnum > 0
  AND NOT a.attisdropped AND {user}
  AND {own pg_class c};

-- name: index
-- Valid indexes; pg_dump leaves invalid ones out.
SELECT ARRAY[n.nspname::text, i.relname::text], CASE WHEN x.indisunique THEN 'unique ' ELSE '' END || m.amname
       || ' on ' || c.relname || ' (' || array_to_string(ARRAY(SELECT COALESCE((SELECT a.attname FROM
          pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = k.n AND k.n <> 0), 'expression')
          FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(n, o) ORDER BY k.o), ', ') || ')'
       || CASE WHEN x.indpred IS NULL THEN '' ELSE ' partial' END, 'pg_class'::regclass::oid, i.oid
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
     JOIN pg_namespace n ON n.oid = i.relnamespace JOIN pg_am m ON m.oid = i.relam
WHERE x.indisvalid AND c.relpersistence <> 't' AND {user}
  AND {own pg_class c};

-- name: constraint
-- Constraints, but NOT NULL, which only some versions keep here, and those that a partition inherits.
SELECT ARRAY[n.nspname::text, COALESCE(c.relname, t.typname)::text, o.conname::text],
       CASE WHEN o.contype IN ('p', 'u', 'f') THEN pg_get_constraintdef(o.oid)
            WHEN o.contype = 'c' THEN 'check' ELSE o.contype::text END, 'pg_constraint'::regclass::oid, o.oid
FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace
     LEFT JOIN pg_class c ON c.oid = o.conrelid LEFT JOIN pg_type t ON t.oid = o.contypid
WHERE o.contype <> 'n' AND COALESCE(c.relpersistence, 'p') <> 't'
  AND COALESCE((to_jsonb(o) ->> 'conparentid')::oid, 0) = 0 AND {user}
  AND {own pg_class c}
  AND {own pg_type t};

-- name: function
-- Functions and procedures; the text of one written in SQL or PL is kept letter by letter.
SELECT ARRAY[n.nspname::text, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'],
       l.lanname || ' ' || md5(p.prosrc) || COALESCE(' returns ' || pg_get_function_result(p.oid), ''),
       'pg_proc'::regclass::oid, p.oid
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE {user}
  AND {own pg_proc p}
  AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid
                  AND i.deptype = 'i');

-- name: trigger
-- Triggers, but those that belong to constraints or come from a partitioned table.
SELECT ARRAY[n.nspname::text, c.relname::text, g.tgname::text],
       p.proname || CASE g.tgenabled WHEN 'D' THEN ', disabled' ELSE '' END, 'pg_trigger'::regclass::oid, g.oid
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_proc p ON p.oid = g.tgfoid
WHERE NOT g.tgisinternal AND COALESCE((to_jsonb(g) ->> 'tgparentid')::oid, 0) = 0 AND {user}
 
  AND {own pg_class c}
  AND {own pg_trigger g};

-- name: type
-- Enums with their labels, domains, ranges, base types.
SELECT ARRAY[n.nspname::text, t.typname::text], CASE t.typtype WHEN 'e' THEN 'enum ' || array_to_string(
       ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), ', ')
       WHEN 'd' THEN 'domain ' || format_type(t.typbasetype, t.typtypmod) WHEN 'r' THEN 'range'
       ELSE 'base' END, 'pg_type'::regclass::oid, t.oid
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'b' AND t.typcategory <> 'A') AND {user}
  AND {own pg_type t};

-- name: policy
-- Policies of row security.
SELECT ARRAY[n.nspname::text, c.relname::text, p.polname::text], p.polcmd::text, 'pg_policy'::regclass::oid, p.oid
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {user}
  AND {own pg_class c};

-- name: rule
-- Rules, but those that make a view.
SELECT ARRAY[n.nspname::text, c.relname::text, r.rulename::text], r.ev_type::text, 'pg_rewrite'::regclass::oid, r.oid
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND {user}
  AND {own pg_class c};

-- name: event_trigger
-- Event triggers.
SELECT ARRAY[e.evtname::text], e.evtevent::text, 'pg_event_trigger'::regclass::oid, e.oid
FROM pg_event_trigger e WHERE {own pg_event_trigger e};

-- name: publication
-- Publications.
SELECT ARRAY[p.pubname::text], 'publication', 'pg_publication'::regclass::oid, p.oid FROM pg_publication p;

-- name: grant
-- Who else than the owner may do what with a relation.
SELECT ARRAY[n.nspname::text, c.relname::text], string_agg(DISTINCT COALESCE(r.rolname, 'public') || ' '
       || lower(g.privilege_type), ', ' ORDER BY COALESCE(r.rolname, 'public') || ' ' || lower(g.privilege_type)),
       'pg_class'::regclass::oid, c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) g
     LEFT JOIN pg_roles r ON r.oid = g.grantee
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND g.grantee <> c.relowner
  AND {user}
  AND {own pg_class c} GROUP BY n.nspname, c.relname, c.oid;

-- name: needs
-- Everything that depends, however indirectly, on a member of an extension. A default or a CHECK takes its table
-- along, because CREATE TABLE fails with it; ICU counts as an extension that a server may lack.
WITH RECURSIVE need(ext, classid, objid) AS (
    SELECT e.extname::text, d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname <> 'plpgsql'
  UNION
    SELECT 'ICU', 'pg_collation'::regclass::oid, l.oid FROM pg_collation l
    WHERE l.collprovider = 'i' AND l.oid > 16383
  UNION
    SELECT 'ICU', 'pg_class'::regclass::oid, a.attrelid FROM pg_attribute a JOIN pg_collation l
      ON l.oid = a.attcollation WHERE l.collprovider = 'i' AND a.attrelid > 16383
  UNION
    SELECT hop.ext, hop.classid, hop.objid FROM (
        WITH known AS (SELECT * FROM need)
        SELECT k.ext, d.classid, d.objid FROM known k JOIN pg_depend d
          ON d.refclassid = k.classid AND d.refobjid = k.objid AND d.deptype IN ('n', 'a', 'i')
      UNION ALL
        SELECT k.ext, 'pg_class'::regclass::oid, f.adrelid FROM known k JOIN pg_attrdef f
          ON k.classid = 'pg_attrdef'::regclass AND k.objid = f.oid
      UNION ALL
        SELECT k.ext, 'pg_class'::regclass::oid, o.conrelid FROM known k JOIN pg_constraint o
          ON k.classid = 'pg_constraint'::regclass AND k.objid = o.oid AND o.contype = 'c' AND o.conrelid <> 0
      UNION ALL
        SELECT k.ext, 'pg_class'::regclass::oid, r.ev_class FROM known k JOIN pg_rewrite r
          ON k.classid = 'pg_rewrite'::regclass AND k.objid = r.oid
      UNION ALL
        SELECT k.ext, 'pg_type'::regclass::oid, t.oid FROM known k JOIN pg_type t
          ON k.classid = 'pg_type'::regclass AND t.typelem = k.objid AND t.typcategory = 'A'
    ) hop
)
SELECT DISTINCT ext, classid, objid FROM need;

-- name: locales
-- What may not be the same under another locale: columns and indexes that name one; and, for that of the database,
-- what is computed or checked anew by a restore (generated columns, CHECK, the bounds of a partition).
SELECT 'locale ' || l.collcollate, 'pg_class'::regclass::oid, a.attrelid
FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
WHERE l.collprovider = 'c' AND l.collcollate NOT IN ('C', 'POSIX', '') AND a.attrelid > 16383
UNION
SELECT 'locale ' || d.name, 'pg_class'::regclass::oid, c.oid
FROM pg_class c CROSS JOIN (
    SELECT COALESCE(to_jsonb(x) ->> 'datlocale', to_jsonb(x) ->> 'daticulocale', x.datcollate) AS name
    FROM pg_database x WHERE x.datname = current_database()
) d
WHERE c.oid > 16383 AND c.relkind = 'r' AND d.name NOT IN ('C', 'POSIX') AND (
    c.relispartition OR EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'c')
    OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND to_jsonb(a) ->> 'attgenerated' <> '')
);
