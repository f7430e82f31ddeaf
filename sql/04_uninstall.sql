-- DROP EXTENSION leaves nothing behind, and it can be made again.
DROP EXTENSION pg_livesync;
SELECT count(*) FROM pg_namespace WHERE nspname = 'livesync';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%pg_livesync%';
SELECT count(*) FROM pg_replication_origin WHERE roname LIKE 'livesync%';
CREATE EXTENSION pg_livesync;
SELECT count(*) FROM livesync.connectors;
DROP EXTENSION pg_livesync;
