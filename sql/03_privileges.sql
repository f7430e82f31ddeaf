-- Who may what: calls are the owner's alone; pg_monitor reads the views; nobody else reads the tables, which hold passwords.
CREATE ROLE regress_plain;
CREATE ROLE regress_monitor IN ROLE pg_monitor;

SELECT r AS role, p.proname FROM pg_proc p, unnest(ARRAY['regress_plain', 'regress_monitor']) r
WHERE p.pronamespace = 'livesync'::regnamespace AND has_function_privilege(r, p.oid, 'EXECUTE') ORDER BY 1, 2;
SELECT r AS role, c.relname, p AS privilege
FROM pg_class c, unnest(ARRAY['regress_plain', 'regress_monitor']) r, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege(r, c.oid, p) ORDER BY 1, 2, 3;
SELECT r AS role, has_schema_privilege(r, 'livesync', 'USAGE') AS usage, has_schema_privilege(r, 'livesync', 'CREATE') AS "create"
FROM unnest(ARRAY['regress_plain', 'regress_monitor']) r ORDER BY 1;

SELECT livesync.create_connector('c', 'host=h dbname=d password=secret', enabled => false);
SET ROLE regress_monitor;
SELECT name, source FROM livesync.connectors;
SELECT count(*) FROM livesync.tables;
SELECT connector FROM livesync.progress;
SELECT count(*) FROM livesync.stats;
SELECT event FROM livesync.events WHERE connector = 'c';
SELECT source FROM livesync.connector;
SELECT livesync.pause_connector('c');
SELECT livesync.create_connector('d', 'dbname=x', enabled => false);
SET ROLE regress_plain;
SELECT * FROM livesync.connectors;
RESET ROLE;
SELECT livesync.drop_connector('c');
DROP ROLE regress_plain, regress_monitor;
