-- What the extension brings: functions, views, settings, and a comment on each of them.
\pset format unaligned
CREATE EXTENSION pg_livesync;

SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc p WHERE p.pronamespace = 'livesync'::regnamespace ORDER BY 1, 2;

SELECT c.relname AS view, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind = 'v' GROUP BY 1 ORDER BY 1;

-- without a comment: none
SELECT 'function' AS kind, p.proname AS name FROM pg_proc p
WHERE p.pronamespace = 'livesync'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT 'view', c.relname FROM pg_class c
WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT 'extension', 'pg_livesync' WHERE obj_description((SELECT oid FROM pg_extension WHERE extname = 'pg_livesync'), 'pg_extension') IS NULL
ORDER BY 1, 2;

-- every function of C finds its symbol and says when something is missing
SELECT * FROM livesync.connectors;
SELECT * FROM livesync.tables;
SELECT * FROM livesync.progress;
SELECT * FROM livesync.stats;
SELECT * FROM livesync.events;

SELECT name, unit, boot_val, context FROM pg_settings WHERE name LIKE 'livesync.%' ORDER BY name;
SET livesync.chunk_size = '1MB';
SET livesync.no_such_setting = 1;
SELECT livesync.hide_secrets('host=h user=u password=secret sslpassword=secret dbname=d');
SELECT livesync.hide_secrets('postgresql://u:secret@h/d');
SELECT livesync.hide_secrets('not a connection string secret');
