-- Who may what: calls need a grant and are for the owner of a connector; the views show what belongs to the reader, and all to
-- pg_monitor; nobody reads the tables, which hold passwords.
CREATE ROLE regress_plain;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;

SELECT p.proname AS everybodys FROM pg_proc p
WHERE p.pronamespace = 'livesync'::regnamespace AND has_function_privilege('regress_plain', p.oid, 'EXECUTE') ORDER BY 1;
SELECT c.relname AS everybodys, p AS privilege
FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
WHERE c.relnamespace = 'livesync'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege('regress_plain', c.oid, p) ORDER BY 1, 2;
SELECT has_schema_privilege('regress_plain', 'livesync', 'USAGE') AS usage, has_schema_privilege('regress_plain', 'livesync', 'CREATE') AS "create";

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA livesync TO regress_owner, regress_other;
SET ROLE regress_owner;
SELECT livesync.create_connector('c', 'host=h dbname=d user=u', enabled => false);
SELECT livesync.create_connector('c', 'host=h dbname=d user=u password=secret passfile=/etc/passwd', enabled => false);
SELECT livesync.create_connector('c', 'host=h dbname=d user=u password=secret', enabled => false);
SELECT name, source, owner FROM livesync.connectors;

SET ROLE regress_monitor;
SELECT name, source, owner FROM livesync.connectors;
SELECT count(*) FROM livesync.tables;
SELECT connector FROM livesync.progress;
SELECT count(*) FROM livesync.stats;
SELECT event FROM livesync.events WHERE connector = 'c';
SELECT source FROM livesync.connector;
SELECT livesync.pause_connector('c');

SET ROLE regress_plain;
SELECT livesync.create_connector('d', 'dbname=x password=x', enabled => false);
SELECT count(*) FROM livesync.connectors;
SELECT count(*) FROM livesync.progress;
SELECT count(*) FROM livesync.events;

SET ROLE regress_other;
SELECT count(*) FROM livesync.connectors;
SELECT livesync.pause_connector('c');
SELECT livesync.alter_connector('c', owner => 'regress_other');

RESET ROLE;
SELECT livesync.alter_connector('c', owner => 'regress_other');
SET ROLE regress_other;
SELECT name, owner FROM livesync.connectors;
SELECT livesync.drop_connector('c');
SELECT event FROM livesync.events WHERE connector = 'c';
RESET ROLE;
DROP OWNED BY regress_owner, regress_other;
DROP ROLE regress_plain, regress_monitor, regress_owner, regress_other;
