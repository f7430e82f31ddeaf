-- DROP EXTENSION leaves nothing behind, and it can be made again.
-- (it warns of slots by their names, which have a random part)
SET client_min_messages = error;
DROP EXTENSION pg_livesync;
RESET client_min_messages;
SELECT count(*) FROM pg_namespace WHERE nspname = 'livesync';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%pg_livesync%';
SELECT count(*) FROM pg_replication_origin WHERE roname LIKE 'livesync%';
CREATE EXTENSION pg_livesync;
SELECT count(*) FROM livesync.connectors;
DROP EXTENSION pg_livesync;
