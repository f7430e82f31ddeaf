-- Calls that cannot mean anything are refused before the source is asked.
SELECT livesync.create_connector(NULL, 'dbname=x');
SELECT livesync.create_connector('', 'dbname=x');
SELECT livesync.create_connector(repeat('n', 41), 'dbname=x');
SELECT livesync.create_connector('c', NULL);
SELECT livesync.create_connector('c', '');
SELECT livesync.create_connector('c', 'no connection string');
SELECT livesync.create_connector('c', 'dbname=x', copy_workers => 0);
SELECT livesync.create_connector('c', 'dbname=x', tables => '{}');
SELECT livesync.create_connector('c', 'dbname=x', tables => '{NULL}');
SELECT livesync.create_connector('c', 'dbname=x', tables => '{no_schema}');
SELECT livesync.create_connector('c', 'dbname=x', publications => '{p}', tables => '{a.b}');
SELECT livesync.create_connector('c', 'dbname=x', target_schema => '');
SELECT livesync.create_connector('c', 'dbname=x', target_schema => repeat('s', 64));
SELECT livesync.alter_connector('nobody');
SELECT livesync.pause_connector('nobody');
SELECT livesync.resume_connector('nobody');
SELECT livesync.drop_connector('nobody');
SELECT livesync.refresh_connector('nobody');
SELECT livesync.retry_table('nobody', 'a.b');
SELECT livesync.rename_connector('nobody', 'somebody');
SELECT livesync.resync_table('nobody', 'a.b');
SELECT livesync.add_table('nobody', 'a.b');
SELECT livesync.remove_table('nobody', 'a.b');
SELECT livesync.wait_for_sync('nobody');
SELECT livesync.wait_for_lsn('nobody');
SELECT livesync.pause_connector(NULL);
SELECT livesync.wait_for_lsn(NULL);

-- One that is not enabled asks nothing of its source, which need not exist.
SELECT livesync.create_connector('off', 'host=/nowhere dbname=x password=secret', enabled => false);
SELECT livesync.create_connector('off', 'dbname=x', enabled => false);
SELECT name, status, source, publications, copy_workers, enabled, last_error FROM livesync.connectors;
SELECT connector, status, bar, percent, tables_total, lag, lag_bytes FROM livesync.progress;
SELECT livesync.refresh_connector('off');
SELECT livesync.retry_table('off', 'a.b');
SELECT livesync.wait_for_sync('off', '0 s');
-- a deadline that is over already
SELECT livesync.wait_for_sync('off', '-1 s');
SELECT livesync.wait_for_lsn('off', '0/1', '-1 s');
SELECT livesync.alter_connector('off', source => '');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT livesync.wait_for_sync('off', '0 s');
ROLLBACK;
SELECT livesync.drop_connector('off');
SELECT count(*) FROM livesync.connectors;
-- its source is looked for in vain meanwhile, sooner or later
SELECT connector, event FROM livesync.events WHERE event <> 'source_not_cleaned';
